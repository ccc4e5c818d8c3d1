"""Ordinal, cardinal and equal at once: what a model's rewards rank, what they are worth as probabilities, in all and in
each group, and what parity there is; as it was trained, and calibrated on the selection part.

Of groups a and b, with the mean probability q, the share y that was chosen and the calibration error E of the
alternatives of each,

    |q_a - q_b| >= |y_a - y_b| - E_a - E_b

so whoever is calibrated in every group passes on the difference of base rates, whatever the model. It binds
probabilities; of decisions (argmax) there is no such law.

Sources: Platt 1999; Guo et al., ICML 2017; Pleiss et al., NIPS 2017; Kleinberg et al., ITCS 2017.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from scipy.optimize import minimize

import constraints as ct
from faro import metrics
from faro.data import Dataset
from faro.data.support import QUERY, roles
from faro.errors import UsageError
from faro.models import Calibrated
from faro.registry import known
from faro.store.columns import MEAN
from faro.store.frontier import Frontier
from faro.store.model import TrainedModel

from .resampling import limits_of_mean

AS_TRAINED, TEMPERATURE, GROUPS, EQUAL_COST = "as trained", "temperature", "by group", "equal cost"
FIGURES = (
    "accuracy", "nll", "ece", "worst_ece", "chance_ece", "decision_gap", "probability_gap", "base_gap", "least_gap",
    "temperature",
)  # fmt: skip
BINS = 10  # of a reliability curve, of equal mass
DRAWS = 20  # of labels, of the error that a calibrated model would show by chance
LEAST = 1e-3  # slope: below, the rewards say nothing of the labels


class Read(NamedTuple):
    """What n choices show of a model's calibration.

    rewards: `[n, K]`, 0 for an outside option and where there is no alternative
    available, inside: `[n, K]` bool, and those that are not the outside option
    chosen: `[n, K]` the label as a distribution
    weight: `[n]`
    group: `[n, K]` codes of the groups, -1 where none applies
    levels: names of the groups
    unit: `[n]` codes, and `crossed` of a cluster that is crossed with them, or None
    """

    rewards: np.ndarray
    available: np.ndarray
    inside: np.ndarray
    chosen: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    levels: tuple[str, ...]
    unit: np.ndarray
    crossed: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Read:
        """The choices at these rows."""
        cut = {name: value[rows] for name, value in self._asdict().items() if isinstance(value, np.ndarray)}
        return self._replace(**cut)


class Scale(NamedTuple):
    """score = slope[g] reward + constant[g] of the alternatives of group g; the last is of who is of none. One of each:
    all alike."""

    slope: np.ndarray
    constant: np.ndarray

    def scores(self, read: Read) -> np.ndarray:
        """`[n, K]`, 0 for an outside option."""
        group = read.group if len(self.slope) > 1 else np.zeros_like(read.group)
        return np.where(read.inside, self.slope[group] * read.rewards + self.constant[group], 0)


def read(model: TrainedModel, data: Any, attribute: str) -> Read:
    """All choices of a table that may be asked of a model, in the order of the table; a choice that was told to it, as
    support, weighs nothing.

    model: a trained model that is not randomised
    data: a `Dataset`, a data frame, or the path of a table, which says what was chosen
    attribute: whose groups are looked at

    `UsageError` for a randomised model, a table without labels, or an attribute that there is none of.
    """
    model.check_one("calibration")
    table = model.read(data)
    attributes = model.attributes(table)
    known("attribute", attribute, attributes)
    if not table.labelled:
        raise UsageError(f"{table.name}: no column {model.schema.label!r}, which says what was chosen")
    parsed, own = table.parsed, attributes[attribute]
    codes = np.broadcast_to(np.asarray(own.codes(parsed)), parsed.available.shape)  # type: ignore[arg-type]
    weight = np.asarray(table.weight, float)
    if model.support.k:
        weight = weight * (roles(table, model.support) == QUERY)
    return Read(
        np.where(parsed.inside, np.nan_to_num(model.rewards(table)), 0), parsed.available, parsed.inside,
        np.asarray(parsed.chosen, float), weight, codes, own.levels, table.unit_codes, table.crossed_codes,
    )  # fmt: skip


def fit(some: Read, by_group: bool) -> Scale:
    """The scale of lowest mean nll, drawn towards the rewards as they are by as much as one choice weighs.

        argmin  sum_i w_i nll_i / sum_i w_i + (sum_g (slope_g - 1)^2 + constant_g^2) / (2 sum_i w_i)

    some: choices that trained nothing of what is measured afterwards
    by_group: a slope and a constant of each group; else one slope, the inverse of a temperature
    """
    groups = len(some.levels) + 1 if by_group else 1
    group = some.group % groups if by_group else np.zeros_like(some.group)
    mass = some.weight.sum()
    if not mass > 0:
        raise UsageError("calibration: no choice of the selection part has a weight")

    def scale(vector: np.ndarray) -> Scale:
        return Scale(vector[:groups], vector[groups:] if by_group else np.zeros(1))

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        own = scale(vector)
        logs = _log_softmax(own.scores(some), some.available)
        apart = some.weight[:, None] * np.where(some.inside, np.exp(logs) - some.chosen, 0)
        slopes = np.bincount(group.ravel(), (apart * some.rewards).ravel(), groups)
        constants = np.bincount(group.ravel(), apart.ravel(), groups)
        moved = vector - np.repeat([1.0, 0.0], [groups, len(vector) - groups])
        value = some.weight @ _nll(logs, some) + moved @ moved / 2
        return value / mass, (np.concatenate([slopes, constants])[: len(vector)] + moved) / mass

    begun = np.repeat([1.0, 0.0], [groups, groups if by_group else 0])
    limits = [(LEAST, None)] * groups + [(None, None)] * (len(begun) - groups)
    return scale(minimize(loss, begun, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 500}).x)


def calibrated(model: TrainedModel, data: Any, attribute: str | None = None) -> TrainedModel:
    """The model with its rewards on the scale of probabilities, by the selection part of its seed.

    model: a trained model
    data: what it was trained on
    attribute: with a slope and a constant of each of its groups; None: one temperature

    `UsageError` as for `read`, and for a table whose units cannot be placed in parts; `DataError` for other data than
    it was trained on.
    """
    table = model.own_data(data)
    name = attribute or next(iter(model.attributes(table)), None)
    if name is None:
        raise UsageError("calibration: the schema declares no attribute")
    some = read(model, table, name).take(table.rows("selection", model.about.get("seed", 0)))
    own = fit(some, attribute is not None)
    by = None if attribute is None else model.attributes(table)[attribute]
    params = {"model": model.params, "slope": own.slope, "constant": own.constant}
    dtype = np.result_type(*jax.tree.leaves(model.params))
    params = params | {key: np.asarray(params[key], dtype) for key in ("slope", "constant")}
    kind = TEMPERATURE if attribute is None else f"{GROUPS}: {attribute}"
    note = f"calibrated after training ({kind}); status and figures are from before"
    return model.refitted(Calibrated(model.model, by), params, {"calibration": kind}, note)


# Figures --------------------------------------------------------------------------------------------------------------


def of_run(run: Frontier, data: Dataset, attribute: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(figures, reliability curves) of the models of a run on the dev people of each seed, calibrated on the selection
    people.

    run: of these data
    data: that it was trained on
    attribute: whose groups are looked at

    Figures: a row per row of the run and calibration, and with seed "mean" the means over seeds. Columns `bound`,
    `seed`, `calibration` ("as trained", "temperature", "by group", and where one option is to take nothing "equal
    cost", the baseline of Pleiss et al. 2017), `worst` (the group of the largest error) and `FIGURES`:

    accuracy, nll, ece: of the choices
    worst_ece: largest calibration error of a group: of all its alternatives, probability against whether chosen
    chance_ece: what that of this group would be by chance, of labels drawn from the model's own probabilities; NaN of
        labels that are shares
    decision_gap, probability_gap, base_gap: largest difference between groups in how often their alternatives are
        decided for, in their mean probability, and in how often they were chosen
    least_gap: max over pairs of groups of |y_a - y_b| - E_a - E_b, 0 at least: no probability gap is below it
    temperature: 1 / slope where all have one

    Curves: of the unconstrained model of the first seed, a row per calibration, group and bin of equal mass:
    `predicted`, `chosen` with a 95 % interval over units (`chosen_low`, `chosen_high`), `choices`.
    """
    records: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    known: dict[str, list[dict[str, Any]]] = {}
    for place, row in run.table.iterrows():
        model = run.models[int(place)]
        if row["status"] == "DIVERGED":
            continue
        seed, name = int(row["seed"]), str(row["model"])
        if name not in known:
            every = read(model, data, attribute)
            parts = [every.take(data.rows(part, seed)) for part in ("selection", "dev")]
            known[name] = []
            for own in _calibrations(*parts):
                figures = _figures(own.choices, own.probabilities, own.decisions)
                known[name].append({"calibration": own.kind, **figures, "temperature": own.temperature})
                if math.isinf(row["bound"]) and seed == int(run.table["seed"].min()):
                    curve = _curves(own.choices, own.probabilities)
                    curves += [{"seed": seed, "calibration": own.kind, **one} for one in curve]
        records += [{"bound": row["bound"], "seed": seed, **figures} for figures in known[name]]
    table = pd.DataFrame(records, columns=["bound", "seed", "calibration", "worst", *FIGURES])
    means = table.groupby(["bound", "calibration"], sort=False)[[*FIGURES]].mean().reset_index().assign(seed=MEAN)
    worst = table.groupby(["bound", "calibration"], sort=False)["worst"].agg(lambda names: names.mode().iloc[0])
    means["worst"] = worst.to_numpy()
    return pd.concat([table, means[[*table]]], ignore_index=True), pd.DataFrame(curves)


