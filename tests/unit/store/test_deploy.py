"""The Docker description names rooms and settings that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra.runtime.rooms import ROOMS
from infra.settings import PREFIX, Settings

DEPLOY = Path(__file__).parents[3] / "infra" / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, object]]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_compose_runs_every_room(services) -> None:
    assert {each["command"][1] for each in services.values() if each.get("command")} == set(ROOMS)


def test_compose_sets_only_settings_that_exist(services) -> None:
    ours = [each["environment"] for each in services.values() if each["image"].startswith("rumblestrip")]
    named = {name.removeprefix(PREFIX).lower() for environment in ours for name in environment}
    assert named
    assert named <= set(Settings.model_fields)


def test_image_copies_every_room() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and not line.startswith("COPY --from")}
    assert copied >= {"infra", "ingest", "vision", "scoring", "dashboard"}
