"""Colours of the desk, in light and dark, and Streamlit's settings. Text on its ground keeps a contrast of 4.5 : 1."""

from __future__ import annotations

from infra.contracts.events import ReviewState, Severity

# Severity runs from a quiet blue to a deep red, and differs in lightness too, for people who see red and green alike.
SEVERITY_COLOURS = {  # (on light, on dark)
    Severity.CRITICAL: ("#a61b29", "#ff8a8f"),
    Severity.HIGH: ("#b3480f", "#ffab70"),
    Severity.MODERATE: ("#8a6100", "#f0cb5b"),
    Severity.LOW: ("#3c6382", "#9cc3e0"),
}
STATE_COLOURS = {
    ReviewState.NEEDS_REVIEW: ("#0b5f6b", "#6fd3df"),
    ReviewState.REVIEWED: ("#4b5563", "#b6bfca"),
    ReviewState.NEEDS_COACHING: ("#6d3fa0", "#cdaef2"),
    ReviewState.COACHED: ("#22694a", "#84d3ac"),
    ReviewState.DISMISSED: ("#4b5563", "#b6bfca"),
    ReviewState.NEEDS_RECOGNITION: ("#22694a", "#84d3ac"),
    ReviewState.RECOGNIZED: ("#22694a", "#84d3ac"),
}
SCORE_BANDS = (  # from this score up: word, colours; ours, since Samsara's and Lytx's bands are not public
    (90.0, "Very good", ("#1f6f54", "#7fd6b0")),
    (75.0, "Good", ("#3f6b1d", "#b0d67f")),
    (60.0, "Fair", ("#8a6100", "#f0cb5b")),
    (0.0, "Poor", ("#a61b29", "#ff8a8f")),
)
TRACE = "#0f7c8a"  # drawn lines; legible on both grounds
LIMIT = "#c2410c"
EVENT = "#d3263a"
MUTED = "#8492a0"

_LIGHT = {
    "primaryColor": "#0b6572",
    "backgroundColor": "#fbfbf9",
    "secondaryBackgroundColor": "#f0f1ee",
    "textColor": "#1c2530",
    "linkColor": "#0b5f6b",
    "borderColor": "#d9dcd6",
}
_DARK = {
    "primaryColor": "#3fb4c2",
    "backgroundColor": "#12171c",
    "secondaryBackgroundColor": "#1b2229",
    "textColor": "#e6eaed",
    "linkColor": "#6fd3df",
    "borderColor": "#323c46",
}


def band(value: float) -> tuple[str, tuple[str, str]]:
    """The word and the colours of a score."""
    return next((word, colours) for least, word, colours in SCORE_BANDS if value >= least)


def streamlit_options(address: str, port: int) -> dict[str, object]:
    """Flags of the server. Nothing is sent anywhere, and no traceback is shown to the browser."""
    options: dict[str, object] = {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "logger.hideWelcomeMessage": True,  # it names an address that asks for a password, above our sign-in link
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableXsrfProtection": True,
        "server.maxUploadSize": 1,  # MB; no page takes a file
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        "theme.showWidgetBorder": True,
        "theme.baseRadius": "0.4rem",
        "theme.headingFontWeights": [700, 600, 600],
        "theme.metricValueFontSize": "1.6rem",
    }
    for name, colours in (("light", _LIGHT), ("dark", _DARK)):
        options |= {f"theme.{name}.{option}": value for option, value in colours.items()}
    return options


