"""No slice of the eyes' models may get worse unnoticed: a kept table with a tolerance for each."""

import json

import pytest

from tests.bench.eyes_slices import DATA, KEPT, compare, measure_slices
from tests.conftest import do_without
from tests.servers import Unavailable

TOLERANCE = {"eye": 0.02, "belt": 0.05, "yawn": 0.03}


def test_no_slice_is_worse_than_what_was_kept(request):
    if not (DATA / "yawn_frames").exists():
        do_without(request, Unavailable(f"{DATA} is not there: lay the packs of cab footage beside the checkout"))
    measured = measure_slices()
    if request.config.getoption("--update-golden"):
        rows = {name: {"auc": auc, "tolerance": TOLERANCE[name.partition(",")[0]]} for name, auc in measured.items()}
        KEPT.write_text(json.dumps(rows, indent=1) + "\n")
    worse = compare(json.loads(KEPT.read_text()), measured)
    assert not worse, "slices got worse (--update-golden keeps the new figures, if that is meant):\n" + "\n".join(worse)


@pytest.mark.parametrize(
    ("measured", "worse"),
    [
        ({"eye, infrared": 0.975}, 0),
        ({"eye, infrared": 0.955}, 1),
        ({}, 1),
    ],
)
def test_fall_beyond_its_tolerance_or_a_slice_that_is_gone_is_told(measured, worse):
    assert len(compare({"eye, infrared": {"auc": 0.98, "tolerance": 0.02}}, measured)) == worse
