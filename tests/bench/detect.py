"""How good the detectors are, on recordings: a table to tests/bench/detect.md, figures to build/bench/detect.json.

    python -m tests.bench.detect [--data ../shared/data/drives]

A data set that is not there is said to be missing, and its rows are left out.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from infra.contracts.events import EventKind, SafetyEvent, TripStatus
from infra.contracts.telemetry import GpsSamples, VehicleClass, empty_imu, take
from infra.runtime.simulate import simulate_vehicle
from infra.runtime.simulated_drive import BY_CHANCE, WRECKS, Noise, TrueEvent, Word
from scoring.core.pipeline import Found, fold_batch
from scoring.core.rules import DEFAULT, HarshThresholds, NearCrashRule
from scoring.core.state import VehicleState
from tests.bench.glitches import glitches
from tests.bench.judged import Section, judge
from tests.bench.mounting import measure as measure_mountings
from tests.bench.recordings import Labelled, Recorded, batches, blackbox, comma, hundred_car, receivers, rotated
from tests.bench.sensitivity import sensitivities
from tests.unit.scoring.road import any_rotation

HERE = Path(__file__).parent
FIGURES = Path("build/bench/detect.json")
EVIDENCE_G = (0.3, 0.34, 0.36, 0.39, 0.42, 0.46, 0.52, 0.6, 0.7, 0.85)
PER_HOUR = (10.0, 3.0)
ROTATIONS = 200
VEHICLES, DRIVE_S = 40, 3600.0
BUMPS_PER_HOUR = 30.0
NIGHT_S = DEFAULT.night_minimum_us / 1e6
NEED_IMU = {"crash", "rollover", "swerve"}  # not judged by GPS alone
LONG_DRIVES = ((6.0, 3.0, 0), (4.3, 2.0, 0), (5.0, 2.5, 50), (5.5, 2.0, 30), (6.0, 5.0, 60), (4.0, 2.0, 5))
"""Hours, after how many comes a break, and its minutes."""


# --- simulated, with the truth known ----------------------------------------------------------------------


def simulated(data: Path) -> Section:
    """Precision and recall per kind; the truth of speeding are the stretches that last their band's minimum."""
    rows = ["| device | kind | true | precision | recall | F1 |", "|---|---|---|---|---|---|"]
    figures = {}
    for name, word, spoil in (
        ("25 Hz in the vehicle's axes", "", _as_it_is),
        ("25 Hz at any angle", "", _at_an_angle),
        ("noise doubled, gaps, GPS 2 s late, any angle", "noisy_", _noisy),
        ("GPS alone", "gps_", _gps_alone),
    ):
        counts = _score_fleet(spoil, () if word == "gps_" else WRECKS)
        if word == "gps_":
            counts = {kind: counts[kind] for kind in counts if kind not in NEED_IMU}
        precision, recall, f1 = [], [], []
        for kind in sorted(counts):
            right, wrong, missed = counts[kind]
            precision.append(right / max(right + wrong, 1))
            recall.append(right / max(right + missed, 1))
            f1.append(2 * right / max(2 * right + wrong + missed, 1))
            numbers = f"{precision[-1]:.3f} | {recall[-1]:.3f} | {f1[-1]:.3f}"
            rows.append(f"| {name} | {kind} | {right + missed} | {numbers} |")
        measures = (("precision", precision), ("recall", recall), ("f1", f1))
        for measure, values in measures:
            key = f"simulated_{word}{measure}_min"
            figures[key] = min(*values, figures.get(key, 1.0))
    return Section(f"Simulated fleet, {VEHICLES} vehicles, {DRIVE_S / 3600:g} h each, seed 7", rows, figures)


Spoil = Callable[[Recorded, int], Recorded]


def _as_it_is(recorded: Recorded, seed: int) -> Recorded:
    return recorded


def _at_an_angle(recorded: Recorded, seed: int) -> Recorded:
    return rotated(recorded, any_rotation(seed))


