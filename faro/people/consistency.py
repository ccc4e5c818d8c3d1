"""Which answers are preferences: what somebody says of one item again, in the same frame and in another one.

    genuine        one side whatever the frame                                       1/2 sum_s prod_f L_f(s)
    constructed    a side for every frame, not the same in all        sum over such s of prod_f L_f(s_f) / (2^F - 2)
    non-attitude   a coin every time                                                 2^-n

L_f(s) = (1 - lapse)^agreeing lapse^other, of the replies in frame f: a reply slips with a chance that is one for all.
Shares of the three types and the lapse are those of the largest likelihood over (person, item): at a given lapse it is
concave in the shares, where EM finds it, and the lapse is one number. The weight of an answer is P(genuine | replies).

Types are of a person and an item, not of a person. With two frames and two replies in each a coin passes as genuine
once in eight times. Source: the three types and the advice to leave non-attitudes out are of arXiv 2604.03238, which
had no formula that was available to us; mixture and weight are ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from ..data import Dataset
from ..errors import DataError, UsageError
from .votes import SETS, Votes, votes_of

TYPES = ("genuine", "constructed", "non_attitude")
LEAST, MOST = 1e-3, 0.4  # lapses
ROUNDS, ENOUGH = 2000, 1e-9  # of EM


class Found(NamedTuple):
    """The mixture.

    shares: `[3]` of the types, in the order of `TYPES`
    lapse: chance that a reply slips
    posterior: `[G, 3]` of every (person, item)
    """

    shares: np.ndarray
    lapse: float
    posterior: np.ndarray


def mixture(who: np.ndarray, frame: np.ndarray, first: np.ndarray) -> Found:
    """The mixture of n replies.

    who: codes 0..G-1 of (person, item), `[n]`
    frame: codes of the frames, `[n]`
    first: how much of the reply is for the first of the two alternatives, `[n]` in [0, 1]

    `DataError` where nobody was asked again, in the same frame and in another: then types cannot be told apart.
    """
    size = int(frame.max()) + 1
    cells, cell = np.unique(who * size + frame, return_inverse=True)
    owner, replies = cells // size, np.bincount(cell)
    ones, frames = np.bincount(cell, first), np.bincount(owner)
    if frames.max() < 2 or replies.max() < 2:
        what = "in two frames" if frames.max() < 2 else "twice in the same frame"
        raise DataError(
            f"types of answers: expected people who were asked about one item again, nobody was {what}; if the frame "
            "is a feature of the schema, name the column of the items"
        )
    coin = -np.log(2) * np.bincount(owner, replies)

    def logs(lapse: float) -> np.ndarray:  # [G, 3]
        right, wrong = np.log1p(-lapse), np.log(lapse)
        one = ones * right + (replies - ones) * wrong
        other = (replies - ones) * right + ones * wrong
        same = np.stack([np.bincount(owner, side) for side in (one, other)])
        either = np.bincount(owner, np.logaddexp(one, other))
        genuine = np.logaddexp(*same) - np.log(2)
        apart = 1 - np.exp(same - either).sum(0)  # share of all sides that are not the same in all frames
        ways = np.log(np.maximum(2.0**frames - 2, 1))
        with np.errstate(divide="ignore"):
            constructed = np.where(frames > 1, either + np.log(np.maximum(apart, 0)) - ways, -np.inf)
        return np.stack([genuine, constructed, coin], 1)

    def of(lapse: float) -> tuple[float, np.ndarray, np.ndarray]:
        said = logs(lapse)
        top = said.max(1, keepdims=True)
        shares, odds, value = np.full(3, 1 / 3), np.exp(said - top), -np.inf
        for _ in range(ROUNDS):
            chance = odds @ shares
            last, value = value, float(np.mean(np.log(chance) + top[:, 0]))
            posterior = odds * shares / chance[:, None]
            if value - last < ENOUGH:
                break
            shares = posterior.mean(0)
        return value, shares, posterior

    grid = np.geomspace(LEAST, MOST, 12)
    place = int(np.argmax([of(lapse)[0] for lapse in grid]))
    ends = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
    lapse = optimize.minimize_scalar(lambda own: -of(own)[0], bounds=ends, method="bounded", options={"xatol": 1e-4}).x
    _, shares, posterior = of(lapse)
    return Found(shares, float(lapse), posterior)


def types(data: Dataset, frame: str, item: str | None = None) -> tuple[dict[str, Any], np.ndarray]:
    """(a record of the types of a table's answers, weights `[rows]` of its rows).

    data: pairs, or items that are accepted or refused, by named people, with a row or rows for every reply
    frame: column of the wording, order or context in which the item was put
    item: column that says which replies are of one item; None: by their content

    A row whose label is the share of several people has weight 1. `DataError` where the table does not tell types
    apart; `UsageError` for no such column.
    """
    if frame not in data.frame.columns:
        raise UsageError(
            f"--frame {frame}: no such column; columns are: {', '.join(map(str, data.frame.columns[:30]))}"
        )
    votes = votes_of(data, item)
    if votes.kind == SETS:
        raise DataError(f"{data.name}: types are told of one of two alternatives; here there are more")
    of_row = data.parsed.source.max(1)[votes.rows]
    column = data.frame[frame]
    cells = column.astype(str).to_numpy()[of_row]
    absent = np.isin(cells, ["", *data.schema.missing]) | column.isna().to_numpy()[of_row]
    if absent.any():
        row = of_row[absent].min() + 1
        raise DataError(f"{data.name}: column {frame!r}, row {row}: the frame is missing; name it, or drop such rows")
    frames, code = np.unique(cells, return_inverse=True)
    pairs, who = np.unique(votes.person * votes.items + votes.item, return_inverse=True)
    found = mixture(who, code, votes.share[:, 0])
    weight = found.posterior[:, 0]
    record = {
        "data": data.name,
        "replies": votes.n,
        "people": votes.people,
        "items": votes.items,
        "answers": len(pairs),
        "once": int((np.bincount(who) == 1).sum()),
        "frames": frames.tolist(),
        "shares": dict(zip(TYPES, found.shares.tolist(), strict=True)),
        "lapse": found.lapse,
        "kept": _kept(votes, pairs // votes.items, weight),
        "coverage": _coverage(pairs % votes.items, weight),
        "flips": _flips(votes, weight[who]),
        "notes": [*votes.notes, *_copies(data)],
    }
    of_rows = np.ones(len(data.frame))
    source = data.parsed.source[votes.rows]
    there = source >= 0
    of_rows[source[there]] = np.broadcast_to(weight[who][:, None], source.shape)[there]
    return record, of_rows


def _copies(data: Dataset) -> list[str]:
    """What is to be known of rows that are alike in every column: of a reply and its copy every one counts."""
    alike = int(data.frame.astype(str).duplicated().sum())
    if not alike:
        return []
    return [f"{alike} rows are as others in every column, and count as further replies; drop them if they are copies"]


def _kept(votes: Votes, person: np.ndarray, weight: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean weight of the answers of each group of people, by attribute."""
    found = {}
    for name, (levels, codes) in votes.groups.items():
        own = codes[person]
        found[name] = {level: float(weight[own == c].mean()) for c, level in enumerate(levels) if (own == c).any()}
    return found


def _coverage(item: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """How much of an item's answers is left: of the item with the least, a tenth of items, the median one."""
    kept = np.bincount(item, weight) / np.bincount(item)
    return {name: float(np.quantile(kept, at)) for name, at in (("least", 0), ("tenth", 0.1), ("median", 0.5))}


def _flips(votes: Votes, weight: np.ndarray) -> dict[str, float]:
    """Of the items with a majority how many have another one by weight; an item all of whose answers weigh nothing, or
    that is tied, has none."""
    every, ours = (np.bincount(votes.item, of * (votes.share[:, 0] - 0.5)) for of in (np.ones(votes.n), weight))
    clear = (np.abs(every) > 1e-9) & (np.abs(ours) > 1e-9)
    flipped = clear & (np.sign(every) != np.sign(ours))
    return {
        "items": int(clear.sum()),
        "flipped": int(flipped.sum()),
        "share": float(flipped.sum() / max(clear.sum(), 1)),
    }
