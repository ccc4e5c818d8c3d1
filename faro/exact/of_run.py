"""The certified envelope of a finished run: per seed, what no linear model on its sample can beat, and the run in it.

    envelope-seedS.json     dual points, the run's models with their certified gaps, the scope: faro verify proves it
    envelope-seedS.jsonl    the table it is proved from, on request: rows of the proxy, features, labels

Loss is the regularised one of training, on the part that was trained on; slack is the smallest bound at which the
affine proxy of the constraint holds. Neither is a gap of hard decisions nor an accuracy: see docs/envelope.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from constraints import Choices, Constraint

from .. import exact, models
from ..data import NAMES, Dataset, load
from ..data.views import PARTS, View
from ..errors import DataError, UsageError
from ..files import replacing, write_json
from ..registry import known, make_constraint
from ..store.envelopes import envelope_file
from ..store.frontier import Frontier
from ..store.model import TrainedModel
from ..store.saved import ITS_NAME_ALONE
from ..store.spec import from_record
from .newton import least_bound

Progress = Callable[[int, int], None]  # (done, total)
WIDTH = 1e-4  # nats
MOST_POINTS = 200  # of a seed


def write_envelopes(
    folder: str | Path,
    *,
    source: Any = None,
    asked: Mapping[str, Any] | None = None,
    width: float = WIDTH,
    most: int = MOST_POINTS,
    features: bool = False,
    member: str | None = None,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Write the envelope of every seed into the folder of the run, or of one `member`, the file of a network whose last
    layer is meant, on the frozen outputs of the layer before; a summary of each.

    `source` names data that faro does not know by name, `asked` the constraint as `make_constraint` is told, where the
    run does not store it. The sandwich is made thinner than `width` nats, with at most `most` points; with
    `features` the tables are written too. `UsageError` for a model that is neither linear nor an `MLP` or a constraint
    without affine rows; `DataError` for other data than the run's.
    """
    folder = Path(folder)
    if not (np.isfinite(width) and width > 0 and most >= 2):
        raise UsageError(f"expected a width above 0 and at least 2 points, got {width} and {most}")
    run = Frontier.load(folder)
    seeds = _seeds(run, folder, member)
    data = read_data(run, folder, source)
    constraint = make_constraint(data.attributes, **asked) if asked else stored_constraint(run)
    labels = (constraint.labels(), exact.linear(constraint).labels())
    if tuple(run.manifest["constraint"]["labels"]) not in labels:
        raise UsageError(f"{constraint.name()}: not the constraint of {folder}, {run.manifest['constraint']['name']}")
    summaries: list[dict[str, Any]] = []
    for seed in seeds:
        progress(len(summaries), len(seeds))
        params = {
            row: trained.params
            for name, row in _first_rows(run).items()
            if (trained := run.models[row]).about["seed"] == seed and trained.draw is None and member in (None, name)
        }
        choices = choices_of(run, data, constraint, seed)
        if member is not None:
            (row,) = params
            choices, params[row] = _last_layer(run.models[row], choices)
        head = _head(run, choices, seed)
        rows = exact.rows_of(constraint, head)
        envelope = sample(head, rows, width, most)
        placed = place(run, constraint, head, rows, params)
        target = envelope_file(folder, seed, member)
        sha256 = _table(head, rows, target.with_suffix(".jsonl") if features else None)
        about = {
            "data": data.name,
            "digest": data.digest,
            "constraint": constraint.name(),
            "seed": str(seed),
            "part": "+".join(PARTS[run.manifest["configuration"]["dual_data"]]["train"]),
        }
        record = exact.record(rows, envelope, sha256, placed, about)
        write_json(target, record)
        if not features:  # one of an earlier call would be of another problem
            target.with_suffix(".jsonl").unlink(missing_ok=True)
        summaries.append(_summary(record, seed, target))
    progress(len(seeds), len(seeds))
    return summaries


def read_data(run: Frontier, folder: Path, source: Any = None) -> Dataset:
    """The data that the run was trained on; `DataError` if `source` is other data."""
    name = run.manifest["data"]["name"]
    if source is None and name not in NAMES:
        raise UsageError(f"{folder}: the run is about {name!r}, a table of your own: give it with --data")
    data = run.models[0].read(load(source or name) if (source or name) in NAMES else source)
    if data.digest != run.manifest["data"]["digest"]:
        raise DataError(f"{source or name}: other data than the run of {folder} was trained on")
    return data