def _gps_alone(recorded: Recorded, seed: int) -> Recorded:
    return replace(recorded, imu=empty_imu())


def _noisy(recorded: Recorded, seed: int) -> Recorded:
    rng = np.random.default_rng(seed)
    imu, gps = recorded.imu, recorded.gps
    columns = {
        name: getattr(imu, name) + rng.normal(0, 0.3 if "accel" in name else 0.01, len(imu)).astype(np.float32)
        for name in imu.__slots__[1:]
    }
    late = replace(gps, speed_mps=np.roll(gps.speed_mps, 2), heading_deg=np.roll(gps.heading_deg, 2))
    kept = (gps.time_us // 1_000_000) % 900 >= 15  # a gap of 15 s every quarter of an hour
    kept_imu = (imu.time_us // 1_000_000) % 900 >= 15
    spoiled = replace(recorded, gps=take(late, kept), imu=take(replace(imu, **columns), kept_imu))
    return _at_an_angle(spoiled, seed)


def _score_fleet(spoil: Spoil, wrecks: Sequence[Word]) -> dict[str, tuple[int, int, int]]:
    """Every drive with potholes and lane changes; every one ends in a crash or a rollover, in turn."""
    right, wrong, missed = Counter(), Counter(), Counter()
    for number in range(VEHICLES):
        wreck = wrecks[number % 2] if wrecks else None
        manifest, _, drive = simulate_vehicle(
            7, number, DRIVE_S, Noise(bumps_per_hour=BUMPS_PER_HOUR), wreck, BY_CHANCE
        )
        recorded = spoil(Recorded("simulated", manifest.vehicle_id, drive.gps, drive.imu), number)
        times = recorded.gps.time_us
        events = judge(recorded, vehicle_class=manifest.vehicle_class).events
        night = [e for e in events if e.kind is EventKind.NIGHT_DRIVING]
        _note(len(night), int(_dark_s(recorded.gps) >= NIGHT_S), "night_driving", right, wrong, missed)
        events = [e for e in events if e not in night]
        for true in drive.events:
            if _counts(true) and _was_seen(true, times):
                (right if any(_same(e, true) for e in events) else missed)[str(true.word)] += 1
        wrong.update(str(e.kind) for e in events if not any(_same(e, true) for true in drive.events))
    kinds = right.keys() | wrong.keys() | missed.keys()
    return {kind: (right[kind], wrong[kind], missed[kind]) for kind in kinds}


def _note(found: int, true: int, kind: str, right: Counter[str], wrong: Counter[str], missed: Counter[str]) -> None:
    right[kind] += min(found, true)
    wrong[kind] += max(found - true, 0)
    missed[kind] += max(true - found, 0)


def _dark_s(gps: GpsSamples) -> float:
    """Seconds driven with the sun more than 6 degrees down, by Cooper's declination and mean solar time."""
    days = gps.time_us / 86.4e9
    of_year = days - 20454  # 2026-01-01
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + of_year) / 365)
    hour_angle = 2 * np.pi * (days % 1 + gps.lon / 360 - 0.5)
    lat = np.radians(gps.lat)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
    return float(((np.degrees(np.arcsin(up)) < -6) & (gps.speed_mps >= 2.3)).sum())


def _same(event: SafetyEvent, true: TrueEvent) -> bool:
    slack_us = 3_000_000
    near = event.start_us <= true.end_us + slack_us and event.end_us >= true.start_us - slack_us
    return near and str(true.word) in event.evidence.get("labels", [str(event.kind)])


def _counts(true: TrueEvent) -> bool:
    """Speeding shorter than its band's minimum is none; a ramp up and down of 5 s in all lies in lower bands. What
    comes close to a minimum is left out. Racing over the top speed lasts 25 s in a high band."""
    lasted_s = (true.end_us - true.start_us) / 1e6
    if true.word is Word.MAX_SPEED:
        return lasted_s >= DEFAULT.max_speed.minimum_us / 1e6 + 3
    if true.word is not Word.SPEEDING or not true.band:
        return True
    return lasted_s >= next(band.minimum_s for band in DEFAULT.speeding_bands if band.word == true.band) + 8


