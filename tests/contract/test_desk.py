"""The desk on a real PostgreSQL: decisions, scores, sessions, accounts, queries."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, delete, select, text, update

from dashboard import auth, inbox, scores, users
from dashboard.core.review import Action, Decision, DismissalReason, NotAllowed, NotPossible, Role
from dashboard.inbox import Actor, Changed, UnknownEvent
from dashboard.labels import Words
from infra.contracts.events import ReviewState
from infra.settings import Settings
from infra.store import queries, reports
from infra.store.media import LocalMedia
from infra.store.queries import EventFilter
from infra.store.tables import app_user, safety_event
from scoring.core.formulas.table import OURS
from tests.seed import NASTY_NAME, UNTIL, Fleet, seed

pytestmark = pytest.mark.store("postgres")

MIA = Actor("mia", Role.MANAGER)
CARL = Actor("carl", Role.COACH)
ZOE = Actor("zoe", Role.DRIVER, "driver-0")
NOW = datetime(2026, 6, 1, 7, 0, tzinfo=UTC)
DRIVERS = ("driver-0", "driver-1", "driver-2")
WORDS = Words("metric", ZoneInfo("America/Chicago"))
DISMISS = Decision(Action.DISMISS, DismissalReason.INCORRECT, "speed bump")


@pytest.fixture
def desk_settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, time_zone="America/Chicago")


@pytest.fixture
def fleet(database: Engine, media: LocalMedia, desk_settings: Settings) -> Fleet:
    return seed(database, media, desk_settings, UNTIL, days=3)


def _events(database: Engine, **wanted: object) -> list[queries.EventRow]:
    with database.connect() as connection:
        return queries.events(connection, EventFilter(**wanted))  # type: ignore[arg-type]


def _day_scores(database: Engine) -> list[reports.ScoreRow]:
    with database.connect() as connection:
        return [s for d in DRIVERS for s in reports.scores(connection, "driver_day", d, OURS.name)]


def _all_scores(database: Engine) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM score ORDER BY 1, 2, 3, 4"))]


def _harsh(database: Engine) -> queries.EventRow:
    return _events(database, kinds=("harsh_brake",))[0]


def _seen(*events: queries.EventRow) -> dict[UUID, ReviewState]:
    return {event.event_id: ReviewState(event.review_state) for event in events}


# --- decisions and scores ---------------------------------------------------------------------------------


def test_dismissing_raises_the_score_and_reopening_gives_the_same_score_again(
    database: Engine, desk_settings: Settings, fleet: Fleet
) -> None:
    before = _all_scores(database)
    event = _harsh(database)
    inbox.act(database, desk_settings, MIA, _seen(event), DISMISS, NOW)
    during = _all_scores(database)
    assert during != before
    improved = {row[:4]: row[4] for row in during}
    assert all(improved[row[:4]] >= row[4] for row in before)
    assert any(improved[row[:4]] > row[4] for row in before if row[0] == "driver_day")

    dismissed = _events(database, states=("dismissed",))
    assert (dismissed[0].dismissal_reason, dismissed[0].reviewed_by) == ("incorrect", "mia")
    inbox.act(database, desk_settings, MIA, _seen(*dismissed), Decision(Action.REOPEN), NOW + timedelta(minutes=1))
    assert _all_scores(database) == before
    with database.connect() as connection:
        log = queries.activity(connection, event.event_id)
    assert [(a.from_state, a.to_state, a.reason, a.comment) for a in log] == [
        ("dismissed", "needs_review", None, ""),
        ("needs_review", "dismissed", "incorrect", "speed bump"),
    ]


def test_several_events_are_decided_together_or_not_at_all(
    database: Engine, desk_settings: Settings, fleet: Fleet
) -> None:
    events = _events(database)[:5]
    seen = _seen(*events)
    inbox.act(database, desk_settings, CARL, _seen(events[0]), Decision(Action.MARK_REVIEWED), NOW)
    before = _all_scores(database)
    with pytest.raises(Changed, match="carl changed 1 of these events to “reviewed”"):
        inbox.act(database, desk_settings, MIA, seen, DISMISS, NOW)
    assert not _events(database, states=("dismissed",))
    assert _all_scores(database) == before
    seen[events[0].event_id] = ReviewState.REVIEWED
    assert len(inbox.act(database, desk_settings, MIA, seen, DISMISS, NOW)) == 5
    assert {e.event_id for e in _events(database, states=("dismissed",))} == set(seen)


def test_a_broken_recomputation_leaves_nothing_half_written(
    database: Engine, desk_settings: Settings, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(inbox, "recompute_events", fail)
    event = _harsh(database)
    with pytest.raises(RuntimeError, match="disk full"):
        inbox.act(database, desk_settings, MIA, _seen(event), DISMISS, NOW)
    with database.connect() as connection:
        assert queries.activity(connection, event.event_id) == []
    assert _harsh(database).review_state == "needs_review"


def test_of_two_who_decide_at_once_one_is_told(database: Engine, desk_settings: Settings, fleet: Fleet) -> None:
    event = _harsh(database)
    results: list[object] = []
    barrier = threading.Barrier(2)

    def decide(actor: Actor, decision: Decision) -> None:
        barrier.wait()
        try:
            results.append(inbox.act(database, desk_settings, actor, _seen(event), decision, NOW)[0].to_state)
        except Changed as problem:
            results.append(problem)

    people = [(MIA, DISMISS), (CARL, Decision(Action.MARK_REVIEWED))]
    threads = [threading.Thread(target=decide, args=each) for each in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(isinstance(result, Changed) for result in results) == 1
    assert len(results) == 2


def test_many_overlapping_decisions_end_without_deadlock(
    database: Engine, desk_settings: Settings, fleet: Fleet
) -> None:
    everything = _events(database)
    failures: list[Exception] = []

    def decide(events: list[queries.EventRow], actor: Actor) -> None:
        try:
            inbox.act(database, desk_settings, actor, _seen(*events), DISMISS, NOW)
        except Exception as problem:  # noqa: BLE001 a thread's failure is the test's
            failures.append(problem)

    halves = [everything[::2], everything[1::2]]
    threads = [threading.Thread(target=decide, args=(half, MIA)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    days = _day_scores(database)
    assert len(days) == 9
    assert {line["what"].partition(".")[0] for day in days for line in day.ledger} == {"peers", "over_limit"}


# --- a driver ---------------------------------------------------------------------------------------------


def test_a_driver_contests_their_own_event_and_a_decision_answers_it(
    database: Engine, desk_settings: Settings, fleet: Fleet
) -> None:
    mine = _events(database, only_driver="driver-0")[0]
    inbox.act(database, desk_settings, ZOE, _seen(mine), Decision(Action.CONTEST, comment="A dog ran out."), NOW)
    contested = _events(database, contested=True)
    assert [(e.event_id, e.review_state) for e in contested] == [(mine.event_id, "needs_review")]
    with database.connect() as connection:
        assert queries.inbox_counts(connection, NOW, NOW).contested == 1
    later = NOW + timedelta(hours=1)
    inbox.act(database, desk_settings, CARL, _seen(mine), Decision(Action.MARK_REVIEWED), later)
    assert _events(database, contested=True) == []


def test_a_driver_neither_sees_nor_touches_what_is_anothers(
    database: Engine, desk_settings: Settings, fleet: Fleet
) -> None:
    theirs = _events(database, drivers=("driver-1",))[0]
    with pytest.raises(UnknownEvent):
        inbox.act(database, desk_settings, ZOE, _seen(theirs), Decision(Action.COMMENT, comment="hm"), NOW)
    with pytest.raises(NotAllowed):
        inbox.act(database, desk_settings, ZOE, _seen(*_events(database, only_driver="driver-0")[:1]), DISMISS, NOW)
    assert {e.driver_id for e in _events(database, only_driver="driver-0")} == {"driver-0"}
    assert _events(database, only_driver="") == []
    with database.connect() as connection:
        assert queries.event(connection, theirs.event_id, "driver-0") is None
        trip = reports.trips(connection, driver_id="driver-1")[0]
        assert reports.trip_of(connection, trip.trip_id, "driver-0") is None


def test_a_dismissal_without_its_reason_writes_nothing(database: Engine, desk_settings: Settings, fleet: Fleet) -> None:
    with pytest.raises(NotPossible):
        inbox.act(database, desk_settings, MIA, _seen(_harsh(database)), Decision(Action.DISMISS), NOW)
    assert _harsh(database).review_state == "needs_review"


# --- lists and reports ------------------------------------------------------------------------------------


def test_the_list_is_ordered_by_urgency_and_its_neighbours_follow_it(database: Engine, fleet: Fleet) -> None:
    rows = _events(database, states=("needs_review",))
    rank = ["low", "moderate", "high", "critical"]
    keys = [(rank.index(r.severity), r.confidence, r.start_at) for r in rows]
    assert keys == sorted(keys, reverse=True)
    wanted = EventFilter(states=("needs_review",))
    with database.connect() as connection:
        first, second, last = (queries.neighbours(connection, wanted, "priority", rows[i].event_id) for i in (0, 1, -1))
        outside = queries.neighbours(connection, EventFilter(states=("dismissed",)), "priority", rows[0].event_id)
    assert first == queries.Neighbours(None, rows[1].event_id, 1, len(rows))
    assert second is not None
    assert (second.previous, second.next) == (rows[0].event_id, rows[2].event_id)
    assert last is not None
    assert (last.next, last.place) == (None, len(rows))
    assert outside == queries.Neighbours(None, None, 1, 1)


def test_a_driver_name_travels_unchanged_and_stills_are_found(database: Engine, fleet: Fleet) -> None:
    rows = _events(database, drivers=("driver-0",))
    assert {r.driver_name for r in rows} == {NASTY_NAME}
    assert all((r.still is not None) == (r.kind in ("microsleep", "drowsiness")) for r in _events(database))


def test_a_long_track_is_thinned_and_a_trace_comes_back(
    database: Engine, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = fleet.trips[0]
    start, end = (datetime.fromtimestamp(t / 1e6, UTC) for t in (trip.start_us, trip.end_us))
    with database.connect() as connection:
        whole = reports.track(connection, trip.vehicle_id, start, end)
        monkeypatch.setattr(reports, "MOST_POINTS", 100)
        thin = reports.track(connection, trip.vehicle_id, start, end)
        motion = reports.motion(connection, trip.vehicle_id, start, end)
        trace = queries.trace_of(connection, _harsh(database).event_id)
    assert len(whole) == 1200
    assert 80 <= len(thin) <= 100
    assert len(motion) <= 100
    assert trace is not None
    assert trace["accel_x_mps2"].min() < -8


def test_a_drivers_card_adds_up_and_its_trend_ends_in_its_score(database: Engine, fleet: Fleet) -> None:
    days = _day_scores(database)
    with database.connect() as connection:
        everybody = scores.fleet(connection, UNTIL.date() - timedelta(days=9), UNTIL.date(), WORDS)
        cards = [scores.card(connection, d, UNTIL.date() - timedelta(days=9), UNTIL.date(), WORDS) for d in DRIVERS]
    assert {row.name for row in everybody} == set(DRIVERS)
    for card in cards:
        assert card.standing in everybody
        own = [day for day in days if day.scope_id == card.standing.name]
        assert card.standing.driven.distance_m == pytest.approx(sum(day.distance_m for day in own))
        assert 100 + sum(line.points for line in card.lines) == pytest.approx(card.standing.result.value, abs=0.006)
        assert [point.day for point in card.trend] == [day.day for day in own]
        assert card.trend[-1].result == card.standing.result
        assert (card.trend[0].result.value, card.trend[0].result.low) == (own[0].value, own[0].low)


def test_an_event_costs_what_its_dismissal_gives_back(database: Engine, desk_settings: Settings, fleet: Fleet) -> None:
    for event in (_harsh(database), _events(database, kinds=("speeding",))[0]):
        with database.connect() as connection:
            trip_id = reports.trip_at(connection, event.vehicle_id, event.start_at)
            before = scores.costs(connection, event, trip_id, UNTIL.date(), WORDS)
        inbox.act(database, desk_settings, MIA, _seen(event), DISMISS, NOW)
        with database.connect() as connection:
            after = scores.costs(connection, event, trip_id, UNTIL.date(), WORDS)
            stored = reports.scores(connection, "trip", str(trip_id), OURS.name)
        assert [cost.of for cost in before] == ["Driver’s 28 days", "Trip"]
        for cost, without in zip(before, after, strict=True):
            assert cost.points < 0
            assert without.result.value - cost.result.value == pytest.approx(-cost.points)
        assert stored[0].value == after[1].result.value


def test_fleet_health_counts_what_went_wrong(database: Engine, fleet: Fleet) -> None:
    with database.connect() as connection:
        health = {v.vehicle_id: v for v in reports.fleet_health(connection)}
        letters = reports.dead_letter_reasons(connection)
    assert (health["car-0"].duplicate, health["car-1"].late, health["car-1"].missing) == (3, 2, 1)
    assert health["car-1"].dead_letters == 4
    assert list(letters["reason"]) == ["not_finite"]
    assert all(v.last_seen is not None for v in health.values())


# --- who comes in -----------------------------------------------------------------------------------------


def _add(database: Engine, name: str, role: Role, driver_id: str | None = None) -> None:
    with database.begin() as connection:
        users.add_user(connection, name, role, driver_id, "correct horse", NOW)


def test_a_session_lives_until_it_is_idle_too_long(database: Engine) -> None:
    _add(database, "mia", Role.MANAGER)
    with database.begin() as connection:
        token = auth.open_session(connection, "mia", NOW)
        assert auth.person_of(connection, token, NOW) == auth.Person("mia", Role.MANAGER, None)
        assert auth.person_of(connection, "another", NOW) is None
        assert auth.person_of(connection, None, NOW) is None
        busy = NOW
        while busy < NOW + auth.LONGEST:
            assert auth.person_of(connection, token, busy) is not None
            busy += auth.IDLE - timedelta(minutes=1)
        assert auth.person_of(connection, token, NOW + auth.LONGEST + timedelta(minutes=1)) is None
        idle = auth.open_session(connection, "mia", NOW)
        assert auth.person_of(connection, idle, NOW + auth.IDLE + timedelta(seconds=1)) is None


@pytest.mark.parametrize("how", ["disabled", "new password", "signed out", "gone"])
def test_a_session_ends_at_once(database: Engine, how: str) -> None:
    _add(database, "mia", Role.MANAGER)
    with database.begin() as connection:
        token = auth.open_session(connection, "mia", NOW)
        if how == "disabled":
            connection.execute(update(app_user).values(disabled_at=NOW))
        elif how == "new password":
            connection.execute(update(app_user).values(password_hash=auth.hash_password("another horse")))
        elif how == "signed out":
            auth.close_session(connection, token)
        else:
            connection.execute(delete(app_user))
        assert auth.person_of(connection, token, NOW) is None


@pytest.mark.parametrize(
    ("name", "password"), [("mia", "wrong horse"), ("nobody", "correct horse"), ("mia", ""), ("mia", "x" * 100_000)]
)
def test_a_wrong_name_and_a_wrong_password_are_refused_alike(database: Engine, name: str, password: str) -> None:
    _add(database, "mia", Role.MANAGER)
    with database.connect() as connection:
        assert auth.check_password(connection, "mia", "correct horse").role is Role.MANAGER
        with pytest.raises(auth.SignInRefused, match="Name or password is not right"):
            auth.check_password(connection, name, password)


def test_passwords_are_stored_as_argon2_and_sessions_as_hashes(database: Engine) -> None:
    _add(database, "mia", Role.MANAGER)
    with database.begin() as connection:
        token = auth.open_session(connection, "mia", NOW)
        assert str(connection.scalar(select(app_user.c.password_hash))).startswith("$argon2id$")
        assert token not in str(connection.execute(text("SELECT * FROM app_session")).all())


def test_accounts_are_refused_with_the_reason(database: Engine, fleet: Fleet) -> None:
    _add(database, "mia", Role.MANAGER)
    for name, role, driver_id, password, problem in (
        ("mia", Role.COACH, None, "correct horse", "taken"),
        ("zoe", Role.DRIVER, None, "correct horse", "names its driver"),
        ("zoe", Role.DRIVER, "nobody", "correct horse", "no driver"),
        ("zoe", Role.COACH, None, "short", "10 to 200"),
        (auth.LINK_USER, Role.COACH, None, "correct horse", "is not"),
    ):
        with database.begin() as connection, pytest.raises(users.AccountError, match=problem):
            users.add_user(connection, name, role, driver_id, password, NOW)


def test_a_first_start_link_works_once(tmp_path: Path) -> None:
    old = auth.issue_link_token(tmp_path)
    token = auth.issue_link_token(tmp_path)
    assert (tmp_path / auth.LINK_FILE).stat().st_mode & 0o777 == 0o600
    assert token not in (tmp_path / auth.LINK_FILE).read_text()
    assert not auth.redeem_link_token(tmp_path, old)
    assert auth.redeem_link_token(tmp_path, token)
    assert not auth.redeem_link_token(tmp_path, token)
    assert sorted(tmp_path.iterdir()) == []


def test_the_throttle_stops_guessing_by_name_and_by_address() -> None:
    throttle = auth.Throttle()
    for _ in range(5):
        throttle.take("mia", "10.0.0.1")
    with pytest.raises(auth.SignInRefused, match="Too many"):
        throttle.take("MIA", "10.0.0.1")
    throttle.forgive("mia", "10.0.0.1")
    throttle.take("mia", "10.0.0.1")
    for number in range(23):
        throttle.take(f"name-{number}", "10.0.0.1")
    with pytest.raises(auth.SignInRefused, match="Too many"):
        throttle.take("someone", "10.0.0.1")


def test_who_guesses_from_one_address_locks_nobody_out_and_from_many_only_for_minutes() -> None:
    throttle = auth.Throttle()
    for _ in range(100):
        with contextlib.suppress(auth.SignInRefused):
            throttle.take("mia", "10.0.0.66")
    throttle.take("mia", "10.0.0.1")
    for number in range(54):
        throttle.take("mia", f"10.0.1.{number}")
    with pytest.raises(auth.SignInRefused, match="Too many"):
        throttle.take("mia", "10.0.2.1")


def test_desk_columns_survive_a_worker_that_writes_the_event_again(
    database: Engine, desk_settings: Settings, fleet: Fleet, media: LocalMedia
) -> None:
    from infra.store import outputs

    event = _harsh(database)
    inbox.act(database, desk_settings, MIA, _seen(event), DISMISS, NOW)
    with database.begin() as connection:
        outputs.write(connection, outputs.Outputs(events=fleet.events), media, "seed")
        state = connection.scalar(select(safety_event.c.review_state).where(safety_event.c.event_id == event.event_id))
    assert state == "dismissed"