def stored_constraint(run: Frontier) -> Constraint:
    """The constraint that the manifest has as data; `UsageError` where it has none, as in runs of format 1."""
    stored = run.manifest["constraint"]
    record = stored.get("record", {"type": stored["name"], "opaque": ITS_NAME_ALONE})
    try:
        return from_record(record)
    except UsageError as error:
        raise UsageError(f"{error}; name it with --constraint, and --attribute, --of, --within") from None


def _head(run: Frontier, choices: Choices, seed: int) -> exact.Head:
    """The loss that this seed's trials minimise."""
    ridge = run.manifest.get("ridge")
    if ridge is None:  # it is fixed, and of the intercept as well
        return exact.Head.of(choices, run.manifest["configuration"]["weight_decay"])
    own, model = ridge["seeds"][str(seed)], run.models[0].model
    shares = model.shares(models.PARTS, float(own["interactions"])) if model.linear else None
    return exact.Head.of(choices, own["weight_decay"], shares=shares)


def _seeds(run: Frontier, folder: Path, member: str | None) -> list[int]:
    """The seeds that are asked for; `UsageError` if that cannot be."""
    model, names = run.models[0].model, list(run.table["model"])
    kind = type(model).__name__
    if member is None:
        if not model.linear:
            raise UsageError(
                f"{folder}: an envelope is about linear models, this run trained {kind}; say --member FILE"
            )
        return run.manifest["seeds"]
    if model.linear or not models.overrides(model, "linear_head"):
        raise UsageError(f"--member is for the last layer of a network; this run trained {kind}: leave it out")
    known("member", member, names)
    trained = run.models[names.index(member)]
    if trained.draw is not None:
        raise UsageError(f"{member}: a randomised choice among models, so it has no one last layer; choose another")
    return [trained.about["seed"]]


def _first_rows(run: Frontier) -> dict[str, int]:
    """A row of the table for each model, which may answer several bounds."""
    rows = run.table["model"].drop_duplicates()
    return dict(zip(rows, rows.index.tolist(), strict=True))


def _last_layer(trained: TrainedModel, choices: Choices) -> tuple[Choices, Any]:
    """`linear_head` in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), trained.params)
        return jax.tree.map(np.asarray, trained.model.linear_head(params, choices))


def choices_of(run: Frontier, data: Dataset, constraint: Constraint, seed: int) -> Choices:
    """What the models of a seed were fitted to, in float64, with the coding that they were saved with."""
    view = View.of(data, seed, run.manifest["configuration"]["dual_data"])
    coding = next(model.coding for model in run.models if model.about["seed"] == seed)
    with jax.enable_x64(True):
        return data.choices(coding, view.rows["train"], **constraint.needs(), dtype=np.float64)


def sample(head: exact.Head, rows: exact.Rows, width: float = WIDTH, most: int = MOST_POINTS) -> exact.Envelope:
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
    run: Frontier, constraint: Constraint, head: exact.Head, rows: exact.Rows, params: Mapping[int, Any]
) -> dict[str, exact.PlacedModel]:
    """Models by their files' names, from their rows of the table and linear parameters: where they are, and what
    multiples of the average of their own multipliers prove there. Those without numbers are left out."""
    placed = {}
    own_labels = tuple(run.manifest["constraint"]["labels"])
    for row, own_params in params.items():
        multipliers, w = run.traces["multiplier"][row].mean(0), head.weights(own_params)
        slack = rows.slack(w)
        if not (np.isfinite(multipliers).all() and np.isfinite(w).all() and np.isfinite(slack)):
            continue
        if own_labels != rows.labels:
            multipliers = exact.multipliers_of_linear(constraint, multipliers, rows.matrix @ w)
        dual_point = exact.priced(head, rows, slack, np.maximum(multipliers, 0), start=w)
        placed[run.table["model"].iloc[row]] = exact.PlacedModel(w, head.loss(w), dual_point)
    return placed


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
    gaps = [float(claim["gap"]) for claim in record["members"]]
    own_gaps = [float(claim["own_gap"]) for claim in record["members"]]
    worst = {"largest_gap": max(gaps, default=None), "largest_own_gap": max(own_gaps, default=None)}
    counts = {"points": len(record["points"]), "width": float(record["width"]), "members": len(gaps)}
    return {"seed": seed, "envelope": str(path)} | counts | worst
