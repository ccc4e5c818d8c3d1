"""Certified envelopes in the folder of a run: `envelope-seedS.json`, and of one network `envelope-boundBB-seedS.json`.
What they claim is made in `faro.exact`; here is where they lie, and what a report reads of them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .run import Run


@dataclasses.dataclass(frozen=True)
class Envelope:
    """What the file of a seed claims: lower lines, how far apart they and losses are, and the trials by row."""

    seed: int
    scope: str
    width: float
    lines: np.ndarray  # [points, 3]: slack, constant, price
    trials: dict[int, dict[str, float]]  # slack, loss, gap, own_gap

    def lower(self, slack: Any) -> np.ndarray:
        """No model has a lower loss at this slack."""
        _, constant, price = self.lines.T
        return np.max(constant[:, None] - price[:, None] * np.atleast_1d(slack), axis=0)


def envelope_file(folder: str | Path, seed: int, member: str | None = None) -> Path:
    """Where the envelope of a seed is, or of one trial of the run, by its model's file; with the suffix .jsonl the
    table that it is proved from."""
    return Path(folder, f"envelope-{f'seed{seed}' if member is None else Path(member).stem}.json")


def envelopes(run: Run) -> list[Envelope]:
    """Those of all of a seed's trials, in the order of their names; `DataError` if one is damaged or of another
    run."""
    places = [
        (re.fullmatch(r"envelope-seed(\d+)", path.stem), path) for path in Path(run.folder).glob("envelope-*.json")
    ]
    return [_read(run, int(match[1]), path) for match, path in sorted(places, key=lambda pair: str(pair[1])) if match]


def _read(run: Run, seed: int, path: Path) -> Envelope:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(run.trials["model"]):
        rows.setdefault(name, []).append(row)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["about"]["digest"] != run.data.get("digest"):
            raise DataError(f"{path}: about other data than this run; write it again with faro envelope")
        lines = [[float(point[name]) for name in ("slack", "constant", "price")] for point in record["points"]]
        trials = {
            row: {name: float(trial[name]) for name in ("slack", "loss", "gap", "own_gap")}
            for trial in record["members"]
            for row in rows[trial["name"]]
        }
        scope, width, array = str(record["scope"]), float(record["width"]), np.array(lines, float).reshape(-1, 3)
        numbers = [width, *array.ravel(), *(value for trial in trials.values() for value in trial.values())]
        if not (len(array) and np.isfinite(numbers).all()):
            raise ValueError("no points, or numbers that are not finite")
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: not an envelope of this run ({problem}); write it again with faro envelope") from None
    return Envelope(seed, scope, width, array, trials)
