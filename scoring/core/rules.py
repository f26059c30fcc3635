"""Thresholds as data: what counts as harsh, as speeding, as a trip, per vehicle class, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from infra.contracts.events import Severity
from infra.contracts.telemetry import VehicleClass

G_MPS2 = 9.80665
SECOND_US = 1_000_000
MPH_MPS = 0.44704


@dataclass(frozen=True, slots=True)
class HarshThresholds:
    """Peaks, in g, of the acceleration smoothed over half a second."""

    brake_g: float
    acceleration_g: float
    turn_g: float


# Geotab's three classes, the only full public set of one vendor (support.geotab.com, aggressive driving report).
GEOTAB: Mapping[VehicleClass, HarshThresholds] = {
    VehicleClass.PASSENGER: HarshThresholds(0.61, 0.43, 0.47),
    VehicleClass.LIGHT_DUTY: HarshThresholds(0.54, 0.34, 0.40),
    VehicleClass.HEAVY_DUTY: HarshThresholds(0.47, 0.29, 0.32),
}


def _of_every_class(car: HarshThresholds) -> Mapping[VehicleClass, HarshThresholds]:
    """A car's thresholds, and other classes' in the proportions of Geotab's."""
    own = GEOTAB[VehicleClass.PASSENGER]
    shares = (car.brake_g / own.brake_g, car.acceleration_g / own.acceleration_g, car.turn_g / own.turn_g)
    return {
        one: HarshThresholds(
            round(theirs.brake_g * shares[0], 3),
            round(theirs.acceleration_g * shares[1], 3),
            round(theirs.turn_g * shares[2], 3),
        )
        for one, theirs in GEOTAB.items()
    }


# Whoever asks for a level gets thresholds that were published for cars. On the 100-Car events, with a near crash at
# the same level, something harsh is found at normal in 0.81 of those with a braking reaction, 4.3 times an hour too
# early, and at high in 0.88, 10.4 times; Geotab's, with near crashes at low: 0.43 and 5.0.
HARSH_LEVELS: Mapping[str, Mapping[VehicleClass, HarshThresholds]] = {
    "low": _of_every_class(HarshThresholds(0.65, 0.50, 0.75)),  # what SHRP2 looks for near crashes by
    "normal": _of_every_class(HarshThresholds(0.45, 0.45, 0.56)),  # Digital Matter's defaults (16000042353)
    "high": _of_every_class(HarshThresholds(0.41, 0.43, 0.50)),  # eDriving Mentor (360001546969); start: Geotab's
}


@dataclass(frozen=True, slots=True)
class NearCrashRule:
    """How much braking, its onset and an evasive swing weigh, and how much evidence, in g, a near crash takes.

    Shares: chosen on half the vehicles of the 100-Car study, and checked on the others (tests/bench/detect.md). The
    form of the measure was picked from ten while both halves could be seen.
    Thresholds: those of a passenger car. In the 2.8 h that led to crashes and near crashes there, they trigger per
    hour: low not once, normal 1.4 times, high 5.7 times; of the events with a braking reaction they find 0.20, 0.75
    and 0.83. Those hours were no ordinary driving, of which there is none at 8 Hz to measure on: ``low`` is the
    default.
    """

    sensitivity: str = "low"
    levels_g: Mapping[str, float] = field(default_factory=lambda: {"low": 0.85, "normal": 0.46, "high": 0.39})
    brake_share: float = 0.36
    onset_share: float = 0.64
    swing_share: float = 1.41
    critical_share: float = 1.3  # of the threshold; ours

    @property
    def threshold_g(self) -> float:
        return self.levels_g[self.sensitivity]


@dataclass(frozen=True, slots=True)
class CrashRule:
    """Mean acceleration across gravity over 150 ms, in g, of a passenger car; other classes as they brake.

    ``normal`` is what makes an event data recorder keep its data: 8 km/h within 150 ms (49 CFR 563.5, trigger
    threshold), 1.51 g; dry tyres hold 1.2. ``low`` is Geotab's 2.5 g, though of a mean. Of the 345 near crashes of the
    100-Car study none reaches 1.14 g at 10 Hz.
    """

    sensitivity: str = "normal"
    levels_g: Mapping[str, float] = field(default_factory=lambda: {"low": 2.5, "normal": 1.51, "high": 1.3})
    critical_share: float = 2.0  # of the threshold; ours

    @property
    def threshold_g(self) -> float:
        return self.levels_g[self.sensitivity]


