"""What a library prints of itself is no answer of ours: it goes nowhere."""

from __future__ import annotations

import contextlib
import functools
import os
import sys


@functools.cache
def silence_highs() -> None:
    """HiGHS prints who made it when the first of its solvers in a process begins, whatever it is told: that one begins
    here, while standard output leads nowhere."""
    with contextlib.suppress(ImportError, OSError):
        import highspy

        with contextlib.suppress(AttributeError, ValueError):
            sys.stdout.flush()
        before = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 1)
            highspy.Highs()
        finally:
            os.dup2(before, 1)
            os.close(before)
            os.close(nowhere)
