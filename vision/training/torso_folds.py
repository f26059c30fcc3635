"""Which examples the torso network is shown, how often, and which are kept from it to measure on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vision.training.torso_data import Example
from vision.training.torso_packs import STRAP, There, is_kept_person

SHARES = {
    "truck_cabs": 0.32,
    "stock": 0.36,
    "parked": 0.1,
    "strap_web": 0.06,
    "side_straps": 0.04,
    "side_phones": 0.12,
}
"""How often a pack is drawn; within it every cab and answer as often as the root of its size."""

BARE_CAB = "cab11"
"""The only truck cab whose driver wears no belt."""

BELTED_CABS_SHARE = 0.5
"""Belted cabs are drawn this much less often, or infrared itself would come to mean a belt."""


def is_held_out(example: Example) -> bool:
    """What the first network, "a", never saw: the bare cab and another, two splits of the stock photos, half of the
    side views, and the parked cars, a pack of its own."""
    cabs = example.cab in {BARE_CAB, "cab12", "valid", "test"}
    return cabs or example.source == "parked" or (example.group.startswith("side/") and _even(example))


def weigh(examples: Sequence[Example]) -> npt.NDArray[np.float32]:
    """How often each is drawn."""
    keys = [(e.source, e.cab, e.there) for e in examples]
    sizes = Counter(keys)
    root = np.array([(BELTED_CABS_SHARE if _is_belted_cab(e) else 1.0) for e in examples], np.float32)
    root /= np.sqrt([sizes[key] for key in keys])
    sums = {source: sum(w for w, key in zip(root, keys, strict=True) if key[0] == source) for source in SHARES}
    return np.array([w * SHARES[key[0]] / sums[key[0]] for w, key in zip(root, keys, strict=True)], np.float32)


def _is_belted_cab(example: Example) -> bool:
    return example.source == "truck_cabs" and example.there[STRAP] is There.YES


def is_test(example: Example) -> bool:
    """Kept for the end: the network that ships is measured on these as well, every other person of the parked cars
    among them."""
    return example.cab == "test" or (example.source == "parked" and is_kept_person(example.cab))


def _even(example: Example) -> bool:
    return int(example.group.rpartition("/")[2]) % 2 == 0
