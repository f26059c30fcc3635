"""PostgreSQL's programs are found, and kept where the account that runs them can go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.store import pginstall
from infra.store.embedded import ROOTS_FOLDER, _home_for
from infra.store.pginstall import Account, reachable

STRANGER = Account("stranger", os.getuid() + 4321, os.getgid())


def a_postgres(bin_dir: Path, version: str, *, community: bool) -> None:
    """A folder that looks like an installed PostgreSQL to those who ask its pg_config."""
    share, lib = bin_dir.parent / "share", bin_dir.parent / "lib"
    for folder in (bin_dir, share / "extension", lib):
        folder.mkdir(parents=True)
    answers = {"--version": f"PostgreSQL {version}", "--bindir": bin_dir, "--sharedir": share, "--pkglibdir": lib}
    cases = "\n".join(f"{option}) echo '{answer}';;" for option, answer in answers.items())
    (bin_dir / "pg_config").write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')
    (bin_dir / "pg_config").chmod(0o755)
    (bin_dir / "initdb").touch()
    (share / "extension" / "timescaledb.control").touch()
    if community:
        (lib / "timescaledb-tsl-2.29.2.so").touch()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(pginstall, "MACHINE_FOLDERS", tmp_path)
    monkeypatch.setenv("PATH", "/bin")
    return tmp_path


def test_the_newest_community_edition_of_the_machine_is_found(machine: Path) -> None:
    for version, community in (("16.2", True), ("17.5", True), ("18.1", False)):
        a_postgres(machine / version.split(".")[0] / "bin", version, community=community)
    assert [each.major for each in pginstall.machine_installations()] == [17, 16]


def test_data_are_opened_by_their_own_version_only(machine: Path) -> None:
    a_postgres(machine / "16" / "bin", "16.2", community=True)
    assert pginstall.choose(machine / "home", None, None).major == 16
    assert pginstall.choose(machine / "home", None, None, major=18) == pginstall.without_timescale(machine, None)


def test_a_folder_behind_a_closed_one_is_out_of_reach(tmp_path: Path) -> None:
    closed, opened = tmp_path / "closed", tmp_path / "opened"
    closed.mkdir(mode=0o700)
    opened.mkdir(mode=0o755)
    assert not reachable(closed / "data", STRANGER)
    assert reachable(closed / "data", None)
    assert reachable(Path("/"), STRANGER)


def test_data_that_the_account_could_not_reach_go_where_it_can(tmp_path: Path, caplog) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = _home_for(closed / "postgres", STRANGER)
    assert home.parent == ROOTS_FOLDER
    assert home == _home_for(closed / "postgres", STRANGER)
    assert str(home) in caplog.text
    assert not home.exists()
