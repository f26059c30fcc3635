"""Tables beside pictures: what is labelled where."""

from __future__ import annotations

import csv
from pathlib import Path


def read_table(path: Path) -> list[dict[str, str]]:
    """Every row of a CSV file with a header, by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
