"""Versions of installed packages, read from their files once."""

from __future__ import annotations

import functools
from importlib import metadata

OURS = "faro-fairness"  # the name that faro is installed by


@functools.cache
def version(name: str) -> str:
    """The version of an installed package."""
    return metadata.version(name)


def versions(*names: str) -> dict[str, str]:
    """Name -> version of installed packages."""
    return {name: version(name) for name in names}
