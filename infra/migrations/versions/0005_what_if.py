"""What rules that are tried would lose and gain, beside the live events."""

from __future__ import annotations

from alembic import op

from infra.store.rule_tables import what_if_event

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    what_if_event.create(op.get_bind(), checkfirst=True)  # on a new database the first revision has made it
