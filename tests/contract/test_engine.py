"""What the engine makes of a database that ends a transaction."""

import time

import pytest
from sqlalchemy import text

from infra.runtime.worker import AWAY
from infra.store.engine import StoreUnavailable, make_engine


@pytest.mark.store("postgres")
def test_a_process_that_was_frozen_in_a_transaction_has_lost_it_and_goes_on(database_url: str) -> None:
    engine = make_engine(database_url, idle_in_transaction_s=0.2)
    insert = text("INSERT INTO driver VALUES ('anna', 'Anna')")

    def insert_and_freeze() -> None:
        with engine.begin() as connection:
            connection.execute(insert)
            time.sleep(0.5)

    with pytest.raises(StoreUnavailable, match="was this process frozen"):
        insert_and_freeze()
    assert StoreUnavailable in AWAY, "a worker starts afresh"
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM driver")).scalar_one() == 0
        connection.execute(insert)
    engine.dispose()
