"""Checks the sizes of the house: functions with a median of 10 lines at most, p90 35, none over 60; files under 400."""

from __future__ import annotations

import ast
import statistics
import sys
from pathlib import Path

ROOMS = ("infra", "ingest", "vision", "scoring", "dashboard")
MEDIAN, P90, LONGEST, LONGEST_FILE = 10, 35, 60, 400


def functions(path: Path) -> list[tuple[int, str]]:
    """Lines of every function in a file, its docstring and nested functions not counted."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((_lines(node), f"{path}:{node.lineno} {node.name}"))
    return found


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def main() -> int:
    files = [path for room in ROOMS for path in Path(room).rglob("*.py") if "versions" not in path.parts]
    sizes = sorted(size for path in files for size in functions(path))
    lines = [size for size, _ in sizes]
    median, p90 = statistics.median(lines), lines[int(len(lines) * 0.9)]
    print(f"{len(lines)} functions in {len(files)} files: median {median:g} lines, p90 {p90}, longest {lines[-1]}")
    long_files = [
        f"{path}: {count} lines" for path in files if (count := len(path.read_text().splitlines())) > LONGEST_FILE
    ]
    too_long = [name for size, name in sizes if size > LONGEST]
    for complaint in [*(f"function over {LONGEST} lines: {name}" for name in too_long), *long_files]:
        print(complaint)
    return int(median > MEDIAN or p90 > P90 or bool(too_long) or bool(long_files))


if __name__ == "__main__":
    sys.exit(main())
