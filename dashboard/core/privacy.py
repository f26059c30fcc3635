"""Who sees whose face in footage. Passengers are blurred in all of it, for everybody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from dashboard.core.review import Role


class Kept(Protocol):
    """A still or clip of an event, as the store lists it."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def shows_driver(self) -> bool: ...


Item = TypeVar("Item", bound=Kept)


def may_see_face(role: Role, shown_to: Collection[str]) -> bool:
    """Whether this role may see drivers' faces. (A driver sees no events but their own: the store sees to that.)"""
    return role.value in shown_to


def choose(media: Sequence[Item], sees_face: bool) -> list[Item]:
    """One rendition of each still and clip: the driver's face in it where it may be seen, blurred otherwise.
    Nothing stands in for a rendition that is missing, unless it shows less."""
    renditions: dict[str, Item] = {}
    for item in sorted(media, key=lambda each: each.shows_driver == sees_face):
        if sees_face or not item.shows_driver:
            renditions[_stem(item)] = item
    return sorted(renditions.values(), key=lambda each: each.path)


def find(media: Sequence[Item], name: str, sees_face: bool) -> Item | None:
    """The still or clip of this file name, if it may be seen."""
    found = next((item for item in media if PurePosixPath(item.path).name == name), None)
    return found if found is not None and (sees_face or not found.shows_driver) else None


def _stem(item: Kept) -> str:
    stem = PurePosixPath(item.path).stem
    return stem.removesuffix("-driver") if item.shows_driver else stem
