"""From settings to the things they name: the database, the bus, the media store."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Engine, select

from infra import migrations
from infra.bus.memory import MemoryBus
from infra.bus.port import Bus
from infra.settings import Settings, SettingsError
from infra.store.embedded import of_settings
from infra.store.engine import make_engine
from infra.store.media import LocalMedia, MediaStore, ObjectMedia
from infra.store.tables import lane_position

logger = logging.getLogger(__name__)


@contextmanager
def open_database(settings: Settings, *, migrate: bool = True) -> Iterator[Engine]:
    """The database of these settings: the one at ``database_url``, or the embedded one, which is started if need be
    and then stopped at the end.

    Raises:
        StoreUnavailable: nothing answers there, or it does not start.
    """
    if settings.database_url is not None:
        with _engine(settings, settings.database_url.get_secret_value(), migrate=migrate) as engine:
            yield engine
        return
    with of_settings(settings) as running, _engine(settings, running.url, migrate=migrate) as engine:
        yield engine


@contextmanager
def _engine(settings: Settings, url: str, *, migrate: bool) -> Iterator[Engine]:
    if migrate:
        migrations.upgrade(url, settings.position_retention_days)
    engine = make_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def open_bus(settings: Settings, engine: Engine) -> Bus:
    """The bus of these settings, with its topics. A memory bus counts on from where the database stands.

    Raises:
        BusUnavailable: no broker answers.
    """
    if settings.bus == "kafka":
        return open_kafka(settings)
    bus = MemoryBus(settings.lanes, settings.max_message_bytes, begins=furthest_offsets(engine))
    bus.ensure_topics()
    return bus


def open_kafka(settings: Settings) -> Bus:
    """A bus on the brokers of these settings, with its topics.

    Raises:
        SettingsError: the settings name a memory bus.
        BusUnavailable: no broker answers.
    """
    if settings.bus != "kafka":
        raise SettingsError("the bus is in memory; set RUMBLESTRIP_BUS=kafka and RUMBLESTRIP_KAFKA_BOOTSTRAP=host:port")
    from infra.bus.kafka import KafkaBus

    bus = KafkaBus(
        settings.kafka_bootstrap,
        settings.lanes,
        settings.topic_prefix,
        max_message_bytes=settings.max_message_bytes,
        retention_hours=settings.topic_retention_hours,
    )
    bus.ensure_topics()
    return bus


def furthest_offsets(engine: Engine) -> Mapping[str, Mapping[int, int]]:
    """Topic to lane to the highest next offset of any group.

    Groups that stand behind it lost what the last memory bus held when it was killed; they go on from here.
    """
    furthest: dict[str, dict[int, int]] = defaultdict(dict)
    with engine.connect() as connection:
        for lane, offsets in connection.execute(select(lane_position.c.lane, lane_position.c.offsets)):
            for topic, offset in offsets.items():
                furthest[topic][lane] = max(offset, furthest[topic].get(lane, 0))
    return furthest


def open_media(settings: Settings) -> MediaStore:
    """The media store of these settings. Nothing is reached before the first file."""
    return ObjectMedia(settings.media_url) if settings.media_url else LocalMedia(settings.data_dir / "media")
