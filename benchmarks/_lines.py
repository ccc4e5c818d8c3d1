"""What benchmarks that may be stopped have finished: a line of JSON each, in a file that only grows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any


def finished(path: Path, key: Callable[[dict[str, Any]], Hashable]) -> dict[Any, dict[str, Any]]:
    """The records of a file by their key; a line that was cut short is not finished."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            found[key(record)] = record
    return found


def add(path: Path, record: dict[str, Any]) -> None:
    """One more finished record, on a line of its own also behind one that was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text()[-1:] if path.exists() else ""
    with open(path, "a") as file:
        file.write(("" if before in ("", "\n") else "\n") + json.dumps(record) + "\n")
