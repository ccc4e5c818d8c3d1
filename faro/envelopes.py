"""The certified envelope of a finished run: per seed, what no linear model on its sample can beat, and the run in it.

    envelope-seedS.json     dual points, the run's models with their certified gaps, the scope: faro verify proves it
    envelope-seedS.jsonl    the table it is proved from, on request: rows of the proxy, features, labels

Loss is the regularised one of training, on the part that was trained on; slack is the smallest bound at which the
affine proxy of the constraint holds. Neither is a gap of hard decisions nor an accuracy: see docs/envelope.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from constraints import Constraint, Stack

from . import exact, models
from .data import NAMES, Dataset, load
from .errors import DataError, UsageError
from .exact.newton import least_bound
from .files import replacing, write_json
from .judge import PARTS, Frontier, View
from .notions import make_constraint

Progress = Callable[[int, int], None]  # (done, total)
WIDTH = 1e-4  # nats
MOST = 200  # points of a seed


def write_envelopes(
    folder: str | Path,
    *,
    source: Any = None,
    asked: Mapping[str, Any] | None = None,
    width: float = WIDTH,
    most: int = MOST,
    features: bool = False,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Write the envelope of every seed into the folder of the run; a summary of each.

    `source` names data that faro does not know by name, `asked` the constraint as `make_constraint` is told, where the
    run's name of it is not enough. The sandwich is
    made thinner than `width` nats, with at most `most` points. `UsageError` for a model that is not linear or a
    constraint without affine rows; `DataError` for other data than the run's.
    """
    folder = Path(folder)
    if not (np.isfinite(width) and width > 0 and most >= 2):
        raise UsageError(f"expected a width above 0 and at least 2 points, got {width} and {most}")
    run = Frontier.load(folder)
    if not isinstance(run.models[0].model, models.Linear):
        kind = type(run.models[0].model).__name__
        raise UsageError(
            f"{folder}: an envelope speaks of linear models, this run trained {kind}; for the last layer of a network "
            "use faro.exact on its features"
        )
    data = read_data(run, folder, source)
    constraint = make_constraint(data.attributes, **asked) if asked else named_constraint(run, data)
    labels = (constraint.labels(), exact.linear(constraint).labels())
    if tuple(run.manifest["constraint"]["labels"]) not in labels:
        raise UsageError(f"{constraint.name()}: not the constraint of {folder}, {run.manifest['constraint']['name']}")
    seeds, found = run.manifest["seeds"], []
    for index, seed in enumerate(seeds):
        progress(index, len(seeds))
        view = view_of(run, data, seed)
        head, rows = pose(data, constraint, view, run.manifest["configuration"]["weight_decay"])
        envelope = sample(head, rows, width, most)
        members = place(run, constraint, head, rows, seed)
        target = folder / f"envelope-seed{seed}.json"
        sha256 = _table(head, rows, target.with_suffix(".jsonl") if features else None)
        about = {
            "data": data.name,
            "digest": data.digest,
            "constraint": constraint.name(),
            "seed": str(seed),
            "part": "+".join(PARTS[run.manifest["configuration"]["dual_data"]]["train"]),
        }
        record = exact.record(rows, envelope, sha256, members, about)
        write_json(target, record)
        if not features:  # one of an earlier call would be of another problem
            target.with_suffix(".jsonl").unlink(missing_ok=True)
        found.append(_summary(record, seed, target))
    progress(len(seeds), len(seeds))
    return found


def read_data(run: Frontier, folder: Path, source: Any = None) -> Dataset:
    """The data that the run was trained on; `DataError` if `source` is other data."""
    name = run.manifest["data"]["name"]
    if source is None and name not in NAMES:
        raise UsageError(f"{folder}: the run is about {name!r}, a table of your own: give it with --data")
    data = run.models[0].read(load(source or name) if (source or name) in NAMES else source)
    if data.digest != run.manifest["data"]["digest"]:
        raise DataError(f"{source or name}: other data than the run of {folder} was trained on")
    return data


