"""The command line: it helps at once, says what is wrong in one line, and finds every room it names."""

import re
import resource
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from infra.runtime import cli
from infra.runtime.rooms import ROOMS, SUB_COMMANDS, WORKERS, resolve

COMMANDS = ("demo", "up", "run", "replay", "import", "simulate", "migrate", "topics", "doctor", *SUB_COMMANDS)


@pytest.mark.parametrize("entry", [*ROOMS.values(), *SUB_COMMANDS.values()])
def test_every_entry_of_the_tables_resolves(entry):
    assert callable(resolve(entry))


def test_workers_are_rooms():
    assert set(WORKERS) <= set(ROOMS)


def test_help_lists_every_command():
    shown = CliRunner().invoke(cli.app, ["--help"])
    assert shown.exit_code == 0
    assert all(f" {name} " in shown.output for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    shown = CliRunner().invoke(cli.app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in SUB_COMMANDS])
def test_every_command_shows_an_example(command):
    assert re.search("Examples?:", CliRunner().invoke(cli.app, [command, "--help"]).output)


def test_help_brings_in_nothing_heavy():
    code = (
        "import sys; sys.argv = ['rumblestrip', '--help']; from infra.runtime.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted(set(sys.modules) & {'numpy', 'pyarrow', 'sqlalchemy', 'fastapi', 'pandas'}))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1.0


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """Exit code and what went to stderr, of the command as a shell runs it."""
    for name in ("DATABASE_URL", "BUS", "TIMESCALEDB"):
        monkeypatch.delenv(f"RUMBLESTRIP_{name}", raising=False)
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return end.value.code or 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["replay", "nowhere"], 2, "error: nowhere: no recorded drive here (a folder with manifest.toml)"),
        (["run", "scoring"], 2, "error: `run` needs RUMBLESTRIP_DATABASE_URL; for everything in one process:"),
        (["run", "kitchen"], 2, "'kitchen' is not one of gateway, recorder, scoring, vision, footage, dashboard"),
        (["topics"], 2, "error: the bus is in memory; set RUMBLESTRIP_BUS=kafka"),
        (["demo", "--speed", "fast"], 2, "--speed fast: a number such as 10, or max"),
        (["demo", "--speed", "-1"], 2, "--speed -1: more than 0 and at most 1000"),
        (["import", "missing.csv", "out", "--vehicle", "v"], 2, "error: missing.csv: not found"),
        (["import", "x.csv", "out", "--vehicle", "v", "--class", "tank"], 2, "error: --class is 'tank'; it takes"),
        (["serve"], 2, "No such command 'serve'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_by_the_exit_code(monkeypatch, capsys, arguments, code, said):
    ended, err = run(monkeypatch, capsys, *arguments)
    plain = " ".join(err.replace("│", " ").split())
    assert (ended, said in plain) == (code, True), plain
    assert "Traceback" not in err


def test_an_unknown_setting_is_named(monkeypatch, capsys):
    monkeypatch.setenv("RUMBLESTRIP_COLOUR", "red")
    said = "error: unknown settings RUMBLESTRIP_COLOUR: see `rumblestrip doctor --settings`\n"
    assert run(monkeypatch, capsys, "topics") == (2, said)


def test_debug_shows_where_an_error_came_from(monkeypatch):
    monkeypatch.setattr(cli._Debug, "on", False)
    with pytest.raises(ValueError, match="no recorded drive"):
        cli.main(["--debug", "replay", "nowhere"])


def test_settings_are_listed_and_secrets_are_not(monkeypatch):
    monkeypatch.setenv("RUMBLESTRIP_DATABASE_URL", "postgresql://me:hunter2@db/fleet")
    shown = CliRunner().invoke(cli.app, ["doctor", "--settings"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "RUMBLESTRIP_DATABASE_URL *" in shown.output
    assert "hunter2" not in shown.output


def test_version_is_the_installed_one():
    shown = CliRunner().invoke(cli.app, ["--version"])
    assert (shown.exit_code, shown.output.split()[0]) == (0, "rumblestrip")


def test_import_prints_what_it_understood(tmp_path):
    (tmp_path / "log.csv").write_text("time,lat,lon,speed\n1714550400,41,-95,10\n1714550401,41,-95,90\n")
    arguments = ["import", str(tmp_path / "log.csv"), str(tmp_path / "drive"), "--vehicle", "van-7"]
    shown = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "120"})
    assert shown.exit_code == 0, shown.output
    assert "unit guessed from the values" in shown.output
    assert "2 GPS samples, 0 IMU samples, 0 frames" in shown.output
    assert (tmp_path / "drive" / "gps.parquet").exists()


def test_simulate_writes_a_fleet(tmp_path):
    arguments = ["simulate", "--vehicles", "2", "--minutes", "2", "--out", str(tmp_path / "fleet")]
    shown = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "2 vehicles, 2 min each" in shown.output
