"""The model card of the yawn scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

_CARD = Template("""# Yawns

A logistic scale of three weights over the shape of the mouth as mediapipe's face mesh sees it: height of the inner lips
over their width, the same over the length of the nose, width of the mouth over the distance of the eyes. Made by
`python -m vision.training.yawns`.

## What it learned from

| source | mouths | what it is |
|---|---|---|
| frames | $frames_faces, $frames_yawns of them yawns | drivers of parked cars, YawDD stills; folds are number ranges |
| clips | $clips_faces, $clips_yawns of them yawns | two YawDD drivers, hand-labelled: mouth shut, talking, one yawn |
| awake | $awake_faces, no yawns | the acted clip that ships with this project, its awake part |
| stills | $stills_faces, no yawns | stock pictures of drivers, many smiling or talking |
| truck | $truck_faces, no yawns | near-infrared truck cabs, hats, masks, cigarettes; only nearly shut lips |

Terms of these pictures: none stated for YawDD and the truck cabs, doubtful for the stock pictures. No picture is
shipped. Weights are under this project's licence.

## How well it does, on number ranges, people and cabs it never saw (four folds)

| source | AUC | 95 % interval | lips alone | AUC, no face = no yawn | recall at 0.5 | precision |
|---|---|---|---|---|---|---|
$rows

Above 0.5 where nobody yawns: awake driver $awake_alarms of $awake_faces, talking driver $talking_alarms of
$talking_faces, stock pictures $stills_alarms of $stills_faces. In the truck cabs, where nobody has labelled yawns,
$truck_alarms of $truck_faces; in the drowsy part of the acted clip, with some yawns, $drowsy_alarms of $drowsy_faces.

## Limits

- Acted yawns by day. No yawn in infrared was learned from or judged.
- The same people are in yawning and other frames under different numbers, so a fold may have seen a person with the
  mouth shut whose yawn it judges. Both drivers of the clips are among the frames.
- One talking driver, nobody singing. A single frame cannot tell a wide vowel, or a cry, from a
  yawn: the rules want a second of it.
- A yawn behind a hand or a mask is not seen. A wide laugh in a single picture often looks like one, as in the stock
  pictures.
- Where no face is found there is no probability, and the frame is silent about yawns.
""")


def write_card(path: Path, measured: Mapping[str, Mapping[str, object]]) -> None:
    """The card, as Markdown."""
    rows = [
        f"| {source} | {f['auc']} | {_interval(f)} | {f['auc_lips_alone']} "
        f"| {f['auc_all_frames']} | {f['recall']} | {f['precision']} |"
        for source, f in measured.items()
        if "auc" in f
    ]
    words = {f"{source}_{name}": value for source, f in measured.items() for name, value in f.items()}
    path.write_text(_CARD.substitute(words, rows="\n".join(rows)))


def _interval(figures: Mapping[str, object]) -> str:
    return "one range" if figures["groups"] == 1 else f"{figures['auc_low']} to {figures['auc_high']}"
