"""Nearest neighbours after any model: whose answers were like somebody's before say what the model leaves open.

    score = reward + near * (what those alike said beyond it) + crowd * (what all said beyond it)

Answers of train people are kept with the model, `near`, `crowd` and how far likeness is shrunk are those of the lowest
nll on the selection part. On questions that nobody of train was asked nothing is added. Answers of people are personal
data, and here they are parameters: `faro.models.Neighbours`.
"""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy.optimize import minimize

from ..data import Coding, Dataset
from ..data.exchange import of_people
from ..data.support import QUERY, SupportRule, roles, support_sets
from ..errors import DataError, UsageError
from ..models import Neighbours
from ..models.neighbours import contents
from ..models.wrapped import layers
from ..store.model import TrainedModel

SHRINKS = (1.0, 3.0, 10.0)  # questions in common by which a likeness is halved
MOST = 50_000_000  # numbers in memory: people x questions x alternatives
FEWEST = 2  # people who answered a question that is kept


def fit(model: TrainedModel, data: Any, support: int = 10) -> TrainedModel:
    """The model with the answers of its train people as a memory; `about["neighbours"]` says what they are worth.

    model: a trained model that is not randomised
    data: what it was trained on: a `Dataset`, a data frame, or the path of a table
    support: earlier choices of a person that are compared, >= 1; of a model that reads some itself, as many as it does

    `UsageError` for a randomised model, one that reads attributes or has a memory, or support below 1; `DataError` for
    other data than it was trained on, without labels or names of people, where no question was asked of two people of
    train, and for more answers than fit.
    """
    table, rule = _asked(model, data, support)
    seed = model.about.get("seed", 0)
    scores = np.nan_to_num(model.rewards(table))
    available, chosen = np.asarray(table.parsed.available), np.asarray(table.parsed.chosen, float)
    weight = np.asarray(table.weight, float)
    kept = table.rows(["train", "dual"], seed)
    with jax.enable_x64(True):
        params = _memory(model, table, kept[weight[kept] > 0], chosen - _softmax(scores, available))
        wrapped = Neighbours(model.model, rule.k, params["memory"]["residual"].shape)
        rows = table.rows("selection", seed)
        rows = rows[(roles(table, rule)[rows] == QUERY) & (weight[rows] > 0)]
        if not len(rows):
            raise DataError(f"{table.name}: after {rule.k} earlier choices nobody of the selection part is asked")
        people = support_sets(table, model.coding, rule, np.float64)
        choices = table.choices(model.coding, rows, dtype=np.float64)
        told = jax.jit(wrapped.heard)
        best: tuple[float, float, np.ndarray] | None = None
        for shrink in SHRINKS:
            heard = told(params | {"shrink": jnp.asarray(shrink)}, choices, people)
            beyond = np.stack(heard)
            loss, worth = _worth(beyond, scores[rows], available[rows], chosen[rows], weight[rows])
            best = min(best or (np.inf, shrink, worth), (loss, shrink, worth), key=lambda found: found[0])
    assert best is not None
    _, shrink, (near, crowd) = best
    dtype = np.result_type(*jax.tree.leaves(model.params))
    params = params | {"near": near, "crowd": crowd, "shrink": shrink}
    params = params | {"model": model.params} | jax.tree.map(
        lambda leaf: np.asarray(leaf, dtype), {name: leaf for name, leaf in params.items() if name != "model"}
    )  # fmt: skip
    kept_people, questions, _ = wrapped.size
    worth = {"near": float(near), "crowd": float(crowd), "shrink": shrink, "support": rule.k}
    note = (
        f"neighbours: answers of {kept_people} people of train to {questions} questions were added after training; "
        "status and figures are from before"
    )
    return model.refitted(wrapped, params, {"neighbours": worth}, note)