@dataclass(frozen=True, slots=True)
class RolloverRule:
    """How far gravity has turned, and for how long it stays there. Ours: on no road does a vehicle lean so far; lorries
    tip over from 30 to 40 degrees on, and lie at 80 and more."""

    sensitivity: str = "normal"
    levels_deg: Mapping[str, float] = field(default_factory=lambda: {"low": 75.0, "normal": 60.0, "high": 50.0})
    minimum_us: int = 3 * SECOND_US
    loose_impact_g: float = 1.2  # what a device that is not fixed must have felt: a hand that lays it down is gentler

    @property
    def threshold_deg(self) -> float:
        return self.levels_deg[self.sensitivity]


@dataclass(frozen=True, slots=True)
class SwerveRule:
    """Swing to one side and back within 3 s, in g, of a passenger car; other classes as they turn.

    Levels: in the 2.8 h that led to the events of the 100-Car study, ``normal`` triggers not once, ``high`` once, and
    the hardest swing but these is 0.28 g. Of the 163 events whose driver steered they find 0.17 and 0.33.
    """

    sensitivity: str = "normal"
    levels_g: Mapping[str, float] = field(default_factory=lambda: {"low": 0.45, "normal": 0.34, "high": 0.26})
    least_mps: float = 7.0  # below, people swing around parked cars
    most_turned_deg: float = 40.0  # heading there and back; a roundabout turns by 60 and more
    most_net_deg: float = 25.0  # which then stays: more is a corner

    @property
    def threshold_g(self) -> float:
        return self.levels_g[self.sensitivity]


@dataclass(frozen=True, slots=True)
class MaxSpeedRule:
    """The fleet's own top speed, whatever is posted; it ends an episode to be ``hysteresis_mps`` below.

    Defaults: passenger cars and vans 140 km/h, the highest limit that more than a few countries post; lorries 110
    km/h: EU limiters cut at 90 (92/6/EEC), most of North America posts up to 70 mph for them.
    """

    top_mps: Mapping[VehicleClass, float] = field(
        default_factory=lambda: {
            VehicleClass.PASSENGER: 140 / 3.6,
            VehicleClass.LIGHT_DUTY: 140 / 3.6,
            VehicleClass.HEAVY_DUTY: 110 / 3.6,
        }
    )
    hysteresis_mps: float = 1.4  # 5 km/h
    minimum_us: int = 15 * SECOND_US  # ours: an overtaking manoeuvre is shorter
    quiet_us: int = 10 * SECOND_US


@dataclass(frozen=True, slots=True)
class DrivingTimeRule:
    """Regulation (EC) 561/2006, article 7: 45 min of break after 4.5 h of driving, or 15 and then 30 within it.

    Driving: gaps shorter than ``pause_us`` belong to it, as the tachograph counts whole minutes. Severity: ours, up to
    the 9 h of article 6.
    """

    longest_us: int = 16_200 * SECOND_US
    break_us: int = 2_700 * SECOND_US
    split_us: tuple[int, int] = (900 * SECOND_US, 1_800 * SECOND_US)
    pause_us: int = 60 * SECOND_US
    tell_again_us: int = 900 * SECOND_US
    severity_steps: tuple[tuple[int, Severity], ...] = (
        (32_400 * SECOND_US, Severity.CRITICAL),
        (25_200 * SECOND_US, Severity.HIGH),
        (19_800 * SECOND_US, Severity.MODERATE),
        (0, Severity.LOW),
    )


@dataclass(frozen=True, slots=True)
class SpeedingBand:
    """Over the posted limit by at least ``over_share``; an event when it adds up to ``minimum_s`` in an episode.

    The bands are Samsara's. It lets every fleet set the durations and publishes no defaults; these are ours.
    Motive asks 60 s at 6 mph over, which lies between the first two.
    """

    word: str
    over_share: float
    minimum_s: float
    severity: Severity


