"""From the observations that a device sent to those that travel: rows checked, refusals added. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from infra.contracts.observations import OBSERVATION_DTYPES, ObservationSamples
from ingest.core import units, validate
from ingest.core.normalise import Fault
from ingest.core.validate import Refusal, TimeWindow

STREAM = "observations"


@dataclass(frozen=True, slots=True)
class RawObservations:
    """A batch as it came in: typed columns, unchecked. With a fault it has no rows."""

    boot_id: str
    sequence: int
    driver_id: str | None
    samples: ObservationSamples
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class JudgedObservations:
    """What is taken of a batch, what is not, and the fault if it is refused as a whole."""

    samples: ObservationSamples
    refused: Sequence[Refusal] = ()
    reordered: int = 0
    fault: Fault | None = None

    @property
    def rows(self) -> int:
        return len(self.samples)


def judge(raw: RawObservations, window: TimeWindow) -> JudgedObservations:
    """Check every row. A column that cannot be read refuses the batch, as with telemetry."""
    fault = raw.fault or _mistimed(raw.samples)
    if fault:
        example = f"{fault.column}: {fault.hint}"[: validate.EXAMPLE_CHARACTERS]
        refused = (Refusal(STREAM, fault.reason, fault.rows, 0, example),)
        return JudgedObservations(empty_observations(), refused, fault=fault)
    unknown = raw.samples.speed_mps == -1  # phones say so
    speed_mps = np.where(unknown, np.nan, raw.samples.speed_mps)
    checked = validate.check_observations(replace(raw.samples, speed_mps=speed_mps), window)
    return JudgedObservations(checked.samples, checked.refused, checked.reordered)


def empty_observations() -> ObservationSamples:
    return ObservationSamples(**{name: np.empty(0, dtype) for name, dtype in OBSERVATION_DTYPES.items()})


def _mistimed(samples: ObservationSamples) -> Fault | None:
    found = units.suspect_times(samples.time_us)
    return Fault(STREAM, found.column, validate.UNITS_SUSPECTED, found.hint, len(samples)) if found else None