def _asked(model: TrainedModel, data: Any, support: int) -> tuple[Dataset, SupportRule]:
    """The table of training, and which choices of a person are compared."""
    model.check_one("neighbours")
    if any(isinstance(own, Neighbours) for own in layers(model.model)):
        raise UsageError("neighbours: the model has a memory; fit one to the model that it was made of")
    if model.model.reads:
        raise UsageError(
            f"neighbours: the model reads {', '.join(model.model.reads)}, which earlier choices do not tell; fit to "
            "the model that it was made of, then calibrate by group"
        )
    if not isinstance(support, numbers.Integral) or support < 1:
        raise UsageError(f"neighbours: expected support of at least 1, a whole number, got {support!r}")
    table = model.own_data(data)
    if table.unit_origin != "column" or not table.labelled:
        raise DataError(f"{table.name}: neighbours are people: needs a column that names them, and the label")
    return table, SupportRule(model.model.support or support, model.schema.order)


def _memory(model: TrainedModel, table: Dataset, rows: np.ndarray, residual: np.ndarray) -> dict[str, Any]:
    """Parameters of `Neighbours` with what people of these rows said beyond the model, `near` and `crowd` 0."""
    choices = table.choices(model.coding, rows, dtype=np.float64)
    person, whose = np.unique(table.unit_codes[rows], return_inverse=True)
    asked = _part_of_questions(table, model.coding)
    question, alternative = (np.asarray(own, np.float64) for own in contents(choices, asked))
    known, first, which = np.unique(question, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    answered = np.unique(np.stack([which, whose]), axis=1)
    several = np.flatnonzero(np.bincount(answered[0], minlength=len(known)) >= FEWEST)
    if not len(several):
        raise DataError(f"{table.name}: no question was asked of two people of train, so nobody has neighbours")
    alternatives = alternative.shape[1]
    if (size := len(person) * len(several) * alternatives) > MOST:
        raise DataError(
            f"{table.name}: {len(person):,} people x {len(several):,} questions x {alternatives} alternatives are "
            f"{size:,} numbers, and a memory holds {MOST:,}; take fewer people"
        )
    place = np.full(len(known), -1)
    place[several] = np.arange(len(several))
    here = np.flatnonzero(place[which] >= 0)
    stored = alternative[first[several]]
    same = np.all(alternative[here][:, :, None] == stored[place[which[here]]][:, None], axis=-1)
    same = same & np.any(alternative[here] > 0, axis=-1, keepdims=True)
    own = np.einsum("nk,nkl->nl", residual[rows[here]][:, :alternatives], same)
    sums = np.zeros((len(person), len(several), alternatives))
    count = np.zeros((len(person), len(several)))
    np.add.at(sums, (whose[here], place[which[here]]), own)
    np.add.at(count, (whose[here], place[which[here]]), 1)
    memory = {
        "question": known[several],
        "alternative": stored,
        "residual": sums / np.maximum(count, 1)[..., None],
        "answered": (count > 0).astype(float),
    }
    numbers = {"near": np.zeros(()), "crowd": np.zeros(()), "shrink": np.ones(())}
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model.params)
    return {"model": params, "memory": memory, "asked": asked, **numbers}


def _part_of_questions(table: Dataset, coding: Coding) -> np.ndarray:
    """What of the context is a part of a question, as `faro.models.neighbours.contents` takes it: all but what is of
    people."""
    block, people = coding.context, of_people(table, coding)
    asked = np.ones(len(block.names) + len(block.raw))
    raw = sorted(part.name for part in block.raw)
    for name in people:
        asked[len(block.names) + raw.index(name) if name in raw else block.only(name)[1]] = 0
    return asked


def _worth(heard: np.ndarray, scores: np.ndarray, available: np.ndarray, chosen: np.ndarray, weight: np.ndarray) -> Any:
    """(nll, [near, crowd] >= 0) of the least nll, drawn to 0 by as much as one choice weighs."""
    mass = weight.sum()

    def loss(worth: np.ndarray) -> tuple[float, np.ndarray]:
        given = scores + np.tensordot(worth, heard, 1)
        share = _softmax(given, available)
        nll = -(chosen * np.log(np.maximum(share, np.finfo(float).tiny))).sum(1)
        slope = np.einsum("n,nk,ank->a", weight, np.where(available, share - chosen, 0), heard)
        return (weight @ nll + worth @ worth / 2) / mass, (slope + worth) / mass

    found = minimize(loss, np.full(2, 0.1), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2)
    return float(found.fun), found.x


def _softmax(scores: np.ndarray, available: np.ndarray) -> np.ndarray:
    return special.softmax(np.where(available, scores, -np.inf), axis=1)
