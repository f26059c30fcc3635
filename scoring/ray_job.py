"""Rules tried on an export with Ray Data: the same core, a lane and some weeks at a time, on any number of machines.

    pip install 'rumblestrip[ray]'
    python -m scoring.ray_job ARCHIVE --rules other.yaml --from 2026-05-01 --to 2026-05-31 --out gained

Blocks of ``ray.data.read_parquet`` end anywhere, and an event may not be cut. So the rows of the Ray data set are
pieces of work (a lane, a span of days), and each piece reads its own Parquet files, with the hours beside its span.
The archive must lie where every machine can read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy.typing as npt
import pyarrow as pa
import typer
import yaml

from scoring.core.formulas.table import OURS
from scoring.core.replay import Replayed
from scoring.core.rules import DEFAULT, Rules
from scoring.core.what_if import changed_rules, kinds_that_differ, read_change
from scoring.stored.archive import Archive
from scoring.stored.source import spans
from scoring.trial import run

SCHEMA = pa.schema(
    [
        ("rules", pa.string()),
        ("exact", pa.bool_()),
        ("event_id", pa.string()),
        ("vehicle_id", pa.string()),
        ("kind", pa.string()),
        ("severity", pa.string()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("peak", pa.float64()),
        ("peak_unit", pa.string()),
    ]
)
Pieces = Mapping[str, npt.NDArray[Any]]


def pieces(archive: Path, since: datetime, until: datetime) -> Iterator[dict[str, object]]:
    """The work, cut into lanes and spans of days."""
    for lane in Archive(archive).lanes:
        for span in spans(since, until):
            yield {"lane": lane, "since": span.since.isoformat(), "until": span.until.isoformat()}


class Judge:
    """What ``map_batches`` calls on pieces of work."""

    def __init__(self, archive: Path, rules: tuple[Rules, Rules]) -> None:
        self._archive = archive
        self._rules = rules

    def __call__(self, work: Pieces) -> pa.Table:
        """Events of these pieces, by the rules that are built in (``before``) and by the others (``after``)."""
        found: list[dict[str, object]] = []
        for lane, since, until in zip(work["lane"], work["since"], work["until"], strict=True):
            between = datetime.fromisoformat(str(since)), datetime.fromisoformat(str(until))
            source = Archive(self._archive, [int(lane)])
            tried = run(source, *between, self._rules, kinds_that_differ(*self._rules))
            found += [_row("before", one) for one in tried.before] + [_row("after", one) for one in tried.after]
        return pa.Table.from_pylist(found, SCHEMA)


def main(
    archive: Annotated[Path, typer.Argument(help="A folder of `rumblestrip export`.", exists=True, file_okay=False)],
    rules: Annotated[Path, typer.Option(help="A YAML file, as for `rumblestrip rescore`.", exists=True)],
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC, included.")],
    out: Annotated[Path, typer.Option(help="Where the events go, as Parquet.")],
) -> None:
    """Judge an export by the rules that are built in and by others."""
    import ray

    change = read_change(yaml.safe_load(rules.read_text()), OURS, DEFAULT)
    first, last = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC) + timedelta(days=1)
    work = list(pieces(archive, first, last))
    judge = Judge(archive.absolute(), (DEFAULT, changed_rules(DEFAULT, change)))
    events = ray.data.from_items(work, override_num_blocks=len(work)).map_batches(judge.__call__, batch_size=1)
    events.write_parquet(str(out.absolute()))
    found = ray.data.read_parquet(str(out.absolute())).to_pandas()
    typer.echo(found.groupby(["kind", "rules"]).size().unstack(fill_value=0).to_string())


def _row(rules: str, one: Replayed) -> dict[str, object]:
    event = one.event
    plain = {name: getattr(event, name) for name in SCHEMA.names[3:]}
    plain |= {"kind": str(event.kind), "severity": str(event.severity)}
    return {"rules": rules, "exact": one.exact, "event_id": str(event.event_id), **plain}


if __name__ == "__main__":
    typer.run(main)
