"""Formulas of the score on one simulated fleet: which ranks drivers as their true risk does, and which stays put.

    python -m tests.bench.formulas [--drivers 2000]

A driver has a manner, from which the true risk follows, and habits of each kind that follow it loosely; a month has
its exposure, Poisson events and time over the limit. No formula's weights are in it. Worlds and formulas were made
with seeds 1 and 2; the table is of others. Table to tests/bench/formulas.md, figures to build/bench/formulas.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import Float64
from scoring.core.formulas.expected_risk import SPELL_S, RiskFormula
from scoring.core.formulas.peers import fit_peers
from scoring.core.formulas.port import Result
from scoring.core.formulas.table import FORMULAS, OURS
from scoring.core.formulas.tally import Tally

TABLE, FIGURES = Path(__file__).with_suffix(".md"), Path("build/bench/formulas.json")
SEEDS = (101, 102, 103, 104, 105)
HABITS = {  # kind: mean per 1,000 km, how far it follows the manner, how far it is a habit of its own
    EventKind.HARSH_BRAKE: (4.0, 0.6, 0.5),
    EventKind.HARSH_ACCELERATION: (5.0, 0.3, 0.7),
    EventKind.HARSH_TURN: (5.0, 0.4, 0.7),
    EventKind.MICROSLEEP: (0.1, 0.7, 0.8),
}
SPEEDING = (0.05, 0.4, 0.8)  # the same of the share of time over the limit
BAND_MIX = (8.0, 4.0, 1.2, 0.3)
SEVERITY_MIX = (0.78, 0.16, 0.05, 0.01)
RISK_OF_MANNER = 0.8
SPEEDING_EVENT_S = 90.0
WORLDS = {"1,500 km a month": 1_500.0, "400 km a month": 400.0}


@dataclass(frozen=True)
class Fleet:
    """``risk``: of crashes, true. ``months``: two tallies a driver, who does not change between them."""

    risk: Float64
    months: list[list[Tally]]
    rates: dict[EventKind, Float64]  # per 1,000 km, true
    over: Float64  # shares of time per band, drivers x bands, true


@dataclass(frozen=True)
class Row:
    formula: str
    scored: float  # share of drivers with a score in both months
    rank_correlation: float  # with the true risk
    moved: float  # points, mean, of an unchanged driver from month to month
    moved_of_spread: float  # the same over the standard deviation between drivers
    month_correlation: float  # of the ranks of one month with those of the other


def simulate(seed: int, drivers: int, km: float) -> Fleet:
    rng = np.random.default_rng(seed)
    manner = rng.normal(size=drivers)
    usual_km = km * np.exp(rng.normal(0, 0.8, drivers))
    km_h = 45 * np.exp(rng.normal(0, 0.25, drivers))
    rates = {kind: _habit(rng, manner, habit) for kind, habit in HABITS.items()}
    over = _habit(rng, manner, SPEEDING)[:, None] * np.array(BAND_MIX) / sum(BAND_MIX)
    driven = [usual_km * np.exp(rng.normal(0, 0.3, drivers)) for _ in range(2)]
    months = [_month(rng, km, km / km_h, rates, over) for km in driven]
    return Fleet(np.exp(RISK_OF_MANNER * manner), months, rates, over)


def _habit(rng: np.random.Generator, manner: Float64, habit: tuple[float, float, float]) -> Float64:
    mean, follows, own = habit
    return mean * np.exp(follows * manner + rng.normal(0, own, len(manner)) - (follows**2 + own**2) / 2)


def _month(rng: np.random.Generator, km: Float64, hours: Float64, rates: dict, over: Float64) -> list[Tally]:
    lapse = rng.gamma(1 / 0.3, 0.3, len(km))[:, None]  # some months one is late more often
    over_s = np.minimum(over * lapse, 0.2) * (hours * 3600)[:, None]
    counts = {kind: rng.multinomial(rng.poisson(rate * km / 1000), SEVERITY_MIX) for kind, rate in rates.items()}
    spells = rng.poisson(over_s.sum(axis=1) / SPEEDING_EVENT_S)
    found = []
    for driver, (driver_km, driver_h) in enumerate(zip(km.tolist(), hours.tolist(), strict=True)):
        events = {(k, s): int(n) for k, rows in counts.items() for s, n in zip(Severity, rows[driver], strict=True)}
        events[EventKind.SPEEDING, Severity.MODERATE] = int(spells[driver])
        time_s = driver_h * 3600
        counted = {key: count for key, count in events.items() if count}
        found.append(Tally(driver_km * 1000, time_s, time_s, tuple(over_s[driver].tolist()), counted))
    return found


def compare(name: str, formula: Callable[[Tally], Result], fleet: Fleet) -> Row:
    first, second = (np.array([_value(formula(one)) for one in month]) for month in fleet.months)
    both = np.isfinite(first) & np.isfinite(second)
    moved = float(np.abs(first - second)[both].mean())
    return Row(
        formula=name,
        scored=float(both.mean()),
        rank_correlation=-_spearman(first[both], fleet.risk[both]),
        moved=moved,
        moved_of_spread=moved / float(first[both].std()),
        month_correlation=_spearman(first[both], second[both]),
    )


def _value(result: Result) -> float:
    return np.nan if result.value is None else result.value


def _spearman(a: Float64, b: Float64) -> float:
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Float64) -> Float64:
    """Of equal values the mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def coverage(formula: RiskFormula, fleet: Fleet) -> float:
    """How often the interval holds the score that the driver's true rates would make."""
    risk = sum(
        rate * formula.events[kind].weight * formula.events[kind].peers_share for kind, rate in fleet.rates.items()
    )
    for place, cause in enumerate(formula.bands.values()):
        risk = risk + fleet.over[:, place] * 3600 / SPELL_S * cause.weight
    true = 100 * formula.scale / (formula.scale + risk)
    results = [formula(one) for one in fleet.months[0]]
    low, high = (np.array([getattr(result, end) for result in results]) for end in ("low", "high"))
    return float(np.mean((low <= true) & (true <= high)))