def _was_seen(true: TrueEvent, fix_us: np.ndarray) -> bool:
    """Not inside a gap of the recording, nor at its edge."""
    around = fix_us[(fix_us >= true.start_us - 4_000_000) & (fix_us <= true.end_us + 4_000_000)]
    return len(around) > 2 and np.diff(around).max() < 3_000_000


def long_drives(data: Path) -> Section:
    """GPS alone. Stops at lights last 40 s at most, so that only a break that was cut in is one."""
    rows = ["| drive | hours driven | longest without a break | long_driving: told | night_driving: true, told |"]
    rows.append("|---" * 5 + "|")
    right, wrong, missed = Counter(), Counter(), Counter()
    for number, (hours, at_h, break_min) in enumerate(LONG_DRIVES):
        manifest, _, drive = simulate_vehicle(8, number, hours * 3600, Noise())
        later_us = np.where(np.arange(len(drive.gps)) >= at_h * 3600, break_min * 60_000_000, 0)
        gps = replace(drive.gps, time_us=drive.gps.time_us + later_us + number * 5 * 3_600_000_000)
        events = judge(Recorded("simulated", manifest.vehicle_id, gps, empty_imu())).events
        told = {e.event_id: e for e in events if e.kind is EventKind.LONG_DRIVING}
        night = [e for e in events if e.kind is EventKind.NIGHT_DRIVING]
        longest = max(at_h, hours - at_h) if break_min >= 45 else hours
        dark_s = _dark_s(gps)
        _note(len(told), int(longest > 4.5), "long_driving", right, wrong, missed)
        # A long break makes two drives of one night: told or not is right
        _note(min(len(night), 1), int(dark_s >= NIGHT_S), "night_driving", right, wrong, missed)
        said = ", ".join(f"{e.peak / 3600:.2f} h" for e in told.values()) or "no"
        dark = f"{dark_s / 3600:.2f} h, {', '.join(f'{e.peak / 3600:.2f} h' for e in night) or 'no'}"
        cut = f"a break of {break_min} min after {at_h:g} h" if break_min else "no break"
        rows.append(f"| {hours:g} h, {cut} | {hours:g} | {longest:g} h | {said} | {dark} |")
    figures = {}
    for kind in ("long_driving", "night_driving"):
        figures[f"simulated_{kind}_precision"] = right[kind] / max(right[kind] + wrong[kind], 1)
        figures[f"simulated_{kind}_recall"] = right[kind] / max(right[kind] + missed[kind], 1)
    return Section("Simulated long drives, seed 8, each 5 h later in the day than the one before", rows, figures)


# --- the 100-Car study ------------------------------------------------------------------------------------


def near_crashes(data: Path) -> Section:
    """Evidence of a near crash at several thresholds, against events with a braking reaction.

    These are the 304 whose driver reaction names braking, whatever the sensors recorded. A trigger that begins from
    2 s before the label's start on is a hit; those that begin before are counted per hour of that time. The weights
    of the evidence were chosen on the vehicles whose number has an even CRC-32.
    """
    labelled = list(hundred_car(data / "nds100car"))
    halves = {
        "all": labelled,
        "chosen on": [one for one in labelled if _is_even(one)],
        "held out": [one for one in labelled if not _is_even(one)],
    }
    rows = [
        f"| threshold (g) | {' | '.join(f'{name}: recall | per hour' for name in halves)} |",
        "|---" * (1 + 2 * len(halves)) + "|",
    ]
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in halves}
    for evidence_g in EVIDENCE_G:
        tried = {one.recorded.name: _tried(one, evidence_g) for one in labelled}
        for name, half in halves.items():
            curves[name].append(_rate_and_recall([tried[one.recorded.name] for one in half]))
        numbers = (f"{curves[name][-1][1]:.3f} | {curves[name][-1][0]:.1f}" for name in halves)
        rows.append(f"| {evidence_g:.2f} | {' | '.join(numbers)} |")
    keys = {"all": "", "held out": "held_out_", "chosen on": "chosen_on_"}
    figures = {
        f"nds100car_{keys[name]}recall_at_{rate:g}_per_h": _at(curve, rate)
        for name, curve in curves.items()
        for rate in PER_HOUR
    }
    rows += ["", *(f"{name.replace('_', ' ')}: {value:.3f}" for name, value in figures.items())]
    return Section(f"100-Car, {len(labelled)} crashes and near crashes", rows, figures)


