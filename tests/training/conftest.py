"""What needs torch: collected where the extra ``training`` is installed (`make test-training`), and nowhere else."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("ultralytics") else ["test_*.py"]
