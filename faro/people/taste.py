"""What of a person's taste is foretold: a low-rank model of person x alternative, on choices it has not seen.

A choice less what is known before is foretold by what all share, by the person's level, and by a taste,

    z_n  ~  a_p  +  sum_k s_nk (b_k  +  u_p . v_k)        u_p, v_k of length r

where k runs over the alternatives of the choice, with s = +1 for the one whose share z_n is and -1 for its rival. All
are fitted by least squares with a ridge, which is the noise over the variance of what it shrinks; no feature is read,
so nothing is said of alternatives that come once. Rank and variance of a taste are chosen in each training fold, none
at all (r = 0) among them; what is left of the error is measured on the fold left out. A person's choices on an
item are in one fold.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from faro.data.split import uniform

from .estimate import Estimate, unknown
from .shares import moments
from .votes import PAIRS, SETS, Votes

FOLDS = 5
SALT = "faro people folds 1"
RANKS, SPREADS = (1, 2, 3), (0.03, 0.1)  # of tastes: variance of u . v over that of a choice
STEPS = 15
LEAST = 0.5  # of choices, whose alternatives more than one person was asked about
MOST = 100_000  # choices that are used; of more, those of some people
LARGEST = 1e3  # of a ridge: what has no variance is shrunk to nothing


class Foretold(NamedTuple):
    """How much of the variance of choices is foretold on folds left out.

    shared: by what all share and, where there is one, the person's level
    taste: by a person's taste on top of that
    ranks: chosen in each fold, 0 = none
    people: whose choices were used
    """

    shared: Estimate
    taste: Estimate
    ranks: tuple[int, ...]
    people: int


@dataclasses.dataclass(frozen=True)
class _Rows:
    """R numbers z of people on C columns; `level` codes, `column [R, 2]` and `sign [R, 2]`, 0 = not there."""

    z: np.ndarray
    person: np.ndarray
    level: np.ndarray
    column: np.ndarray
    sign: np.ndarray
    vote: np.ndarray

    def take(self, rows: np.ndarray) -> _Rows:
        return _Rows(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


def _rows(votes: Votes) -> _Rows:
    z, k = votes.centred, votes.share.shape[1]
    every = np.arange(votes.n)
    if votes.kind == PAIRS:
        sign = np.tile([1.0, -1.0], (votes.n, 1))
        return _Rows(z[:, 0], votes.person, votes.person, votes.alternative.copy(), sign, every)
    column, sign = np.zeros((votes.n, k, 2), np.int64), np.zeros((votes.n, k, 2))
    named = votes.item[:, None] * k + np.arange(k) if votes.kind != SETS or votes.level else votes.alternative
    column[..., 0], sign[..., 0] = np.maximum(named, 0), 1.0
    used = votes.available.copy()
    if votes.kind != SETS:
        used[:, 1] = False  # the other share says the same
    at = np.nonzero(used)
    return _Rows(z[at], votes.person[at[0]], votes.person[at[0]] * k + at[1], column[at], sign[at], every[at[0]])


def _solved(codes: np.ndarray, size: int, inputs: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """`[size, r]` ridge regressions of target on inputs `[R, r]`, one a code."""
    r = inputs.shape[1]
    gram = np.zeros((size, r, r))
    right = np.zeros((size, r))
    for i in range(r):
        right[:, i] = np.bincount(codes, inputs[:, i] * target, size)
        for j in range(i, r):
            gram[:, i, j] = gram[:, j, i] = np.bincount(codes, inputs[:, i] * inputs[:, j], size)
    return np.linalg.solve(gram + ridge * np.eye(r), right[..., None])[..., 0]


class _Fit:
    """The model, fitted to some rows by going round its parts."""

    def __init__(self, rows: _Rows, sizes: tuple[int, int, int], ridges: tuple[float, float]):
        self.sizes, (people, levels, columns) = sizes, sizes
        self.level, self.column = np.zeros(levels), np.zeros(columns)
        self.person, self.taste = np.zeros((people, 0)), np.zeros((columns, 0))
        parts = int((rows.sign != 0).any(0).sum())
        for _ in range(STEPS):
            if np.isfinite(ridges[0]):
                left = rows.z - self._of_columns(rows, self.column[:, None])[:, 0]
                self.level = _solved(rows.level, levels, np.ones((len(left), 1)), left, ridges[0])[:, 0]
            left = rows.z - self.level[rows.level]
            self.column = self._columns(rows, np.ones((len(left), 1)), left, self.column[:, None], ridges[1], parts)[
                :, 0
            ]

    @staticmethod
    def _of_columns(rows: _Rows, values: np.ndarray) -> np.ndarray:
        return sum(rows.sign[:, part, None] * values[rows.column[:, part]] for part in range(rows.sign.shape[1]))

    def _columns(
        self, rows: _Rows, inputs: np.ndarray, target: np.ndarray, now: np.ndarray, ridge: float, parts: int
    ) -> np.ndarray:
        """Every column's values given those of its rivals; where a row has two, half a step, since both move."""
        left = target - (inputs * self._of_columns(rows, now)).sum(1)
        codes, own, goals = [], [], []
        for part in range(parts):
            there, sign = rows.sign[:, part] != 0, rows.sign[:, part, None]
            codes.append(rows.column[there, part])
            own.append((sign * inputs)[there])
            goals.append((left + (sign * inputs * now[rows.column[:, part]]).sum(1))[there])
        best = _solved(np.concatenate(codes), len(now), np.concatenate(own), np.concatenate(goals), ridge)
        return now + (best - now) / parts

    def shared(self, rows: _Rows) -> np.ndarray:
        """`[R]` by what all share and by levels."""
        return self.level[rows.level] + self._of_columns(rows, self.column[:, None])[:, 0]

    def tasted(self, rows: _Rows, rank: int, noise: float, spread: float) -> _Fit:
        """Tastes fitted to what is left; u has variance 1, v the spread over the rank."""
        left, (people, _, columns) = rows.z - self.shared(rows), self.sizes
        parts = int((rows.sign != 0).any(0).sum())
        rng = np.random.default_rng(0)
        self.person, self.taste = rng.standard_normal((people, rank)), np.zeros((columns, rank))
        for _ in range(STEPS):
            ridge = noise * rank / spread
            self.taste = self._columns(rows, self.person[rows.person], left, self.taste, ridge, parts)
            self.person = _solved(rows.person, people, self._of_columns(rows, self.taste), left, noise)
        return self

    def foretold(self, rows: _Rows) -> np.ndarray:
        """`[R]` by tastes, on top of what all share."""
        return (self.person[rows.person] * self._of_columns(rows, self.taste)).sum(1)


