"""Support as training draws it: anew at every step, of random size, from the first choices of every person.

    pool      the first P choices of a person of train in the order in which they are support, P = 2 k; stored once
    drawn     of every person and step s of them, by mask: s is 0 .. k, all sizes alike, all sets of a size alike. With
              an order of time first a place c of the pool, and s of the choices before it: later ones can be asked
    told      a question reads what was drawn for its person, k places as at the end, if it shares nothing with that and
              is later; else nothing

So one draw is made a person and step, and not one a question: memory is linear in rows and people. A question that the
draw would give away is asked without support, and not left out: every row counts in every step, so rates stay those of
all rows. A row of few choices is therefore told less than k more often than at the end, when support is the first k.

Which rows of the pool a question may not be told are bits, 32 to a word.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices

from .coding import Coding
from .history import everybody
from .support import QUERY, SupportRule, roles, sets_of, support_rows, support_sizes

if TYPE_CHECKING:
    from .dataset import Dataset

TIMES = 2  # the pool is so many times k
WORD = 32  # bits


class Pool(NamedTuple):
    """What support is drawn from, of each of V people; row 0 is of nobody, and empty.

    rows: `Choices [1 + V, P]`, weight 0 where there is none
    most: `[1 + V]` the largest size of a draw
    timed: `[1 + V]` whether only what comes before a place is drawn
    row: `[1 + U]` of nobody, and of every unit code, where it is among these; 0 where it is not
    like: `[1 + V]` the row of the person as they are, where some are people whose history is rewritten: they are told
        what is drawn for that person; None: nobody is
    """

    rows: Choices
    most: Any
    timed: Any
    row: Any
    like: Any = None


class Questions(NamedTuple):
    """What is known of every row of train.

    barred: `[n, W]` uint32, bits of the places of its person's pool that it may not be told
    asked: `[n]` whether it is a query once support is fixed
    more: `[n]` how much more a query is of its person then: weight of all choices / of the queries
    """

    barred: Any
    asked: Any
    more: Any

    def take(self, rows: Any) -> Questions:
        """The same of these rows."""
        return Questions(*(values[rows] for values in self))


def pool_of(data: Dataset, coding: Coding, rule: SupportRule, people: np.ndarray, dtype: Any = np.float32) -> Pool:
    """The pools of some people.

    data: whose choices they are
    coding: learned from train
    rule: how much support is read
    people: their unit codes, with those of `faro.data.history`
    dtype: of coded features
    """
    sizes, every = support_sizes(data, rule), everybody(data)
    people = np.unique(people[people >= 0])
    people = np.union1d(people, people % len(sizes))
    told = sets_of(data, coding, support_rows(data, rule, width(data, rule)), np.append(-1, people), dtype)
    most = np.append(0, sizes[people % len(sizes)]).astype(np.int32)
    row = np.zeros(1 + len(every), np.int32)
    row[1 + people] = 1 + np.arange(len(people))
    like = None if len(every) == len(sizes) else np.append(0, row[1 + people % len(sizes)])
    return Pool(told, most, np.full(len(most), bool(rule.order)), row, like)


def width(data: Dataset, rule: SupportRule) -> int:
    """P, or as many choices as anybody has.

    data: whose choices they are
    rule: how much support is read
    """
    return min(TIMES * rule.k, int(data.turns.place.max(initial=0)) + 1)


def questions_of(data: Dataset, rule: SupportRule, rows: np.ndarray) -> Questions:
    """What these rows may be told.

    data: whose choices they are
    rule: how much support is read
    rows: `[n]` indices
    """
    turns, places = data.turns, width(data, rule)
    words = -(-places // WORD)
    pooled = np.flatnonzero(turns.place < places)
    bits = np.zeros((int(turns.things.max(initial=-1)) + 2, words), np.uint32)  # the last is of nothing
    word, bit = turns.place[pooled] // WORD, np.uint32(1) << (turns.place[pooled] % WORD).astype(np.uint32)
    for things in turns.things[pooled].T:
        np.bitwise_or.at(bits, (things, word), bit)
    bits[-1] = 0
    barred = np.bitwise_or.reduce(bits[turns.things[rows]], axis=1)
    if rule.order:
        of_place = np.arange(words * WORD).reshape(words, WORD)
        ones = np.uint32(1) << np.arange(WORD, dtype=np.uint32)
        not_before = of_place >= turns.before[rows][:, None, None]
        barred |= np.where(not_before, ones, np.uint32(0)).sum(-1, dtype=np.uint32)
    every, left = (data.unit_weights(k)[data.unit_codes[rows]] for k in (0, rule.k))
    more = np.divide(every, left, out=np.ones_like(every), where=left > 0).astype(np.float32)
    return Questions(barred, roles(data, rule)[rows] == QUERY, more)


def drawn(pool: Pool, key: Array) -> Array:
    """`[1 + V, P]` which choices are drawn: s of the first c, one place after another (Knuth, The Art of Computer
    Programming 2, algorithm 3.4.2 S).

    pool: of all people
    key: a jax random key
    """
    there = pool.rows.weight > 0
    count = jnp.sum(there, 1)
    until_key, size_key, key = jax.random.split(key, 3)
    until = jnp.where(pool.timed, _below(until_key, count + 1), count)
    size = _below(size_key, jnp.minimum(pool.most, until) + 1)

    def next_place(taken: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        place, chance = at
        takes = (place < until) & (chance * (until - place) < size - taken)
        return taken + takes, takes

    people, places = there.shape
    chances = jax.random.uniform(key, (places, people))
    _, takes = jax.lax.scan(next_place, jnp.zeros_like(size), (jnp.arange(places), chances))
    takes = takes.T if pool.like is None else takes.T[pool.like]
    return takes & there


def told(pool: Pool, questions: Questions, choices: Choices, mask: Array, k: int) -> tuple[Choices, Choices]:
    """(the choices, whose units now say which row of what is read; what is read of every person, `[1 + V, k]`).

    pool: of all people
    questions: of these choices
    choices: `[n]`
    mask: `[1 + V, P]` what is drawn
    k: the most that is drawn of a person
    """
    words, places = questions.barred.shape[-1], mask.shape[1]
    spread = jnp.zeros((len(mask), words * WORD), bool).at[:, :places].set(mask)
    bits = jnp.uint32(1) << jnp.arange(WORD, dtype=jnp.uint32)
    drawn_bits = jnp.sum(jnp.where(spread.reshape(-1, words, WORD), bits, 0), -1, dtype=jnp.uint32)
    who = pool.row[choices.unit + 1]
    free = jnp.all((drawn_bits[who] & questions.barred) == 0, -1)
    count = jnp.cumsum(mask, 1)[:, None]
    wanted = jnp.arange(1, min(k, places) + 1)[:, None]
    taken = jnp.sum(count < wanted, -1)  # the place of the first, second, ... that is drawn
    there = wanted[:, 0] <= count[:, 0, -1:]

    def moved(leaf: Array) -> Array:
        at = jnp.minimum(taken, places - 1)
        return jnp.take_along_axis(leaf, at.reshape(*at.shape, *[1] * (leaf.ndim - 2)), 1)

    people = jax.tree.map(moved, pool.rows)
    people = people.replace(weight=jnp.where(there, people.weight, 0))
    twins = {
        name: twin
        if twin.unit is None
        else dataclasses.replace(twin, unit=jnp.where(free[:, None], pool.row[twin.unit + 1], 0))
        for name, twin in choices.twins.items()
    }
    return choices.replace(unit=jnp.where(free, who, 0), twins=twins), people


def _below(key: Array, limits: Array) -> Array:
    """Whole numbers 0 .. limit - 1, all alike."""
    chance = jax.random.uniform(key, limits.shape)
    return jnp.minimum((chance * limits).astype(limits.dtype), limits - 1)