ICON_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" \
fill="#0b6572"/><g fill="#fff"><rect x="7" y="6" width="18" height="3.4" rx="1.7"/><rect x="7" y="14.3" width="18" \
height="3.4" rx="1.7"/><rect x="7" y="22.6" width="18" height="3.4" rx="1.7"/></g></svg>"""

STYLE = """
<style>
.block-container { padding-top: 3.2rem; padding-bottom: 3rem; max-width: 76rem; }
[data-testid="stSidebarHeader"]::before { content: "Rumblestrip"; font-size: 1.15rem; font-weight: 700;
  margin-right: auto; color: light-dark(#0b6572, #3fb4c2); }
h1 { font-size: 1.7rem !important; padding: 0 0 .5rem !important; }
h2 { font-size: 1.2rem !important; } h3 { font-size: 1.05rem !important; }
.rs-muted { color: light-dark(#56616c, #a3afba); }
.rs-small { font-size: .85rem; }
.rs-row { display: grid; grid-template-columns: 96px minmax(0, 2.2fr) minmax(0, 1.6fr) minmax(0, 1.5fr) 9rem;
  gap: .2rem 1rem; align-items: center; }
.rs-row > div { min-width: 0; } .rs-row b { font-weight: 600; }
.rs-still { width: 96px; height: 54px; object-fit: cover; border-radius: .35rem; display: block;
  background: light-dark(#e6e8e3, #26303a); }
.rs-glyph { width: 96px; height: 54px; border-radius: .35rem; display: grid; place-items: center;
  background: light-dark(#eef0ec, #202932); font-family: "Material Symbols Rounded"; font-size: 1.7rem;
  font-feature-settings: "liga"; line-height: 1; overflow: hidden; }
.rs-tag { display: inline-block; padding: .08rem .5rem; border-radius: 1rem; font-size: .78rem; font-weight: 600;
  border: 1px solid currentColor; white-space: nowrap; }
.rs-tags { display: flex; gap: .35rem; flex-wrap: wrap; justify-content: flex-end; }
.rs-kv { display: grid; margin: 0 !important; padding: 0 !important;
  grid-template-columns: fit-content(11rem) minmax(0, 1fr);
  gap: .25rem 1rem; font-size: .93rem; }
.rs-kv dt { color: light-dark(#56616c, #a3afba); }
.rs-kv dt, .rs-kv dd { margin: 0 !important; padding: 0 !important; }
.rs-kv dd { overflow-wrap: anywhere; }
.rs-log { border-left: 2px solid light-dark(#d9dcd6, #323c46); padding-left: .8rem; display: grid; gap: .7rem; }
.rs-log blockquote { margin: .15rem 0 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.rs-score { display: inline-flex; align-items: baseline; gap: .5rem; }
.rs-score b { font-size: 2.4rem; line-height: 1; font-weight: 650; }
.rs-ledger { width: 100%; border-collapse: collapse; font-size: .93rem; }
.rs-ledger td, .rs-ledger th { padding: .35rem .5rem; border-bottom: 1px solid light-dark(#e3e5e0, #2c3640);
  text-align: left; vertical-align: top; }
.rs-ledger td.n, .rs-ledger th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.rs-ledger tr:last-child td { border-bottom: 0; font-weight: 600; }
.rs-download { color: light-dark(#0b5f6b, #6fd3df); font-weight: 600; }
.rs-left { justify-content: flex-start; margin-bottom: .2rem; }
.rs-figure { margin: 0; } .rs-figure img { width: 100%; max-height: 25rem; object-fit: contain;
  border-radius: .5rem; display: block; }
.rs-driver { display: grid; grid-template-columns: 6rem minmax(0, 1.5fr) .9fr 1.1fr .9fr 1.1fr 120px; gap: .3rem .8rem;
  align-items: center; }
.rs-driver > div { min-width: 0; overflow-wrap: anywhere; }
.rs-number { font-size: 1.7rem; font-weight: 650; line-height: 1.1; }
[class*="st-key-row-"] { padding: .5rem .75rem !important; flex-wrap: nowrap !important; }
[class*="st-key-row-"] [data-testid="stHtml"] { width: 100%; }
[class*="st-key-row-"] > [data-testid="stElementContainer"]:has([data-testid="stHtml"]) { flex: 1 1 0; min-width: 0; }
[class*="st-key-row-"]:hover { border-color: light-dark(#0b6572, #3fb4c2); }
@media (max-width: 760px) {
  .rs-row { grid-template-columns: 72px minmax(0, 1fr); }
  .rs-still, .rs-glyph { width: 72px; height: 48px; grid-row: span 2; }
  .rs-driver { grid-template-columns: 4rem 1fr 1fr; }
  .rs-driver > :nth-child(2) { grid-column: 2 / -1; }
  [data-testid="stColumn"]:has(.st-key-event-side) { order: -1; }
  .rs-row > :nth-child(n+3) { grid-column: 1 / -1; } .rs-tags { justify-content: flex-start; }
  .block-container { padding: 4.2rem .8rem 2rem; }
}
</style>
"""
