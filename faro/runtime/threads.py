"""How many threads of a CPU a process computes on, said before any library has started its own."""

from __future__ import annotations

import os

from ..errors import UsageError

# XLA's CPU client reads the first of them when it starts, once; rayon is what `tokenizers` runs on
VARIABLES = ("PJRT_NPROC", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit(count: int) -> None:
    """So many threads compute at once in XLA's programs, and as many in each other library that reads a variable.

    count: >= 1

    Call it before jax and numpy are used: what has started by then keeps its threads. XLA starts more of them than
    these, for compiling and for handing out work, which mostly wait; only the system's own affinity (`taskset`) bounds
    all of them together.
    """
    if count < 1:
        raise UsageError(f"threads: expected a whole number above 0, got {count}")
    os.environ.update(dict.fromkeys(VARIABLES, str(count)))