class _Calibrated(NamedTuple):
    """What a calibration says on dev."""

    kind: str
    choices: Read
    probabilities: np.ndarray
    decisions: np.ndarray
    temperature: float = np.nan


def _calibrations(selection: Read, dev: Read) -> list[_Calibrated]:
    found = []
    as_it_is = Scale(np.ones(1), np.zeros(1))
    scales = {AS_TRAINED: as_it_is, TEMPERATURE: fit(selection, False), GROUPS: fit(selection, True)}
    for kind, own in scales.items():
        temperature = 1 / float(own.slope[0]) if kind != GROUPS else np.nan
        found.append(_Calibrated(kind, dev, *_said(own, dev), temperature))
    if _is_accept_or_reject(dev):
        found.append(_Calibrated(EQUAL_COST, *_equal_cost(selection, dev, scales[GROUPS])))
    return found


def _said(own: Scale, some: Read) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and decisions, `[n, K]` each."""
    scores = own.scores(some)
    return np.exp(_log_softmax(scores, some.available)), _decided(scores, some.available)


def _figures(dev: Read, probabilities: np.ndarray, decisions: np.ndarray) -> dict[str, Any]:
    weight, counted = dev.weight, dev.weight > 0
    mass = weight.sum() or np.nan
    with np.errstate(divide="ignore"):
        nll = _nll(np.log(np.maximum(probabilities, np.finfo(float).tiny)), dev)
    top = np.argmax(np.where(dev.available, probabilities, -1), 1)[:, None]
    confidence, label = (np.take_along_axis(of, top, 1)[counted, 0] for of in (probabilities, dev.chosen))
    errors: list[float] = []
    chance: list[float] = []
    rates: list[list[float]] = []
    drawn = _draws(dev, probabilities)
    for code in range(len(dev.levels)):
        here = dev.inside & (dev.group == code) & counted[:, None]
        if not here.any():
            errors.append(np.nan)
            chance.append(np.nan)
            rates.append([np.nan] * 3)
            continue
        mine = np.broadcast_to(weight[:, None], here.shape)[here]
        errors.append(metrics.ece(probabilities[here], dev.chosen[here], mine))
        by_chance = [metrics.ece(probabilities[here], labels[here], mine) for labels in drawn]
        chance.append(float(np.mean(by_chance)) if by_chance else np.nan)
        rates.append([mine @ of[here] / mine.sum() for of in (decisions, probabilities, dev.chosen)])
    error, rate = np.array(errors), np.array(rates).T
    known = np.isfinite(error)
    worst = int(np.nanargmax(error)) if known.any() else 0
    pairs = itertools.combinations(np.flatnonzero(known), 2)
    least = max((abs(rate[2, a] - rate[2, b]) - error[a] - error[b] for a, b in pairs), default=np.nan)
    gaps = [float(np.ptp(own[known])) if known.sum() > 1 else np.nan for own in rate]
    return {
        "worst": dev.levels[worst],
        "accuracy": float(weight @ (decisions * dev.chosen).sum(1) / mass),
        "nll": float(weight @ nll / mass),
        "ece": metrics.ece(confidence, label, weight[counted]),
        "worst_ece": float(error[worst]), "chance_ece": float(chance[worst]),
        "decision_gap": gaps[0], "probability_gap": gaps[1], "base_gap": gaps[2],
        "least_gap": max(0.0, float(least)),
    }  # fmt: skip


def _draws(dev: Read, probabilities: np.ndarray) -> list[np.ndarray]:
    """`[n, K]` labels that the model's own probabilities would give; as sharp as labels are, so of votes none."""
    if not np.isin(dev.chosen, (0, 1)).all():
        return []
    edges = np.cumsum(probabilities, 1)[:, :-1]
    rng = np.random.default_rng(0)
    places = [(rng.random((len(edges), 1)) > edges).sum(1) for _ in range(DRAWS)]
    return [np.eye(probabilities.shape[1])[place] for place in places]


