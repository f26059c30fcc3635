"""Which weights are in force since when, and who put them there."""

from __future__ import annotations

from alembic import op

from infra.store.rule_tables import rules_change

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    rules_change.create(op.get_bind(), checkfirst=True)  # on a new database the first revision has made it
