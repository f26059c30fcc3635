"""Model cards: what a network is for, what it learned from, how well it does where, and where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

_EYES = Template("""# Eye state: open or shut

A network of 57,000 weights (ONNX, 230 kB) over one eye, 32×32 pixels of grey, cut out between the eye's corners as
mediapipe's face mesh finds them. It gives the probability that the eye is shut. Made by
`python -m vision.training.eyes`, $epochs epochs.

## What it learned from

| source | eyes | what it is |
|---|---|---|
| colour | $colour_eyes | close-ups, from phones and webcams; no subjects known, so folds are ranges of file numbers |
| infrared | $infrared_eyes | near-infrared laboratory faces, MRL Eye Dataset; folds by subject |
| truck_box | $truck_box_eyes | near-infrared truck cabs, hand-drawn boxes; folds by cab |
| truck_mesh | $truck_mesh_eyes | the same cabs, eyes as the face mesh finds them; folds by cab |

Terms of these pictures: none stated for colour and the truck cabs, not confirmed for MRL. No picture is shipped.
Weights are under this project's licence.

## How well it does, on people and cabs it never saw (four folds)

| source | AUC | 95 % interval (groups drawn again) | accuracy at 0.5 |
|---|---|---|---|
$rows

AUC within each person or cab that has both classes (boxes first, then as the mesh finds them): $within.

## Limits

- Labels of the truck cabs are about 85 % right: most of the worst disagreements are narrowed or shut eyes called open
  (looked through by eye). Its figures there are a lower bound.
- Few people: the infrared laboratory's open eyes come from six subjects, the truck cabs show about one driver each.
- Where the face mesh puts an eye beside the eye (a head turned away, a hand, dark glasses), the answer means nothing.
- Looking down narrows the eye as dozing does.
""")


def write_card(path: Path, measured: Mapping[str, Mapping[str, object]], epochs: int) -> None:
    """The card of the eye-state network, as Markdown."""
    rows = [
        f"| {source} | {f['auc']} | {f['auc_low']} to {f['auc_high']} | {f['accuracy']} |"
        for source, f in measured.items()
    ]
    judged = [f for source, f in measured.items() if source != "colour" and "mask" not in source]  # groups are persons
    within = [f"{name} {auc}" for f in judged for name, auc in _pairs(f["auc_within_groups"])]
    counts = {f"{source}_eyes": f["eyes"] for source, f in measured.items()}
    path.write_text(_EYES.substitute(counts, epochs=epochs, rows="\n".join(rows), within=", ".join(within)))


def _pairs(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, Mapping) else []