def _curves(dev: Read, probabilities: np.ndarray) -> list[dict[str, Any]]:
    bins = []
    for code, level in enumerate(dev.levels):
        choice, place = np.nonzero(dev.inside & (dev.group == code) & (dev.weight > 0)[:, None])
        order = np.argsort(probabilities[choice, place], kind="stable")
        choice, place = choice[order], place[order]
        weight = dev.weight[choice]
        cut = np.searchsorted(np.cumsum(weight), weight.sum() * np.arange(1, BINS) / BINS)
        for number, rows in enumerate(np.split(np.arange(len(choice)), cut)):
            if not len(rows):
                continue
            of, at, mine = choice[rows], place[rows], weight[rows]
            crossed = None if dev.crossed is None else dev.crossed[of]
            low, high = limits_of_mean(dev.chosen[of, at], mine, dev.unit[of], crossed)
            predicted, chosen = (mine @ values[of, at] / mine.sum() for values in (probabilities, dev.chosen))
            one = {"group": level, "bin": number, "predicted": predicted, "chosen": chosen}
            bins.append(one | {"chosen_low": low, "chosen_high": high, "choices": len(set(of.tolist()))})
    return bins


# The baseline of Pleiss et al. ----------------------------------------------------------------------------------------


def _is_accept_or_reject(some: Read) -> bool:
    """Whether every choice is between one alternative and taking none."""
    return some.available.shape[1] == 2 and bool((some.inside.sum(1) == 1).all() and some.available.all())


