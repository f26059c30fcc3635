"""Words, units and times, as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from dashboard import labels, theme
from dashboard.core.review import Action, Role
from dashboard.labels import Words, evidence_rows, length, percent, summary
from dashboard.parts import plain
from infra.contracts.events import EventKind, ReviewState, Severity

METRIC = Words("metric", ZoneInfo("Europe/Berlin"))
IMPERIAL = Words("imperial", ZoneInfo("America/Chicago"))


def test_every_word_of_the_contracts_has_a_label() -> None:
    assert set(labels.KINDS) == set(labels.KIND_ICONS) == set(EventKind)
    assert set(labels.SEVERITIES) == set(theme.SEVERITY_COLOURS) == set(Severity)
    assert set(labels.STATES) == set(theme.STATE_COLOURS) == set(ReviewState)
    assert set(labels.ACTIONS) == set(Action)
    assert set(labels.ROLES) == set(Role)


@pytest.mark.parametrize(
    ("words", "peak", "unit", "written"),
    [
        (METRIC, 0.714, "g", "0.71 g"),
        (METRIC, 5.0, "m/s", "18 km/h over"),
        (IMPERIAL, 5.0, "m/s", "11 mph over"),
        (METRIC, 1.84, "s", "1.8 s"),
        (METRIC, 0.22, "share", "22 % of a minute"),
    ],
)
def test_a_peak_is_written_with_its_unit(words: Words, peak: float, unit: str, written: str) -> None:
    assert words.peak(peak, unit) == written


def test_speeds_and_distances_follow_the_fleets_units() -> None:
    assert (METRIC.speed(25.0), IMPERIAL.speed(25.0), METRIC.speed(None)) == ("90 km/h", "56 mph", "unknown")
    assert (METRIC.distance(24_310.0), IMPERIAL.distance(24_310.0)) == ("24.3 km", "15.1 mi")
    assert METRIC.per_distance(3, 150_000.0) == pytest.approx(2.0)
    assert METRIC.per_distance(3, 0.0) is None


@pytest.mark.parametrize(
    ("when", "written"),
    [
        (datetime(2026, 7, 3, 22, 30, tzinfo=UTC), "today 00:30 CEST"),  # past midnight in Berlin
        (datetime(2026, 7, 3, 20, 0, tzinfo=UTC), "yesterday 22:00 CEST"),
        (datetime(2026, 2, 3, 20, 0, tzinfo=UTC), "Tue 3 Feb, 21:00 CET"),
        (datetime(2025, 2, 3, 20, 0, tzinfo=UTC), "Mon 3 Feb 2025, 21:00 CET"),
    ],
)
def test_times_are_the_fleets_and_say_their_zone(when: datetime, written: str) -> None:
    assert METRIC.short_time(when, datetime(2026, 7, 4, 6, 0, tzinfo=UTC)) == written


def test_lengths_and_shares_read_easily() -> None:
    assert [length(s) for s in (12, 89, 700, 11_100)] == ["12 s", "89 s", "12 min", "3 h 05 min"]
    assert [percent(s) for s in (None, 0.0, 0.004, 0.5)] == ["unknown", "0 %", "0.4 %", "50 %"]


@pytest.mark.parametrize(
    ("kind", "peak", "unit", "evidence", "sentence"),
    [
        (
            "harsh_brake",
            0.71,
            "g",
            {"source": "accelerometer", "threshold_g": 0.61, "seconds_over_threshold": 0.6},
            "Braked at 0.71 g for 0.6 s; threshold of this vehicle class 0.61 g (Geotab).",
        ),
        (
            "harsh_turn",
            0.4,
            "g",
            {"source": "gps", "threshold_g": 0.282, "seconds": 2.0, "direction": "left"},
            "Turned to the left at 0.40 g for 2.0 s; threshold 0.28 g (Geotab's, scaled to what GPS shows).",
        ),
        ("microsleep", 1.8, "s", {"frames_shut": 6}, "Eyes closed for 1.8 s, seen on 6 frames."),
        ("harsh_brake", 0.71, "g", {}, "Braked at 0.71 g."),
        ("rolling_stop", 3.0, "s", {}, "Rolling stop: 3.0 s."),
    ],
)
def test_the_evidence_becomes_a_sentence(kind: str, peak: float, unit: str, evidence: dict, sentence: str) -> None:
    assert summary(kind, peak, unit, evidence, METRIC) == sentence


def test_every_number_of_the_evidence_is_named_and_has_a_unit() -> None:
    rows = dict(evidence_rows({"threshold_g": 0.61, "speed_change_mps": -6.4, "something_new_s": 1.25}, METRIC))
    assert rows == {"Threshold": "0.61 g", "Change of GPS speed": "-23 km/h", "Something new s": "1.2 s"}


def test_score_bands_leave_no_gap() -> None:
    assert [theme.band(v)[0] for v in (100.0, 90.0, 89.9, 75.0, 60.0, 59.9, 0.0)] == [
        "Very good", "Very good", "Good", "Good", "Fair", "Poor", "Poor",
    ]  # fmt: skip


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_text_keeps_its_contrast(ground: int) -> None:
    """WCAG 2.1, 1.4.3: 4.5 to 1."""
    page = ("#fbfbf9", "#12171c")[ground]
    pairs = [*theme.SEVERITY_COLOURS.values(), *theme.STATE_COLOURS.values(), *(c for _, _, c in theme.SCORE_BANDS)]
    for pair in pairs:
        assert _contrast(pair[ground], page) >= 4.5, pair


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["![x](http://evil.example/i.png)", ":red[Bob] $x$", "a_b *c* `d`", "# 1\n- 2"])
def test_a_name_is_never_markdown(name: str) -> None:
    written = plain(name)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", written)
    assert not re.search(r"[!-/:-@\[-`{-~\n]", bare)
    assert written.replace("\\", "") == " ".join(name.split())


@pytest.mark.parametrize(
    ("kind", "peak", "unit", "evidence", "sentence"),
    [
        (
            "drowsiness",
            0.12,
            "share",
            {"level": 2, "yawns": 3, "nods": 1},
            "Drowsiness level 2: eyes at least 80 % closed for 12 % of a minute (PERCLOS), 3 yawns, 1 nod.",
        ),
        ("yawning", 3, "yawns", {"window_s": 600}, "Yawned 3 times within 10 min."),
        (
            "head_nod",
            1.4,
            "s",
            {"lowest_pitch_deg": -24.6, "eyes_closing": True},
            "Head down for 1.4 s, 25° below the usual pose, while the eyes were closing.",
        ),
        ("distraction", 3.6, "s", {"way": "long"}, "Looked away from the road for 3.6 s (Euro NCAP: from 3 s)."),
        ("distraction", 4.0, "s", {"way": "down"}, "Looked down away from the road for 4.0 s (Euro NCAP: from 3 s)."),
        (
            "distraction",
            11.2,
            "s",
            {"way": "repeated"},
            "Looked away again and again: 11.2 s within 30 s (Euro NCAP: from 10 s).",
        ),
        (
            "phone_use",
            5.5,
            "s",
            {"looks": 11, "mean_probability": 0.93},
            "A phone in the hand for 5.5 s, seen on 11 looks, 93 % sure.",
        ),
        ("smoking", 20, "s", {}, "A cigarette for 20.0 s."),
        ("drinking", 4, "s", {"looks": 8}, "Ate or drank for 4.0 s, seen on 8 looks."),
        ("no_seat_belt", 61, "s", {"belt_switch": "unknown"}, "Drove for 61 s without a seat belt."),
        (
            "no_seat_belt",
            61,
            "s",
            {"belt_switch": "unbuckled", "seen_by": "camera"},
            "Drove for 61 s without a seat belt; the vehicle's switch says so too.",
        ),
        ("camera_obstructed", 9, "s", {"reason": "nobody"}, "No driver was to be seen while driving, for 9 s."),
    ],
)
def test_what_the_drivers_camera_saw_is_a_sentence(
    kind: str, peak: float, unit: str, evidence: dict[str, object], sentence: str
) -> None:
    assert summary(kind, peak, unit, evidence, METRIC) == sentence
