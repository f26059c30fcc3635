"""The dashboard is a process of its own: it reads its settings from the environment that it is started with."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from dashboard.service import child_environment
from infra.settings import Settings, load

URL = SecretStr("postgresql://here")
CHANGED = {"database_url": URL, "data_dir": Path("far"), "in_cab_gates_mps": {"no_seat_belt": 4.5}}


@pytest.mark.parametrize("settings", [Settings(), Settings(**CHANGED)], ids=["as built in", "changed"])
def test_child_reads_the_very_same_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load() == settings