def _equal_cost(selection: Read, dev: Read, own: Scale) -> tuple[Read, np.ndarray, np.ndarray]:
    """Choices of dev, probabilities and decisions, where every choice stands twice: as it is calibrated in its group,
    and with the base rate y_g of its group, by the shares 1 - alpha and alpha of its weight with which one of the two
    is drawn. The generalised false negative rate c_g = E[1 - p | accepted, g] of every group is that of the worst:

        (1 - alpha_g) c_g + alpha_g (1 - y_g) = max_h c_h
    """
    probabilities, (predicted, decisions) = _said(own, selection)[0], _said(own, dev)
    groups = len(selection.levels)
    cost, base, alpha = np.full(groups, np.nan), np.full(groups, np.nan), np.zeros(groups + 1)
    for code in range(groups):
        here = selection.inside & (selection.group == code)
        mine = np.broadcast_to(selection.weight[:, None], here.shape)[here]
        accepted = mine * selection.chosen[here]
        if accepted.sum() > 0:
            cost[code] = accepted @ (1 - probabilities[here]) / accepted.sum()
            base[code] = accepted.sum() / mine.sum()
    room = 1 - base - cost
    better = np.isfinite(cost) & (room > 0)
    alpha[:-1][better] = np.clip((np.nanmax(cost) - cost[better]) / room[better], 0, 1) if better.any() else 0
    group = np.where(dev.inside, dev.group, -1).max(1)
    own_base = np.append(np.nan_to_num(base, nan=0.5), 0.5)[group][:, None]
    trivial = np.where(dev.inside, own_base, 1 - own_base)
    places = np.tile(np.arange(len(group)), 2)
    share = np.concatenate([1 - alpha[group], alpha[group]])
    twice = dev.take(places)._replace(weight=dev.weight[places] * share)
    best = trivial == trivial.max(1, keepdims=True)
    return (
        twice, np.concatenate([predicted, trivial]),
        np.concatenate([decisions, best / best.sum(1, keepdims=True)]),
    )  # fmt: skip


# Arrays ---------------------------------------------------------------------------------------------------------------


def _log_softmax(scores: np.ndarray, available: np.ndarray) -> np.ndarray:
    masked = np.where(available, scores, -np.inf)
    top = masked.max(1, keepdims=True)
    with np.errstate(divide="ignore"):
        return masked - top - np.log(np.exp(masked - top).sum(1, keepdims=True))


def _nll(logs: np.ndarray, some: Read) -> np.ndarray:
    return -np.where(some.chosen > 0, some.chosen * np.where(some.available, logs, 0), 0).sum(1)


def _decided(scores: np.ndarray, available: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(ct.Argmax().decide(scores, available, None))
