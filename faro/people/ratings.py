"""What calibration of each rater (`pebs`) makes of a model's rewards, on a table that also has ratings: `faro pebs`.

The law of slopes and intercepts is that of the raters whom the model was trained on. It is measured on dev raters, whom
it has not seen: one half of each one's ratings, by the hash of their names, is what calibration may read, the other
half is what is measured. Gate raters are not read, and no choice that a model reads as an earlier one of a person.

    pooled      one line for all
    intercept   only intercepts differ: what a rater's mean does, whatever the rewards are
    own line    least squares of each rater, the pooled line below three ratings
    pebs        slope and intercept of each rater, shrunk together
    shuffled    pebs of rewards that are dealt anew among a rater's ratings: no gain of it is the model's
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..data import Dataset
from ..data.split import PARTS, uniform
from ..data.support import QUERY, roles
from ..errors import DataError
from ..store.model import TrainedModel
from . import pebs

FIRST = (1, 2, 3, 5, 10, 20)  # ratings that calibration may read, of each rater
TRAINED = ("train", "dual", "selection")
LEAST = 10  # raters of whom anything is said


def read(model: TrainedModel, data: Dataset, rating: str) -> dict[str, np.ndarray]:
    """Of every alternative that is rated: reward, rating, unit, part, and a number in [0, 1) by the hash of its name.

    model: trained
    data: a table with a row for each alternative (long or accept), as the model reads it
    rating: its column of ratings

    `DataError` where there is no such column, or something else than numbers in it.
    """
    if data.schema.format == "wide":
        raise DataError(f"{data.name}: ratings are of alternatives, one a row; got a wide table, with a choice a row")
    if rating not in data.frame.columns:
        raise DataError(
            f"{data.name}: --rating: no column {rating!r}; columns: {', '.join(map(str, data.frame.columns))}"
        )
    if data.unit_origin != "column":
        raise DataError(f"{data.name}: no column names raters, whom calibration is of")
    try:
        ratings = data.frame[rating].astype(str).str.strip().replace({"": "nan"}).astype(float).to_numpy()
    except ValueError as error:
        raise DataError(f"{data.name}: --rating: expected numbers in {rating!r} ({error})") from None
    rewards = np.asarray(model.rewards(data))
    inside = data.parsed.inside & (data.parsed.source >= 0)
    part = np.array(PARTS, object)[data.parts(model.about.get("seed", 0))]
    if model.model.support:
        told = roles(data, model.support)
        part = np.where(told == QUERY, part, told)
    rows, places = np.nonzero(inside)
    names = [
        f"{data.units[row]}\x1f{data.choice_names[row]}\x1f{place}" for row, place in zip(rows, places, strict=True)
    ]
    found = {
        "reward": rewards[rows, places],
        "rating": ratings[data.parsed.source[rows, places]],
        "unit": data.units[rows],
        "part": part[rows],
        "order": uniform("faro pebs", names),
    }
    there = np.isfinite(found["rating"])
    return {name: values[there] for name, values in found.items()}


def measured(seen: dict[str, np.ndarray], seed: int = 0) -> dict[str, Any]:
    """The law, each dev rater's line, and root mean square errors of dev raters' other ratings.

    seen: what `read` gave
    seed: by which rewards are dealt anew in the arm `shuffled`

    `DataError` for fewer than 10 raters to learn from, or to measure on.
    """
    trained, dev = (np.isin(seen["part"], parts) for parts in (TRAINED, ("dev",)))
    for what, here in (("train", trained), ("dev", dev)):
        if (count := len(set(seen["unit"][here]))) < LEAST:
            raise DataError(f"pebs: expected ratings of at least {LEAST} {what} raters, got {count}")
    centre = seen["reward"][trained].mean()
    reward, rng = seen["reward"] - centre, np.random.default_rng([20, seed])
    dealt = reward.copy()
    for unit in np.unique(seen["unit"]):
        own = np.flatnonzero(seen["unit"] == unit)
        dealt[own] = reward[rng.permutation(own)]
    arms = {name: _arm(name, dealt if name == "shuffled" else reward, seen, trained, dev) for name in ARMS}
    later = seen["order"][dev] >= 0.5
    units = seen["unit"][dev][later]
    errors = {name: (arm["predicted"][later] - seen["rating"][dev][later]) ** 2 for name, arm in arms.items()}
    people, codes = np.unique(units, return_inverse=True)

    def by_rater(values: np.ndarray) -> np.ndarray:
        return np.bincount(codes, values) / np.bincount(codes)

    rmse = {name: float(np.sqrt(own.mean())) for name, own in errors.items()}
    hurt = {name: float((by_rater(own) > by_rater(errors["pooled"])).mean()) for name, own in errors.items()}
    shrunk = arms["pebs"]
    return {
        "law": shrunk["law"],
        "raters": {"train": len(set(seen["unit"][trained])), "dev": len(people)},
        "ratings": {"read": int((~later).sum()), "measured": int(later.sum())},
        "rmse": rmse,
        "hurt": hurt,
        "rmse_by_ratings": _curve(reward, seen, trained, dev),
        "turned": int((shrunk["slope"] * shrunk["law"]["slope"] <= 0).sum()),
        "lines": [
            {"unit": str(unit), "slope": float(slope), "intercept": float(intercept - slope * centre)}
            for unit, slope, intercept in zip(shrunk["units"], shrunk["slope"], shrunk["intercept"], strict=True)
        ],
    }


ARMS = ("pooled", "intercept", "own line", "pebs", "shuffled")


def _arm(
    name: str, reward: np.ndarray, seen: dict[str, np.ndarray], trained: np.ndarray, dev: np.ndarray, first: Any = None
) -> dict[str, Any]:
    """Predictions of all dev ratings, from the first half of each rater's, or the first so many of it."""
    with jax.enable_x64(True):
        law = pebs.population(_moments(reward, seen, trained)[1])
        slope, intercept, _ = pebs.pooled(_moments(reward, seen, trained)[1])
        early = seen["order"] < 0.5
        if first is not None:
            order = np.lexsort((seen["order"], seen["unit"]))
            _, codes = np.unique(seen["unit"][order], return_inverse=True)
            place = np.arange(len(order)) - np.searchsorted(codes, codes)
            kept = np.zeros(len(order), bool)
            kept[order] = place < first
            early &= kept
        units, own = _moments(reward, seen, dev, early)
        lines = pebs.calibrate(own, law._replace(slope_variance=0.0) if name == "intercept" else law)
        slopes, intercepts = np.asarray(lines.slope), np.asarray(lines.intercept)
        if name in ("pooled", "own line"):
            least = pebs.least_squares(own)
            alone = np.asarray(least.known) & (name == "own line")
            slopes = np.where(alone, least.slope, slope)
            intercepts = np.where(alone, least.intercept, intercept)
    codes = np.searchsorted(units, seen["unit"][dev])
    return {
        "law": {key: float(value) for key, value in law._asdict().items()},
        "units": units,
        "slope": slopes,
        "intercept": intercepts,
        "predicted": slopes[codes] * reward[dev] + intercepts[codes],
    }


