"""Matching to the road: right, wrong and unknown limits by receiver noise, and points a second beside bare Valhalla."""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from scoring.core import roads as core
from scoring.roads.matcher import Matcher
from tests import roads
from tests.roads import PLACES, Driven, driven, route

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_suffix(".md")
RESULT = ROOT / "build" / "bench" / "roads.json"
NOISES_M = (3.0, 5.0, 8.0, 15.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=len(PLACES), help="fewer are quicker")
    count = parser.parse_args().places
    places = list(PLACES.values())[:count]
    with tempfile.TemporaryDirectory() as folder:
        since = time.perf_counter()
        matcher = Matcher(roads.build_tiles(Path(folder) / "tiles"))
        built_s = time.perf_counter() - since
        ways = [route(matcher, a, b) for a, b in itertools.permutations(places, 2)]
        rows = []
        for noise_m in NOISES_M:
            rows.append(measure(matcher, [driven(w, noise_m=noise_m, seed=i) for i, w in enumerate(ways)], noise_m))
            print(rows[-1], flush=True)
        speed = compare_speed(matcher, [driven(w, seed=i) for i, w in enumerate(ways[:12])])
    result = {"ways": len(ways), "km": round(sum(len(w.lat) for w in ways) / 1000), "noise": rows, **speed}
    result["tiles_built_s"] = round(built_s, 1)
    result["command"] = "make bench-roads" + (f' ARGS="--places {count}"' if count < len(PLACES) else "")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1))
    PAGE.write_text(page(result))
    print(PAGE.read_text())


def measure(matcher: Matcher, drives: list[Driven], noise_m: float) -> dict[str, float]:
    """Shares of fixes on roads with a limit; ``invented``: of those on roads without, given one."""
    found = [matcher.match(drive.gps) for drive in drives]
    truth = np.concatenate([drive.limit_mps for drive in drives])
    limit, sure = (np.concatenate([getattr(one, name) for one in found]) for name in ("limit_mps", "confidence"))
    tagged, right = np.isfinite(truth), np.isclose(limit, truth, atol=0.1)
    believed = (sure >= core.LEAST_CONFIDENCE) & ~np.isnan(limit)
    return {
        "noise_m": noise_m,
        "fixes": len(truth),
        "on_tagged_roads": int(tagged.sum()),
        "right": round(float((believed & right)[tagged].mean()), 4),
        "wrong": round(float((believed & ~right)[tagged].mean()), 4),
        "unknown": round(float((~believed)[tagged].mean()), 4),
        "wrong_without_confidence": round(float((~right & ~np.isnan(limit))[tagged].mean()), 4),
        "invented": round(float(believed[~tagged].mean()), 4),
    }


def compare_speed(matcher: Matcher, drives: list[Driven]) -> dict[str, float]:
    """Points a second of CPU time, whole and of one bare ``trace_attributes``, in turns on the same traces."""
    whole = bare = 0.0
    points = sum(len(drive.gps) for drive in drives)
    for drive in drives:
        since = time.process_time()
        matcher.answer(drive.gps.lat, drive.gps.lon, 5.0)
        middle = time.process_time()
        matcher.match(drive.gps)
        bare, whole = bare + middle - since, whole + time.process_time() - middle
    return {
        "points_per_s": round(points / whole),
        "bare_points_per_s": round(points / bare),
        "time_over_bare": round(whole / bare, 2),
    }


def page(result: dict[str, object]) -> str:
    names = ("noise_m", "fixes", "on_tagged_roads", "right", "wrong", "unknown", "wrong_without_confidence", "invented")
    rows: list[dict[str, float]] = result["noise"]  # type: ignore[assignment]
    table = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    table += [f"| {' | '.join(format(row[name], 'g') for name in names)} |" for row in rows]
    hour_s = 3600 / float(str(result["points_per_s"]))
    return f"""# Matching to the road

Made by `{result["command"]}` on Python {platform.python_version()}, with the roads of Andorra
(© OpenStreetMap contributors, ODbL 1.0). Drives of 1 Hz along {result["ways"]} ways found by Valhalla,
{result["km"]} km: at 0.9 of the limit, with an error of the receiver that wanders over 20 s, `noise_m` on the
ground (rms). The truth is the limit of the edge on which the drive was.

{chr(10).join(table)}

Shares `right`, `wrong` and `unknown` are of the fixes on roads whose limit the map has; `invented` is of the
fixes on roads whose limit it has not. `wrong_without_confidence` is what `wrong` would be, were every match
believed.

Every trace is matched three times, as it is and moved to each side: {result["points_per_s"]:,} points a second of
one core, where one bare `trace_attributes` does {result["bare_points_per_s"]:,}: {result["time_over_bare"]} times its
time, in the same run. An hour at 1 Hz takes {hour_s:.1f} s. The tiles were built in {result["tiles_built_s"]} s.
The machine was busy with other work: read the ratio.
"""


if __name__ == "__main__":
    main()
