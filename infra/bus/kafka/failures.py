"""Kafka's errors as the port's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors

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