def foretold(votes: Votes, folds: int = FOLDS) -> Foretold:
    """What is foretold of choices on folds left out, as parts of their variance, with 95 % intervals.

    votes: n choices
    folds: how many; who is in which is fixed by codes of person and item alone
    """
    votes = _some(votes)
    total, items, level, _ = moments(votes)
    rows = _rows(votes)
    pairs = np.unique(
        np.stack([rows.column[rows.sign != 0], np.broadcast_to(rows.person[:, None], rows.sign.shape)[rows.sign != 0]]),
        axis=1,
    )
    several = np.bincount(pairs[0]) > 1
    again = float((several[rows.column] | (rows.sign == 0)).all(1).mean())
    if not total > 1e-12:
        return Foretold(unknown("everybody chose the same"), unknown("everybody chose the same"), (), votes.people)
    if again < LEAST or votes.people < FOLDS or np.bincount(votes.person).max() < 2:
        why = (
            "most alternatives were put to one person alone, or nobody chose twice; a model of features may foretell it"
        )
        return Foretold(unknown(why), unknown(why), (), votes.people)
    total = float((rows.z**2).sum() / votes.n)
    noise = float((rows.z**2).mean())
    ridges = (_ridge(noise, level, total) if votes.level else np.inf, _ridge(noise, items, total))
    sizes = (votes.people, int(rows.level.max()) + 1, int(rows.column.max()) + 1)
    draw = uniform(SALT, [f"{p}\x1f{i}" for p, i in zip(votes.person, votes.item, strict=True)])
    fold = np.minimum((np.asarray(draw) * folds).astype(int), folds - 1)[rows.vote]
    shared, taste, ranks = np.zeros(len(rows.z)), np.zeros(len(rows.z)), []
    for left_out in range(folds):
        train, test = rows.take(fold != left_out), fold == left_out
        inner = fold[fold != left_out] == (left_out + 1) % folds
        rank, spread = _chosen(train.take(~inner), train.take(inner), sizes, ridges, noise)
        fit = _Fit(train, sizes, ridges)
        if rank:
            fit.tasted(train, rank, noise, spread * noise)
        held = rows.take(test)
        shared[test] = fit.shared(held)
        taste[test] = shared[test] + (fit.foretold(held) if rank else 0.0)
        ranks.append(rank)
    errors = [np.bincount(rows.vote, (rows.z - by) ** 2, votes.n) for by in (np.zeros(len(rows.z)), shared, taste)]
    gains = [(before - after) / total for before, after in itertools.pairwise(errors)]
    of_shared, of_taste = (_mean(gain, votes) for gain in gains)
    return Foretold(of_shared, of_taste, tuple(ranks), votes.people)


def _some(votes: Votes) -> Votes:
    """All choices of as many people as have `MOST` together, drawn at random once."""
    if votes.n <= MOST:
        return votes
    order = np.random.default_rng(0).permutation(votes.people)
    used = order[: max(1, int((np.cumsum(np.bincount(votes.person)[order]) <= MOST).sum()))]
    rows = np.isin(votes.person, used)
    person, item = (np.unique(codes[rows], return_inverse=True)[1] for codes in (votes.person, votes.item))
    share, available, alternative = votes.share[rows], votes.available[rows], votes.alternative[rows]
    return Votes(votes.kind, share, available, alternative, person, item, votes.level)


def _ridge(noise: float, variance: float, total: float) -> float:
    """Noise over the variance of what is shrunk, which is not identified where nobody shares an item."""
    known = variance if np.isfinite(variance) else 0.1 * total
    return float(min(LARGEST, noise / max(known, noise / LARGEST)))


def _chosen(
    train: _Rows, test: _Rows, sizes: tuple[int, int, int], ridges: tuple[float, float], noise: float
) -> tuple[int, float]:
    """The rank and spread with the least error on some of the training rows; (0, 0) if that is of no taste at all."""
    fit = _Fit(train, sizes, ridges)
    left = test.z - fit.shared(test)
    errors = {(0, 0.0): float((left**2).sum())}
    for rank in RANKS:
        for spread in SPREADS:
            fit.tasted(train, rank, noise, spread * noise)
            errors[rank, spread] = float(((left - fit.foretold(test)) ** 2).sum())
    return min(errors, key=lambda key: errors[key])


def _mean(gain: np.ndarray, votes: Votes) -> Estimate:
    """The mean over choices with its interval over people and items, which both vary: variances are added."""
    value, away = float(gain.mean()), gain - gain.mean()
    if min(votes.people, votes.items) < 10:
        return Estimate(value, why="too few people or items for an interval")
    variance = sum((np.bincount(of, away) ** 2).sum() for of in (votes.person, votes.item)) / len(gain) ** 2
    half = 1.96 * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half)