def _moments(reward: np.ndarray, seen: dict[str, np.ndarray], here: np.ndarray, early: Any = None) -> Any:
    """Raters of these ratings, and their moments; of the early ones alone."""
    units, codes = np.unique(seen["unit"][here], return_inverse=True)
    weight = np.ones(here.sum()) if early is None else early[here].astype(float)
    rewards, rated = (jnp.asarray(values[here], float) for values in (reward, seen["rating"]))
    return units, pebs.moments(rewards, rated, jnp.asarray(codes), len(units), jnp.asarray(weight))


def _curve(
    reward: np.ndarray, seen: dict[str, np.ndarray], trained: np.ndarray, dev: np.ndarray
) -> list[dict[str, Any]]:
    """Errors by how many ratings calibration may read, of raters who have so many, on the same others for all arms."""
    units, codes = np.unique(seen["unit"][dev], return_inverse=True)
    later, read = seen["order"][dev] >= 0.5, np.bincount(codes, seen["order"][dev] < 0.5, len(units))
    found = []
    for first in FIRST:
        there = later & (read >= first)[codes]
        if len(set(codes[there])) < LEAST:
            break
        line: dict[str, Any] = {"ratings": first, "raters": len(set(codes[there]))}
        for name in ("pooled", "own line", "pebs"):
            predicted = _arm(name, reward, seen, trained, dev, first)["predicted"]
            line[name] = float(np.sqrt(((predicted - seen["rating"][dev]) ** 2)[there].mean()))
        found.append(line)
    return found
