"""choice.json, beside a run: which of its models a policy's gate is to be asked about, and what was foretold of them.

    models       below the folder, in the order in which they are to be asked about
    chosen       the one that was chosen; `stated` its chance of passing
    dev_figures  "used to choose": the dev figures of these models flatter
    members      what was foretold of each

Nothing here imports jax, as nothing of `run` does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError
from ..files import write_json

CHOICE = "choice.json"
SCHEMA = "faro-choice/1"
USED = "used to choose"


def write_choice(folder: str | Path, record: dict[str, Any]) -> Path:
    """Write it; where it is."""
    place = Path(folder, CHOICE)
    write_json(place, record)
    return place


def read_choice(folder: str | Path, policy_sha256: str | None = None) -> dict[str, Any] | None:
    """What was chosen of the run in this folder; None where nothing was.

    policy_sha256  of the policy that it must have been chosen under, if one is meant

    `DataError` for a damaged file, `UsageError` for a choice under another policy.
    """
    place = Path(folder, CHOICE)
    if not place.is_file():
        return None
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        good = record["schema"] == SCHEMA and isinstance(record["models"], list) and record["models"]
        good = good and all(isinstance(name, str) for name in [*record["models"], record["chosen"]])
        made = record["policy_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}: damaged ({type(error).__name__}); say faro choose again") from None
    if not good:
        raise DataError(f"{place}: damaged; say faro choose again")
    if policy_sha256 is not None and made != policy_sha256:
        raise UsageError(f"{place}: was chosen under another policy; say faro choose again, or remove it")
    return record