def bench(drivers: int) -> tuple[dict[str, list[Row]], dict[str, float]]:
    """Per world the rows, means over the seeds; and how often our interval holds."""
    rows, holds = {}, {}
    for world, km in WORLDS.items():
        by_seed, held = [], []
        for seed in SEEDS:
            fleet = simulate(seed, drivers, km)
            fitted = fit_peers(OURS, fleet.months[0])
            asked = {"expected-risk, peers of this fleet": fitted, "expected-risk, as it comes": OURS}
            asked |= {name: formula for name, formula in FORMULAS.items() if formula is not OURS}
            by_seed.append([compare(name, formula, fleet) for name, formula in asked.items()])
            held.append(coverage(fitted, fleet))
        rows[world] = [_mean(list(same)) for same in zip(*by_seed, strict=True)]
        holds[world] = float(np.mean(held))
    return rows, holds


def _mean(rows: list[Row]) -> Row:
    names = [name for name in Row.__dataclass_fields__ if name != "formula"]
    return Row(rows[0].formula, *(float(np.mean([getattr(row, name) for row in rows])) for name in names))


def page(rows: dict[str, list[Row]], holds: dict[str, float], drivers: int) -> str:
    lines = ["# Formulas side by side", "", "Made by `make bench-formulas`.", ""]
    lines += [
        f"{drivers:,} simulated drivers, two months, means over seeds {SEEDS[0]} to {SEEDS[-1]}. Moved: points from"
    ]
    lines += [
        "one month to the next, of drivers who do not change; of spread: over the standard deviation between drivers."
    ]
    for world, found in rows.items():
        lines += ["", f"## {world}", ""]
        lines += ["| formula | scored | rank correlation with true risk | moved | of spread | ranks, month to month |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            f"| {r.formula} | {r.scored:.1%} | {r.rank_correlation:.3f} | {r.moved:.2f} | {r.moved_of_spread:.3f} "
            f"| {r.month_correlation:.3f} |"
            for r in found
        ]
        lines += ["", f"Our interval of 90 % holds the score of the true rates for {holds[world]:.1%} of the drivers."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drivers", type=int, default=2_000)
    drivers = parser.parse_args().drivers
    rows, holds = bench(drivers)
    TABLE.write_text(page(rows, holds, drivers))
    figures = {world: [vars(row) for row in found] for world, found in rows.items()}
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_bytes(orjson.dumps({"seeds": SEEDS, "worlds": figures, "interval_holds": holds}, option=2) + b"\n")
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
