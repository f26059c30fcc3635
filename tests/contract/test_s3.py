"""Footage in S3, over HTTP."""

import subprocess
import sys

from tests.processes import ROOT


def test_footage_in_s3_keeps_the_promises_of_a_folder_and_says_when_it_is_away() -> None:
    command = [sys.executable, "-m", "tests.contract.s3_over_http"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise was kept" in done.stdout