def _is_even(one: Labelled) -> bool:
    return zlib.crc32(one.recorded.vehicle.removeprefix("car-").encode()) % 2 == 0


@dataclass(frozen=True)
class Tried:
    counts: bool  # the driver braked
    hit: bool
    triggers: int
    hours: float


def _tried(one: Labelled, evidence_g: float) -> Tried:
    rules = replace(DEFAULT, near_crash=NearCrashRule("tried", {"tried": evidence_g}), harsh=_NO_HARSH)
    starts_us = [e.start_us for e in judge(one.recorded, rules).events if e.kind is EventKind.NEAR_CRASH]
    before_us = one.start_us - 2_000_000
    times = one.recorded.imu.time_us
    hours = float(np.minimum(np.diff(times[times < before_us]), 500_000).sum() / 3.6e9)
    triggers = sum(start_us < before_us for start_us in starts_us)
    return Tried(one.braked, triggers < len(starts_us), triggers, hours)


_NO_HARSH = dict.fromkeys(VehicleClass, HarshThresholds(9.0, 9.0, 9.0))  # whose events would take the near crash in


def _rate_and_recall(tried: list[Tried]) -> tuple[float, float]:
    hits = [one.hit for one in tried if one.counts]
    return sum(one.triggers for one in tried) / sum(one.hours for one in tried), sum(hits) / len(hits)


def _at(curve: list[tuple[float, float]], rate: float) -> float:
    """Recall at a rate of triggers, on the line between the thresholds tried."""
    points = sorted(curve)
    return round(float(np.interp(rate, [r for r, _ in points], [recall for _, recall in points])), 3)


# --- the rest ---------------------------------------------------------------------------------------------


def mounting(data: Path) -> Section:
    """The forward axis after turning the device, against the direction of the poses' velocities."""
    recorded, ahead = comma(data / "comma2k19")
    errors, since = [], []
    for seed in range(ROTATIONS):
        turn = any_rotation(seed)
        state, found = VehicleState(), Found("civic", DEFAULT)
        for batch in batches(rotated(recorded, turn)):
            state = fold_batch(state, batch, found)
        known = state.mounting.current if state.mounting else None
        angle = 180.0 if known is None else np.degrees(np.arccos(np.clip(known.matrix[0] @ turn @ ahead, -1, 1)))
        errors.append(float(angle))
        since.append(np.inf if known is None else (known.since_us - int(recorded.imu.time_us[0])) / 1e6)
    share = float(np.mean(np.array(errors) <= 5))
    rows = [
        f"{ROTATIONS} random rotations: forward axis within 5 degrees in {100 * share:.1f} %, median error "
        f"{np.median(errors):.2f}, worst {max(errors):.2f} degrees; known {max(since):.0f} s after the start at the "
        "latest. The minute has one acceleration and gentle braking, and hardly a turn."
    ]
    return Section("Mounting, comma2k19", rows, {"calibration_within_5deg_share": share})


def devices(data: Path) -> Section:
    """Mountings of many kinds of devices, in a minute each."""
    rows, figures = measure_mountings(data)
    return Section("Mounting, other devices, 60 s with a brake and a turn", rows, figures)


