"""Dataclasses to short JSON and back: fields in their order, without names, by their type hints."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

_PLAIN = frozenset({int, float, str, bool, type(None)})

Loader = Callable[[Any], Any]


def pack(value: Any) -> Any:
    """A dataclass becomes the list of its fields, a tuple a list; numbers, texts, None and mappings of such stay."""
    if is_dataclass(value) and not isinstance(value, type):
        items = [getattr(value, name) for name in _names(type(value))]
        return [item if type(item) in _PLAIN else pack(item) for item in items]
    if isinstance(value, tuple):
        return [item if type(item) in _PLAIN else pack(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def unpack(kind: Any, data: Any) -> Any:
    """What ``pack`` made of a value of this type. Raises TypeError or ValueError where it does not fit."""
    return _loader(kind)(data)


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


@cache
def _loader(kind: Any) -> Loader:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (some,) = (part for part in parts if part is not type(None))
        return _optional(_loader(some))
    if origin is tuple:
        return _many(_loader(parts[0])) if parts[1:] == (...,) else _each([_loader(part) for part in parts])
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        every = _each([_loader(hints[name]) for name in _names(kind)])
        return lambda data: kind(*every(data))
    if origin in (dict, Mapping):
        return dict
    return kind if isinstance(kind, type) and issubclass(kind, Enum) else _same


def _optional(load: Loader) -> Loader:
    return lambda data: None if data is None else load(data)


def _many(load: Loader) -> Loader:
    return lambda data: tuple(load(item) for item in data)


def _each(loads: list[Loader]) -> Loader:
    return lambda data: tuple(load(item) for load, item in zip(loads, data, strict=True))


def _same(data: Any) -> Any:
    return data