SPEEDING_BANDS = (
    SpeedingBand("light", 0.0, 60.0, Severity.LOW),
    SpeedingBand("moderate", 0.1, 20.0, Severity.MODERATE),
    SpeedingBand("heavy", 0.2, 10.0, Severity.HIGH),
    SpeedingBand("severe", 0.3, 5.0, Severity.CRITICAL),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """One set of rules. Another set is another object, and must carry another version."""

    version: str = "1"

    harsh: Mapping[VehicleClass, HarshThresholds] = field(default_factory=lambda: GEOTAB)
    harsh_exit_share: float = 0.83  # Digital Matter: 17 % hysteresis
    harsh_minimum_us: int = 200_000  # Digital Matter: 100 ms, on a signal that is not smoothed
    harsh_quiet_us: int = 1_000_000  # two peaks closer than this are one event
    harsh_longest_us: int = 12_000_000  # 0.5 g for 12 s is 59 m/s: no vehicle, but a tilted or stuck sensor
    severity_steps: tuple[tuple[float, Severity], ...] = (  # peak over threshold; ours
        (1.9, Severity.CRITICAL),
        (1.5, Severity.HIGH),
        (1.2, Severity.MODERATE),
        (0.0, Severity.LOW),
    )

    near_crash: NearCrashRule = NearCrashRule()
    crash: CrashRule = CrashRule()
    rollover: RolloverRule = RolloverRule()
    swerve: SwerveRule = SwerveRule()
    max_speed: MaxSpeedRule = MaxSpeedRule()
    driving_time: DrivingTimeRule = DrivingTimeRule()
    night_minimum_us: int = 1_800 * SECOND_US  # of driving in the dark on one drive; ours

    # A change of GPS speed over 2 s reaches 0.54 to 0.57 of the 0.5 s acceleration peak of brakes of 0.35 g and
    # more (medians on the 100-Car events, GPS thinned to 1 Hz), and 0.59 to 0.75 of that of accelerations, which
    # last longer. Receivers hold zero and then jump when a vehicle starts, so the upper end: 0.75 x 0.43 g is 14 mph
    # within 2 s, where Samsara's reviewers ask for 16. 0.6 for turns would flag every sixth ordinary street corner.
    gps_brake_share: float = 0.60
    gps_acceleration_share: float = 0.75
    gps_turn_share: float = 0.85

    speeding_bands: tuple[SpeedingBand, ...] = SPEEDING_BANDS
    speeding_quiet_us: int = 5_000_000  # at or under the limit for longer than this ends an episode

    idling_minimum_us: int = 300 * SECOND_US  # ours: longer than any red light; vendors let every fleet set it

    moving_mps: float = 5 * MPH_MPS  # Samsara: a trip starts at 5 mph
    trip_rest_us: int = 300 * SECOND_US  # Samsara: and ends after 5 min below it
    trip_shortest_us: int = 10 * SECOND_US  # of driving: less is the noise of a parked receiver
    trip_write_us: int = 60 * SECOND_US  # an open trip is written again this often
    silence_us: int = 600 * SECOND_US  # of arrival time; then an open trip is ended
    hold_us: int = 15 * SECOND_US  # a fix speaks for the time since the one before, up to this
    trace_us: int = 10 * SECOND_US  # raw IMU kept before and after an event

    def brake_share(self, vehicle_class: VehicleClass) -> float:
        """How softly this class brakes: its threshold over that of a passenger car."""
        return self.harsh[vehicle_class].brake_g / self.harsh[VehicleClass.PASSENGER].brake_g

    def turn_share(self, vehicle_class: VehicleClass) -> float:
        """How softly this class turns: its threshold over that of a passenger car."""
        return self.harsh[vehicle_class].turn_g / self.harsh[VehicleClass.PASSENGER].turn_g

    def at(self, sensitivity: str) -> Rules:
        """These, with one level (low, normal, high) for everything that has levels."""
        return replace(
            self,
            version=f"{self.version}-{sensitivity}",
            harsh=HARSH_LEVELS[sensitivity],
            near_crash=replace(self.near_crash, sensitivity=sensitivity),
            crash=replace(self.crash, sensitivity=sensitivity),
            rollover=replace(self.rollover, sensitivity=sensitivity),
            swerve=replace(self.swerve, sensitivity=sensitivity),
        )


DEFAULT = Rules()
