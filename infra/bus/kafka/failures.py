"""Kafka's errors as the port's, and clients that leave nothing behind when they fail to open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient

from infra.bus.port import BusUnavailable, MessageTooLarge

_TELLING = (
    errors.NoOffsetForPartitionError,
    errors.OffsetOutOfRangeError,
    errors.KafkaConfigurationError,
    errors.IllegalStateError,
)
TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)


def as_ours(error: Exception) -> Exception:
    ours = MessageTooLarge(str(error)) if isinstance(error, TOO_LARGE) else BusUnavailable(repr(error))
    ours.__cause__ = error
    return ours


@contextmanager
def typed() -> Iterator[None]:
    """Kafka's errors as the port's, but for those that say more."""
    try:
        yield
    except _TELLING:
        raise
    except errors.KafkaError as error:
        raise as_ours(error) from error


def open_client(kind: Callable[..., Any], **settings: Any) -> Any:
    """A consumer, producer or admin client. Raises what it raises, without the thread and the sockets that one of
    kafka-python 3.0.12 forgets when there is no broker."""
    opened: list[Any] = []

    def connect(**connection: Any) -> Any:
        opened.append(KafkaNetClient(**connection))
        return opened[-1]

    try:
        return kind(**settings, kafka_client=connect)
    except BaseException:
        for client in opened:
            client.close()
        raise
