"""The ledger as CSV: any score can be worked out from it with plus, minus, times and divided by."""

import csv
import io
from dataclasses import replace

import pytest

from infra.contracts.events import EventKind, ReviewState, Severity
from scoring.core.exposure import Exposure, Incident
from scoring.core.formulas.motive_like import NAME as MOTIVE
from scoring.core.formulas.peers import percentile
from scoring.in_force import InForce
from scoring.ledgers import COLUMNS, ledger_page, write_csv
from scoring.windows import By, Drive, Window, learn_peers, part_seen_by, parts, score_parts

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
NOW_US = 20_000 * DAY_US
KINDS = [EventKind.HARSH_BRAKE, EventKind.HARSH_TURN, EventKind.MICROSLEEP, EventKind.HARSH_BRAKE, EventKind.SPEEDING]


def fleet(drivers: int = 25, days: int = 40) -> Window:
    """Driver n has n events in all, of several kinds; every tenth is dismissed."""
    drives, incidents = [], []
    for driver in range(drivers):
        for day in range(days):
            start_us = NOW_US - (days - day) * DAY_US
            over = (30.0 + driver, 12.0, 0.0, 2.0)
            trip = Exposure(
                f"{driver}/{day}", f"van-{driver}", start_us, start_us + HOUR_US, 61_234.5, 3_600.0, 3_000.0, over
            )
            drives.append(Drive(trip, f"driver-{driver:02}", "light_duty"))
        for number in range(driver):
            state = ReviewState.DISMISSED if number % 10 == 9 else ReviewState.NEEDS_REVIEW
            over = (4.0, 6.0, 0.0, 0.0) if KINDS[number % 5] is EventKind.SPEEDING else (0.0,) * 4
            start_us = NOW_US - (number % days + 1) * DAY_US + number * 1_000_000
            severity = list(Severity)[number % 4]
            incidents.append(
                Incident(
                    f"van-{driver}", start_us, KINDS[number % 5], severity, state, over, f"event-{driver}-{number}"
                )
            )
    return Window(NOW_US, drives, incidents)


WINDOW = fleet()
PEERS = learn_peers(WINDOW)
SCORED = score_parts(WINDOW, parts(WINDOW, By.DRIVER), PEERS)


def exported(one, formula: str) -> list[dict[str, str]]:
    out = io.StringIO()
    write_csv(part_seen_by(formula, WINDOW, one.part), one.results[formula], out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def worked_out(rows: list[dict[str, str]]) -> float:
    """Nothing but what a spreadsheet's sums and the four operations do with the cells."""
    trips, events, terms = ([row for row in rows if row["row"] == kind] for kind in ("trip", "event", "term"))
    (score,) = (row for row in rows if row["row"] == "score")

    def total(column: str, of: list[dict[str, str]] = trips) -> float:
        return sum(float(row[column]) for row in of)

    exposures = {
        "1,000 km": total("distance_m") / 1_000_000,
        "1,000 miles": total("distance_m") / 1_609_344,
        "10 h of driving": total("driving_s") / 36_000,
        "h with a known limit": total("limit_known_s") / 3_600,
        "% of driving time in s": total("driving_s") / 100,
    }
    gone = [row for row in events if row["counted"] == "0"]
    rates = 0.0
    for term in terms:
        if term["what"].startswith("over_limit."):
            column = f"over_{term['what'].removeprefix('over_limit.')}_s"
            count = (total(column) - total(column, gone)) / (30 if term["unit"].startswith("h ") else 1)
        elif term["what"].startswith("peers."):
            count = float(term["count"])
        else:
            count = sum(row["what"] == term["what"] and row["counted"] == "1" for row in events)
        assert count == pytest.approx(float(term["count"]), abs=1e-6)
        rates += count * float(term["weight"]) / (exposures[term["unit"]] + float(term["peers_exposure"]))
    if score["scale"]:
        return 100 * float(score["scale"]) / (float(score["scale"]) + rates)
    return max(float(score["floor"]), 100 - rates)


@pytest.mark.parametrize("formula", list(SCORED[0].results))
def test_every_score_can_be_worked_out_from_its_csv_alone(formula):
    for one in SCORED:
        rows = exported(one, formula)
        assert worked_out(rows) == pytest.approx(float(rows[-1]["value"]), abs=0.0051)


def test_the_csv_names_every_trip_and_event():
    worst = SCORED[0]
    rows = exported(worst, "expected-risk")
    assert tuple(rows[0]) == COLUMNS
    assert sum(row["row"] == "trip" for row in rows) == 40
    assert {row["id"] for row in rows if row["row"] == "event"} == {one.event_id for one in worst.part.incidents}


def test_a_page_gets_the_same():
    page = ledger_page(SCORED[0].part, SCORED[0].results["expected-risk"])
    assert page["value"] == SCORED[0].results["expected-risk"].value
    assert len(page["trips"]) == 40
    assert sum(term["points"] for term in page["terms"]) == pytest.approx(page["value"] - 100, abs=0.01)


def test_motive_looks_at_four_weeks():
    assert len(part_seen_by(MOTIVE, WINDOW, SCORED[0].part).exposures) == 28


@pytest.mark.parametrize(
    ("by", "tags", "names"),
    [
        (By.TRIP, {}, 1000),
        (By.DRIVER, {}, 25),
        (By.VEHICLE, {}, 25),
        (By.TAG, {"north": ["van-1", "van-2"], "cold": ["van-2"]}, 2),
        (By.FLEET, {}, 1),
    ],
)
def test_a_window_has_scores_of_many_things(by, tags, names):
    scored = score_parts(WINDOW, parts(WINDOW, by, tags), PEERS)
    assert len(scored) == names
    assert all(0 <= one.results["expected-risk"].value <= 100 for one in scored)


def test_a_tag_holds_the_events_of_all_its_vehicles():
    (both,) = parts(WINDOW, By.TAG, {"north": ["van-1", "van-2"]})
    assert {one.vehicle_id for one in both.incidents} == {"van-1", "van-2"}
    assert len(both.exposures) == 80


def test_drivers_rank_by_what_they_did_and_percentiles_follow():
    values = [one.results["expected-risk"].value for one in SCORED]
    assert values == sorted(values)
    assert SCORED[-1].part.name == "driver-00"
    assert SCORED[-1].percentile == percentile(values[-1], values) > 97


def test_who_never_braked_hard_has_earned_praise():
    assert SCORED[-1].recognition.earned
    assert SCORED[-1].recognition.clean_m == pytest.approx(40 * 61_234.5)
    assert not SCORED[0].recognition.earned


def test_a_trip_without_driver_has_no_driver_score_but_teaches_peers():
    nobody = replace(WINDOW, drives=[replace(one, driver_id=None) for one in WINDOW.drives])
    assert parts(nobody, By.DRIVER) == []
    assert learn_peers(nobody).of("light_duty") == PEERS.of("light_duty")
    assert InForce().of("passenger") is learn_peers(Window(0, [], [])).of("passenger")
