"""Processes that tests start: of this tree, and compiled as quickly as the tests themselves."""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = Path(__file__).parents[2]


def environment(programs: Path | None = None, path: tuple[Path, ...] = (), **more: str) -> dict[str, str]:
    """Variables of a process that imports faro from this tree.

    programs: a folder where it leaves every compiled program, for the next process that is given the folder; processes
        that run at the same time need folders of their own, since jax does not write to it in one piece
    path: folders that come before the tree in its search for modules
    """
    found = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (*path, SOURCE))),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    if programs is not None:
        found |= {
            "JAX_COMPILATION_CACHE_DIR": str(programs),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    return found | more
