"""Sums over choices: all that a step or an evaluation needs of them, and what choices must bring for that.

    Totals    what no model moves, of all that choices are drawn from
    Tally     what a model moves
    Prepared  choices with their rows of the constraint and of the objective, and the totals
    summed    sums a slice at a time

Sums of two data sets add up, so minibatches, microbatches and shards need nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices, Constraint, record

from ..data.draws import Pool, told
from ..losses import Objective
from ..runtime import devices


class Tally(NamedTuple):
    """Sums over choices, of what a model says of them."""

    loss: Any  # sums of the objective
    ties: Array
    soft: Any  # sums of the constraint, of the proxy
    hard: Any  # and of the truth
    penalty: Any = ()  # the model's own, times the weight


class Totals(NamedTuple):
    """What no model moves, of all that choices are drawn from."""

    masses: Any  # of the constraint
    weight: Array
    aim: Any  # masses of the objective


@record
class Prepared:
    """Choices, what constraint and objective need of them, and the totals of all that they are drawn from."""

    choices: Choices
    rows: Any
    aims: Any
    totals: Totals
    people: Any = None
    ridge: Any = None
    questions: Any = None  # where support is drawn anew: what each may be told

    @classmethod
    def of(
        cls,
        constraint: Constraint,
        choices: Choices,
        multiple: int,
        objective: Objective,
        known: Any,
        people: Any,
        ridge: Any,
        questions: Any,
    ) -> Prepared:
        """Computed once, outside the training scan; padded to a multiple of this many choices. `known` is what the
        objective knows of train."""
        n = choices.shape[0]
        position = jnp.arange(n + -n % multiple)
        if n % multiple:
            choices, questions = jax.tree.map(lambda leaf: leaf[position % n], (choices, questions))
        choices = choices.replace(weight=jnp.where(position < n, choices.weight, 0))
        rows, aims = constraint.prepare(choices), objective.prepare(choices, known)
        totals = Totals(constraint.masses(rows), jnp.sum(choices.weight), objective.masses(choices, aims))
        return cls(
            choices=choices, rows=rows, aims=aims, totals=totals, people=people, ridge=ridge, questions=questions
        )

    def take(self, index: Any) -> Prepared:
        """These choices only; totals stay those of all."""
        picked = jax.tree.map(lambda leaf: leaf[index], (self.choices, self.rows, self.aims, self.questions))
        choices, rows, aims, questions = devices.spread(picked)
        return dataclasses.replace(self, choices=choices, rows=rows, aims=aims, questions=questions)

    def told(self, pool: Pool, mask: Any, k: int) -> Prepared:
        """The same, each told what is drawn of its person's choices, k at most."""
        choices, people = told(pool, self.questions, self.choices, mask, k)
        return dataclasses.replace(self, choices=choices, people=people)


def summed(of_slice: Any, parts: tuple, size: int) -> Any:
    """The sums over choices `of_slice(*parts, index)`, so many choices at a time; the last slice may be smaller. What
    backward passes need of a slice is computed again, not kept."""
    n = parts[0].shape[0]
    if size >= n:
        return of_slice(*parts)
    even = n - n % size
    body = parts if even == n else jax.tree.map(lambda leaf: leaf[:even], parts)
    slices = (*devices.slices(body, size), jnp.arange(even // size))
    first = jax.tree.map(lambda leaf: leaf[0], slices)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of_slice, *first))

    def add(sums, part):
        return jax.tree.map(jnp.add, sums, jax.checkpoint(of_slice)(*part)), None

    sums = jax.lax.scan(add, empty, slices)[0]
    if even == n:
        return sums
    return add(sums, (*jax.tree.map(lambda leaf: leaf[even:], parts), jnp.asarray(even // size)))[0]
