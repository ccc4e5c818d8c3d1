"""`--threads`: XLA computes on as many threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from pathlib import Path
from faro.runtime import threads
threads.limit({count})
import jax
jax.devices()
names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
print(sum(name.startswith("tf_XLAEigen") for name in names))
"""


@pytest.mark.parametrize("count", [3])
def test_xla_has_as_many_threads_that_compute(count):
    environment = {name: value for name, value in os.environ.items() if name not in ("PJRT_NPROC", "NPROC")}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(count=count)], capture_output=True, text=True, env=environment, check=True
    )
    if Path("/proc/self/task").is_dir():
        assert ran.stdout.strip() == str(count)


def test_no_thread_at_all_is_refused(faro):
    code, _, said = faro("embed", "pairs.jsonl", "--threads", 0)
    assert code == 2 and "threads: expected a whole number above 0, got 0" in said
