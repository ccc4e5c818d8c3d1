"""Calibrated lists of a scored table, in proportion to interests, and at what cost: of each choice so many candidates,
or of each person one candidate of every choice.

    score in [0, 1] = (reward - least) / (largest - least)        of the candidates of the choice, whose ends are kept

Wanted shares of genres are given, or are what a person chose before (the rows that the model was told), mixed with what
everybody chose, or what all people chose, or what is there. Objective and greedy: `faro.voting.reranking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data.decided import Decided, column_of, read_decided
from ..errors import DataError, UsageError
from ..evaluate.resampling import limits_of_mean
from ..voting import reranked, streamed
from .agreement import FEW

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
WANTED = ("told", "people", "there")
PRIOR = 0.1  # share of what everybody chose before in what is wanted of a person


class Genres(NamedTuple):
    """names: of G genres; shares: `[n, K, G]` p(g | candidate), which add up to 1."""

    names: tuple[str, ...]
    shares: np.ndarray


class Lists(NamedTuple):
    """L lists: of n choices one each, or one of every person.

    taken: `[n, K]` place of each candidate in its list, from 1; 0 of who is not in it
    unit: `[L]` whose list it is
    divergence: `[L]` C_KL
    kept: `[L]` sum of scores, as a share of the best list's
    right: `[L]` how much of what was chosen is in the list; NaN where nobody knows
    """

    taken: np.ndarray
    unit: np.ndarray
    divergence: np.ndarray
    kept: np.ndarray
    right: np.ndarray


def read_genres(table: Decided, columns: Sequence[str], names: Sequence[str] = ()) -> Genres:
    """Genres of candidates: levels of one column, or several columns of shares.

    table: whose candidates
    columns: one of levels, or several of numbers that add up to 1 in every row
    names: levels that there are besides, of one column
    """
    if len(columns) == 1:
        texts = table.texts(columns[0])
        if (empty := (texts == "") & table.there).any():
            row = int(table.rows[empty][0]) + 1
            raise DataError(f"{table.where}: column {columns[0]!r}, row {row}: expected a genre, got nothing")
        levels = tuple(sorted({*texts[table.there].tolist(), *names}))
        return Genres(levels, np.stack([texts == level for level in levels], -1).astype(float))
    shares = np.stack([table.numbers(name, 0, 1) for name in columns], -1)
    off = (np.abs(shares.sum(-1) - 1) > 1e-6) & table.there
    if off.any():
        row, total = int(table.rows[off][0]) + 1, shares.sum(-1)[off][0]
        raise DataError(f"{table.where}: row {row}: {', '.join(columns)} add up to {total:g}, expected 1")
    return Genres(tuple(columns), shares / np.where(table.there, shares.sum(-1), 1)[..., None])


def read_wanted(
    table: Decided, columns: Sequence[str], wanted: str | dict[str, float], prior: float = PRIOR
) -> tuple[Genres, np.ndarray]:
    """Genres, and the shares `[n, G]` that are wanted of each choice's list.

    table: whose candidates
    columns: of genres
    wanted: genre -> share; or "told", what the person chose among the rows that the model was told; "people", what all
        people chose; "there", the genres of the choice's candidates
    prior: in [0, 1], share of what everybody chose before, in "told"
    """
    if not isinstance(wanted, str):
        genres = read_genres(table, columns, tuple(wanted) if len(columns) == 1 else ())
        if unknown := [name for name in wanted if name not in genres.names]:
            raise UsageError(f"--wanted: unknown genre {unknown[0]!r} (known: {', '.join(genres.names)})")
        shares = np.array([wanted.get(name, 0.0) for name in genres.names])
        if not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
            raise UsageError(f"--wanted: expected shares of 0 or more that add up to 1, got {wanted}")
        return genres, np.tile(shares, (len(table.rows), 1))
    if not 0 <= prior <= 1:
        raise UsageError(f"--prior: expected a share in [0, 1], got {prior}")
    if wanted == "there":
        genres = read_genres(table, columns)
        return genres, genres.shares.sum(1) / table.there.sum(1)[:, None]
    if wanted == "people":
        genres = read_genres(table, columns)
        chosen = np.einsum("nk,nkg->g", table.numbers("label", 0, 1), genres.shares)
        return genres, np.tile(_of(chosen, table.where), (len(table.rows), 1))
    if wanted != "told":
        raise UsageError(f"--wanted: expected GENRE=SHARE,... or one of {', '.join(WANTED)}, got {wanted!r}")
    if not len(table.told):
        raise DataError(
            f"{table.where}: no rows of earlier choices (role = support); say the shares: --wanted a=.5,b=.5"
        )
    before = table.told[column_of(table.told, "role", table.where) == "support"]
    history = read_decided(before.drop(columns="role"), ("label",))
    both = sorted({*read_genres(table, columns).names, *read_genres(history, columns).names})
    genres, earlier = (read_genres(of, columns, both) for of in (table, history))
    chosen = np.einsum("nk,nkg->ng", history.numbers("label", 0, 1), earlier.shares)
    everybody = _of(chosen.sum(0), table.where)
    own = pd.DataFrame(chosen).groupby(history.units.astype(str)).sum()
    found = own.reindex(table.units.astype(str)).fillna(0.0).to_numpy()
    total = found.sum(1, keepdims=True)
    share = np.where(total > 0, found / np.where(total > 0, total, 1), everybody)
    return genres, prior * everybody + (1 - prior) * share


def scores(table: Decided) -> tuple[np.ndarray, np.ndarray]:
    """Rewards mapped to [0, 1] in each choice, `[n, K]`, and the least and the largest, `[n, 2]`.

    table: with rewards
    """
    rewards = table.numbers("reward")
    least = np.where(table.there, rewards, np.inf).min(1)
    largest = np.where(table.there, rewards, -np.inf).max(1)
    span = np.where(largest > least, largest - least, 1)
    return np.where(table.there, (rewards - least[:, None]) / span[:, None], 0), np.stack([least, largest], 1)


def lists(
    table: Decided, genres: Genres, wanted: np.ndarray, count: int | None, strength: float, *, surrogate: bool = False
) -> Lists:
    """A list of each choice, of all its candidates where it has fewer than `count`; or of each person, one candidate of
    every choice.

    table: with rewards
    genres: of its candidates
    wanted: `[n, G]`; of a person their mean over choices
    count: N >= 1 of a choice; None: one list of each person
    strength: lambda in [0, 1]
    surrogate: the monotone objective, of which greedy reaches 1 - 1 / e, of each person's list a half
    """
    if count is not None and count < 1:
        raise UsageError(f"--count: expected a whole number >= 1, got {count}")
    mapped, _ = scores(table)
    label = table.numbers("label", 0, 1) if table.filled("label") else np.full(mapped.shape, np.nan)
    taken, found, owners = np.zeros(mapped.shape, int), [], []
    for own in _lists_of(table, count is None):
        size = table.there[own].sum(1)
        if count is None:
            there = table.there[own]
            made = streamed(
                mapped[own], genres.shares[own], wanted[own].mean(0), strength, there=there, surrogate=surrogate
            )
            rows, places, best = own, made.items, mapped[own].max(1).sum()
        else:
            row, inside, most = own[0], int(size[0]), min(count, int(size[0]))
            made = reranked(
                mapped[row, :inside], genres.shares[row, :inside], wanted[row], most, strength, surrogate=surrogate
            )
            rows, places = np.full(most, row), made.items
            best = np.sort(mapped[row, :inside])[inside - most :].sum()
        taken[rows, places] = np.arange(1, len(places) + 1)
        kept, right = mapped[rows, places].sum(), label[rows, places].sum() / len(own)
        found.append((made.divergence, kept / best if best > 0 else 1.0, right))
        owners.append(table.units[own[0]])
    return Lists(taken, np.array(owners, object), *np.array(found).T)


def _lists_of(table: Decided, of_people: bool) -> list[np.ndarray]:
    """The choices of each list, in the order of the table."""
    if not of_people:
        return list(np.arange(len(table.rows))[:, None])
    codes = pd.factorize(table.units)[0]
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def over_strengths(
    table: Decided, genres: Genres, wanted: np.ndarray, count: int | None, asked: float, *, surrogate: bool = False
) -> tuple[Lists, list[dict[str, Any]]]:
    """The lists at the strength that was asked for, and a row of each strength: means over lists of divergence,
    scores and what was chosen, and of that the difference to strength 0, with an interval over people where there are
    `FEW` or more.

    table, genres, wanted, count, surrogate: as of `lists`
    asked: strength of the lists that are returned
    """
    rows, first, answer = [], None, None
    for strength in sorted({*STRENGTHS, asked}):
        made = lists(table, genres, wanted, count, strength, surrogate=surrogate)
        first, answer = first or made, made if strength == asked else answer
        shown = np.einsum("nk,nkg->g", made.taken > 0, genres.shares)
        row = {
            "strength": strength,
            "divergence": float(made.divergence.mean()),
            "worst_tenth": float(np.quantile(made.divergence, 0.9)),
            "scores": float(made.kept.mean()),
            "shares": dict(zip(genres.names, (shown / shown.sum()).tolist(), strict=True)),
        }
        if table.filled("label"):
            moved, (person, names) = made.right - first.right, pd.factorize(made.unit)
            known = len(names) >= FEW
            ends = limits_of_mean(moved, np.ones(len(moved)), person, None) if known else (None, None)
            row |= {"right": float(made.right.mean()), "cost": float(moved.mean()), "low": ends[0], "high": ends[1]}
        rows.append(row)
    assert answer is not None
    return answer, rows


def written(table: Decided, made: Lists) -> pd.DataFrame:
    """The rows of a table with `place` (0: not in the list), `score`, and `least` and `largest`, the ends by which
    rewards were mapped; `decision` is each item's share of its list.

    table: with rewards
    made: of its choices
    """
    mapped, ends = scores(table)
    inside = made.taken > 0
    size = np.maximum(inside.sum(1, keepdims=True), 1)  # of the choice: 1 of a list of a person
    spread = {name: np.broadcast_to(ends[:, [at]], mapped.shape) for at, name in enumerate(("least", "largest"))}
    columns = {"decision": inside / size, "place": made.taken, "score": mapped, **spread}
    return table.frame.assign(**{name: table.flat(values) for name, values in columns.items()})


def _of(sums: np.ndarray, where: str) -> np.ndarray:
    if sums.sum() <= 0:
        raise DataError(f"{where}: nobody chose anything, by its labels; say the shares: --wanted a=.5,b=.5")
    return sums / sums.sum()