def named_constraint(run: Frontier, data: Dataset) -> Constraint:
    """The constraint that the manifest names, as "parity(sex, within=age) + ..."; `UsageError` if it is not enough."""
    name = run.manifest["constraint"]["name"]
    made = []
    for part in name.split(" + "):
        each = re.fullmatch(r"(\w+)(?:\(([^,=()]+)((?:, (?:of|within)=[^,()]*)*)\))?", part)
        if each is None:
            raise UsageError(f"{name}: cannot be made again from its name; give it with --constraint and --attribute")
        rest: dict[str, Any] = dict(own.split("=", 1) for own in (each[3] or "").split(", ")[1:])
        made.append(make_constraint(data.attributes, each[1], each[2], **rest))
    if len(made) == 1:
        return made[0]
    return Stack(members=tuple(made))


def view_of(run: Frontier, data: Dataset, seed: int) -> View:
    """A seed's view of the data, with the coding that its models were saved with."""
    coding = next(model.coding for model in run.models if model.about["seed"] == seed)
    return dataclasses.replace(View.of(data, seed, run.manifest["configuration"]["dual_data"]), coding=coding)


def pose(data: Dataset, constraint: Constraint, view: View, ridge: float) -> tuple[exact.Head, exact.Rows]:
    """What the models of a seed were fitted to, in float64, and the affine rows of the constraint on it."""
    with jax.enable_x64(True):
        choices = data.choices(view.coding, view.rows["train"], twins=constraint.twins(), dtype=np.float64)
    head = exact.Head.of(choices, ridge)
    return head, exact.rows_of(constraint, head)


def sample(head: exact.Head, rows: exact.Rows, width: float = WIDTH, most: int = MOST) -> exact.Envelope:
    """The envelope from the tightest bound that parameters can satisfy, 0 at best, to that of the unconstrained
    optimum; beyond, nothing is lower than that."""
    none = exact.Rows.of(np.zeros((0, head.d)))
    free = exact.solve(head, none, 0.0).w
    least = least_bound(rows)
    low, high = 0.0 if least <= 0 else least * (1 + 1e-6), rows.slack(free)
    if not low < high < np.inf:  # the constraint costs nothing
        return exact.Envelope.of([exact.certify(head, rows, high, free, np.zeros(len(rows.labels)))])
    return exact.frontier(head, rows, low, high, width=width, most=most)


def place(
    run: Frontier, constraint: Constraint, head: exact.Head, rows: exact.Rows, seed: int
) -> dict[str, exact.Member]:
    """Every model of the seed by its file's name: parameters as saved, and what multiples of the average of its own
    multipliers prove at its slack. Left out: models without numbers, and randomised ones, which are none of the class.
    """
    found = {}
    own_labels = tuple(run.manifest["constraint"]["labels"])
    for row, (name, trained) in enumerate(zip(run.table["model"], run.models, strict=True)):
        multipliers = run.traces["multiplier"][row].mean(0)
        if trained.about["seed"] != seed or trained.draw is not None or not np.isfinite(multipliers).all():
            continue
        w = head.weights(trained.params)
        slack = rows.slack(w)
        if not (np.isfinite(w).all() and np.isfinite(slack)):
            continue
        if own_labels != rows.labels:
            multipliers = exact.own_prices(constraint, multipliers, rows.matrix @ w)
        own = exact.priced(head, rows, slack, np.maximum(multipliers, 0), start=w)
        found[name] = exact.Member(w, head.loss(w), own)
    return found


def _table(head: exact.Head, rows: exact.Rows, path: Path | None) -> str:
    """sha256 of the table, which is written if there is a path."""
    digest = hashlib.sha256()
    if path is None:
        for line in exact.table(head, rows):
            digest.update(f"{line}\n".encode())
        return digest.hexdigest()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for line in exact.table(head, rows):
            text = f"{line}\n".encode()
            digest.update(text)
            file.write(text)
    return digest.hexdigest()


def _summary(record: Mapping[str, Any], seed: int, path: Path) -> dict[str, Any]:
    gaps = [float(member["gap"]) for member in record["members"]]
    own = [float(member["own_gap"]) for member in record["members"]]
    worst = {"largest_gap": max(gaps, default=None), "largest_own_gap": max(own, default=None)}
    counts = {"points": len(record["points"]), "width": float(record["width"]), "members": len(gaps)}
    return {"seed": seed, "envelope": str(path)} | counts | worst