def everyday(data: Path) -> Section:
    counts: Counter[str] = Counter()
    km = 0.0
    for recorded in blackbox(data / "nds_blackbox"):
        found = judge(recorded)
        counts.update(f"{e.kind}" for e in found.events)
        km += sum({t.trip_id: t.distance_m for t in found.trips if t.status is TripStatus.ENDED}.values()) / 1000
    said = ", ".join(f"{n} {kind}" for kind, n in counts.items()) or "none"
    rows = [f"{km:.0f} km: {said}. The recorder's own flag (one sample of 0.35 g) marks 107 places."]
    return Section(
        "Everyday drives at 1 Hz, nds_blackbox", rows, {"blackbox_events_per_100km": counts.total() / km * 100}
    )


def agreement(data: Path) -> Section:
    """Four receivers of positions alone, on the same drives."""
    rows = ["| trip | receiver | distance (km) | top speed (m/s) | events |", "|---|---|---|---|---|"]
    spreads = []
    for trip in (1, 2):
        distances = []
        for name, recorded in receivers(data / "gps_lane_changes", trip).items():
            found = judge(recorded)
            trips = list({t.trip_id: t for t in found.trips}.values())
            distances.append(sum(t.distance_m for t in trips) / 1000)
            top = max((t.max_speed_mps for t in trips), default=0)
            rows.append(f"| {trip} | {name} | {distances[-1]:.3f} | {top:.1f} | {len(found.events)} |")
        spreads.append((max(distances) - min(distances)) / np.mean(distances))
    return Section("Receivers on one drive, gps_lane_changes", rows, {"distance_spread_share": float(max(spreads))})


def speed(data: Path) -> Section:
    """Data points (measured values) per second of one core, and a bare NumPy pass over the same arrays."""
    _, _, drive = simulate_vehicle(7, 0, 3600.0, Noise())
    messages = list(batches(Recorded("simulated", "v", drive.gps, drive.imu)))
    points = len(drive.imu) * 6 + len(drive.gps) * 7
    state, found = VehicleState(), Found("v", DEFAULT)
    start = time.process_time()
    for batch in messages:
        state = fold_batch(state, batch, found)
    took_s = time.process_time() - start
    start = time.process_time()
    for batch in messages:
        for samples in (batch.imu, batch.gps):
            for name in samples.__slots__:
                np.abs(getattr(samples, name)).max(initial=0)
    bare_s = time.process_time() - start
    rows = [
        f"{points / took_s:,.0f} points/s, {1000 * took_s / len(messages):.2f} ms per message of 10 s at 25 Hz; "
        f"a bare pass over the same arrays takes {100 * bare_s / took_s:.0f} % of that."
    ]
    return Section(
        "Speed, one core", rows, {"points_per_s_core": points / took_s, "ratio_to_bare_pass": took_s / bare_s}
    )


SETS: dict[Callable[[Path], Section], str] = {
    simulated: "",
    long_drives: "",
    near_crashes: "nds100car",
    sensitivities: "nds100car",
    glitches: "nds100car",
    mounting: "comma2k19",
    devices: "",
    everyday: "nds_blackbox",
    agreement: "gps_lane_changes",
    speed: "",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/drives"))
    parser.add_argument("--only", nargs="*", help="names of sections; nothing is written then")
    options = parser.parse_args()
    lines = ["# Detectors on recordings", "", "Made by `make bench-detect`.", ""]
    figures: dict[str, float] = {}
    for measure, folder in SETS.items():
        if options.only and measure.__name__ not in options.only:
            continue
        if folder and not (options.data / folder).exists():
            lines += [f"## {measure.__name__}", "", f"{options.data / folder}: not there", ""]
            continue
        section = measure(options.data)
        lines += [f"## {section.title}", "", *section.rows, ""]
        figures |= {name: round(float(value), 4) for name, value in section.figures.items()}
        print("\n".join([section.title, *section.rows, ""]), flush=True)
    if options.only:
        return
    (HERE / "detect.md").write_text("\n".join(lines))
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    print(FIGURES.read_text())


if __name__ == "__main__":
    main()
