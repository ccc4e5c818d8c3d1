"""How well a saved model predicts the choices of a table, for each subset that a column names, beside length and a
constant: as benchmarks of reward models report it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

import constraints as ct
from faro import metrics
from faro.data import PARTS, Dataset
from faro.data.candidates import check_sets
from faro.data.mapped import Rows
from faro.data.mixed import SOURCE
from faro.data.table import LISTS
from faro.data.texts import StoredTexts
from faro.errors import DataError, UsageError
from faro.store.columns import MEAN
from faro.store.frontier import Frontier
from faro.store.model import TrainedModel

from . import bias, flips
from .resampling import limits_of_mean

ALL, SUBSET = "all", "subset"
ENDS = ("accuracy_low", "accuracy_high")
COLUMNS = ("choices", "units", "accuracy", *ENDS, "ties", "margin", "nll", "ece", "length", "constant")


def scored_by(
    model: TrainedModel, data: Any, column: str, part: str | None = None, rule: ct.DecisionRule | None = None
) -> pd.DataFrame:
    """A row for each level of a column, and one of all: what the model reaches there.

    model: a trained model
    data: a `Dataset`, a data frame, or the path of a table, which says what was chosen
    column: of the table; of a choice of several rows the first says which subset it is in. It is the first of what is
        given; one that a figure has the name of (`length`) is called `subset` there
    part: only units that the model's seed puts there; None: all
    rule: from rewards to decisions; None: that of the model's training. Under another than argmax `accuracy` is the
        mean probability of what was chosen

    Columns: `choices`, `units`; `accuracy` and `ties` in [0, 1]; `accuracy_low` and `accuracy_high`, a 95 % interval
    over units, and over what is crossed with them (`Schema.crossed`), for this model as it is; `margin`, the mean of
    the reward of what was chosen less that of the others; `nll` in nats; `ece` in [0, 1]; `length`, the accuracy of who
    takes the text of more tokens (NaN without texts); `constant`, that of who takes any. Choices count by their weight;
    where none has one, figures are NaN.
    Where there are twins, `flips:ATTRIBUTE`, how often a decision changes with it (`faro.evaluate.flips`). Of questions
    about two people, as BBQ's, both scores of `faro.evaluate.bias` as well.

    `DataError` for a table without labels or column, `UsageError` for a part that there is none of.
    """
    read = model.read(data)
    if not read.labelled:
        raise DataError(f"{read.name}: no column {model.schema.label!r}, which says what was chosen")
    rows = np.arange(read.n)
    if part is not None:
        if part not in PARTS or read.unit_origin == "none":
            raise UsageError(f"{read.name}: no part {part!r} (parts: {', '.join(PARTS)}), or no units to place there")
        rows = read.rows(part, model.about.get("seed", 0))
    levels, biased = _levels(read, column), bias.applies(read)
    rewards = model.rewards(read)
    rule = model.rule_named() if rule is None else rule
    check_sets(read, rule)
    of_every = _figures(read, rewards, rule)
    decided = of_every.pop("decisions")
    flipped = {f"flips:{name}": flips.sums(model, read, name, rewards, rule) for name in flips.of(read)}
    of_choices = {name: values[rows] for name, values in of_every.items()}
    named = sorted(set(levels[rows].tolist()))
    subsets = [(level, levels[rows] == level) for level in named]
    if len(named) > 1:
        subsets.append((ALL, np.ones(len(rows), bool)))
    records = []
    for _, here in subsets:
        weight = read.weight[rows][here]
        record: dict[str, Any] = {"choices": len(weight), "units": len(set(read.units[rows][here]))}
        own = {name: values[here] for name, values in of_choices.items()}
        mass = weight.sum() or np.nan  # choices that weigh nothing have no figures
        with np.errstate(invalid="ignore"):
            record["ece"] = metrics.ece(own.pop("confidence"), own.pop("label"), weight)
        record |= {name: float(values @ weight / mass) for name, values in own.items()}
        for name, (total, times) in flipped.items():
            there = times[rows][here] @ weight
            record[name] = total[rows][here] @ weight / there if there else np.nan
        crossed = None if read.crossed_codes is None else read.crossed_codes[rows][here]
        limits = limits_of_mean(own["accuracy"], weight, read.unit_codes[rows][here], crossed)
        record |= dict(zip(ENDS, limits, strict=True))
        if biased:
            record |= bias.scores(read, decided, rows[here])
        records.append(record)
    figures = pd.DataFrame(records, columns=[*COLUMNS, *flipped, *(bias.FORMULAS if biased else ())])
    figures.insert(0, SUBSET if column in figures else column, [level for level, _ in subsets])
    return figures


def of_sources(run: Frontier, data: Dataset, bounds: Sequence[float]) -> pd.DataFrame:
    """What the models of a run reach on the dev people of each source of its data, as `scored_by` says it: a row of
    each bound, seed and source, and, with seed "mean", the means over seeds.

    run: of these data
    data: with an attribute `source`
    bounds: those whose models are asked
    """
    column = data.schema.attribute(SOURCE).column
    records = []
    for bound in dict.fromkeys(bounds):
        for row in np.flatnonzero(run.table["bound"] == bound).tolist():
            if run.table["status"][row] == "DIVERGED":
                continue
            seed = int(run.table["seed"][row])
            figures = scored_by(run.models[row], data.take(data.rows("dev", seed)), column).rename(
                columns={column: SOURCE}
            )
            records.append(figures.assign(bound=bound, seed=seed))
    table = pd.concat(records, ignore_index=True)
    means = table.groupby(["bound", SOURCE], sort=False).mean(numeric_only=True).reset_index().assign(seed=MEAN)
    return pd.concat([table, means], ignore_index=True)[["bound", "seed", SOURCE, *COLUMNS]]


def _figures(data: Dataset, rewards: np.ndarray, rule: ct.DecisionRule) -> dict[str, np.ndarray]:
    """Figure -> `[n]` its value for every choice; of `ece` the confidence and the label; and decisions `[n, K]`."""
    chosen, available, tokens = np.asarray(data.parsed.chosen), data.parsed.available, _tokens(data)
    others = (1 - chosen) * available
    others = others / np.maximum(others.sum(1, keepdims=True), 1e-300)
    own = np.where(available, rewards, 0.0)
    with jax.enable_x64(True):
        log_ref = None if isinstance(rule, ct.Argmax | ct.Softmax) else data.parsed.log_ref
        choices = ct.make_choices(np.zeros((*available.shape, 1)), chosen, available=available, log_ref=log_ref)
        counted = np.zeros_like(own) if tokens is None else tokens
        figures = {name: np.asarray(values) for name, values in _of_choices(rule, own, counted, choices).items()}
    figures["margin"] = (own * (chosen - others)).sum(1)
    if tokens is None:
        figures["length"] = np.full(len(own), np.nan)
    return figures


@jax.jit
def _of_choices(rule: ct.DecisionRule, rewards: Array, tokens: Array, choices: ct.Choices) -> dict[str, Array]:
    def hits(values: Array, by: ct.DecisionRule = ct.Argmax()) -> Array:  # noqa: B008  a record, which nobody changes
        return (choices.chosen * ct.decide(by, values, choices).decisions).sum(1)

    confidence, label = metrics.top_label(rewards, choices)
    return {
        "accuracy": hits(rewards, rule), "ties": metrics.tied(rewards, choices) * 1.0,
        "confidence": confidence, "label": label,
        "nll": metrics.log_losses(rewards, choices), "length": hits(tokens), "constant": hits(jnp.zeros_like(rewards)),
        "decisions": ct.decide(rule, rewards, choices).decisions,
    }  # fmt: skip


def _levels(data: Dataset, column: str) -> np.ndarray:
    """`[n]` the subset of each choice, as text."""
    if column not in data.frame.columns:
        names = ", ".join(map(str, data.frame.columns[:30]))
        raise DataError(f"{data.name}: no column {column!r}; columns are: {names}")
    cells = data.frame[column]
    if any(isinstance(cell, LISTS) for cell in cells):
        raise DataError(f"{data.name}: column {column!r} holds lists or objects; expected one of levels")
    words = np.where(cells.isna(), "", cells.astype(str).str.strip())
    return words.astype(object)[data.parsed.source[:, 0]]


def _tokens(data: Dataset) -> np.ndarray | None:
    """`[n, K]` tokens of the texts of every alternative, None without texts."""
    total = None
    for rows in data.parsed.items.vectors.values():
        if isinstance(rows, Rows) and isinstance(rows.of, StoredTexts):
            counts = np.append(rows.of.tokens, 0)[rows.index].astype(float)
            total = counts if total is None else total + counts
    return total
