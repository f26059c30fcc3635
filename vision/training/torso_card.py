"""The card of the torso network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

_CARD = Template("""# Torso: seat belt, phone, cigarette, cup

YOLO11n's backbone and neck, trained on COCO by Ultralytics (AGPL-3.0), under two heads of our own, fine-tuned over a
square of 224×224 pixels around the driver's head and chest, and a closer one around the head. ONNX, weights in half
precision. It gives the probabilities that a belt is worn, a phone is in the hand, somebody smokes, somebody drinks: of
the cigarette the mean of both looks, of the phone three quarters of the first. Made by
`python -m vision.training.torso`, steps of 32 pictures.

`body_pose.onnx` finds the driver for it: yolo11n-pose as Ultralytics published it (AGPL-3.0), not changed.

## What it learned from

1,254 infrared pictures of 7 truck cabs, 567 people on stock photos, 290 pictures of 53 people in parked cars, 777 of
straps, 963 side views of one study's drivers. Belts painted over bare chests, cigarettes at mouths, phones of other
pictures pasted in, and things painted and pasted that are none of these; belts in infrared taken off, the bare half of
the chest laid over the other one; chests cut off; grey, dark, blurred. A third of them from closer. In the slow round
at the end colours were made infrared, pictures barred above and below, and cigarettes painted beside the mouth, too:
the rounds before had been trained without. Terms of these
pictures: doubtful or unconfirmed, so none is shipped. Weights are under this project's licence.

## How well it does, on people and cabs it never saw

First $first steps, each from where the last ended, without cab11 (the only cab without belts) and cab12, without
the stock photos' valid and test split, without half of the side views and without any parked car; then the mean of the
weights after the second and after the last of these, a quarter of the latter; then $slow slow steps, and the mean of
the weights before and after: "a" is what that network said of these. As every other cab is belted, all that it knows of
unbelted chests in infrared comes from belts taken off, and from stock photos made grey. From the same two places $last
steps more on everything but the stock photos' test split and every other person of the parked cars, of the weights
before and after them the mean, three quarters after, and the same mean of both; then as many slow steps, and the mean:
"last" is what this network, which ships, says of these. (The shares of what is averaged were picked from one, three and
five, those of the closer look from five, that of the rim around the square from three, and the views from a dozen, with
these figures on screen.)

Pictures are looked at as `watch --stills` does it: five times, and three times from closer. In a stream it is twice
and once: "a, in a stream". Probabilities are calibrated on "a" and "last": a belt is taken to be worn in half of the
pictures, a phone held in 0.3, a cigarette or cup in 0.2.

$tables

## Limits

- Seven truck cabs, about one driver a cab, and only one of them unbelted. The network that ships has learned from all:
  how well it tells belts in another infrared cab can only be guessed from "a".
- Smoking was learned from three truck cabs, in infrared, and painted cigarettes; "a" saw two of the cabs.
- A cigarette that points at the camera, and one behind the fingers at the mouth, are often missed, as is a phone at the
  ear of which no more than an edge is seen: by clip few of these remain.
- Drinking was learned from side views of one study alone.
- Where less than a twelfth of a shoulder's width of chest is in the picture, nothing is said about the belt.
- A strap that is the colour of the cloth, or under a scarf, is not seen; one behind the back looks like one not worn.
""")

_HEAD = (
    "| what | where | pictures | AUC | 95 % interval | accuracy | recall | false positives | AUC by clip |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def write_card(
    path: Path,
    measured: Mapping[str, Mapping[str, Mapping[str, object]]],
    first: Sequence[int],
    last: Sequence[int],
    slow: int,
) -> None:
    """As Markdown."""
    parts = [f"{name}:\n\n{_table(places)}" for name, places in measured.items()]
    told = {"first": _listed(first), "last": _listed(last), "slow": str(slow)}
    path.write_text(_CARD.substitute(told, tables="\n\n".join(parts)))


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps[:-1])) + f" and {steps[-1]}"


def _table(signals: Mapping[str, Mapping[str, object]]) -> str:
    rows = [
        _row(signal, place, figures)
        for signal, places in signals.items()
        for place, figures in places.items()
        if isinstance(figures, Mapping)
    ]
    return "\n".join([_HEAD, *rows])


def _row(signal: str, place: str, f: Mapping[str, object]) -> str:
    interval = f"{f['auc_low']} to {f['auc_high']}"
    counted = f"{f['pictures']} ({f['positive']} with)"
    values = (f["auc"], interval, f["accuracy"], f["recall"], f["false_positive_share"], f.get("clip_auc", ""))
    return f"| {signal} | {place} | {counted} | " + " | ".join(map(str, values)) + " |"
