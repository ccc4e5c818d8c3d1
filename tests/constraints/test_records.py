"""Two records with the same fields are two structures: jit never runs the program of one for the other."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

import constraints as ct
from constraints import record, static
from faro import policies


@record
class Plus:
    number: float
    name: str = static(default="")


@record
class Times:
    number: float
    name: str = static(default="")


RULES = [ct.Softmax(temperature=1.0), ct.KLTilted(beta=1.0), ct.BestOf(n=1.0), ct.BestOfDraws(n=1.0)]
ADVANTAGES = [policies.GRPO(), policies.DrGRPO(), policies.LitePPO(), policies.OwnZ(), policies.Stratified()]


@pytest.mark.parametrize("records", [[Plus(number=2.0), Times(number=2.0)], RULES, ADVANTAGES])
def test_classes_are_told_apart_by_more_than_their_hash(records):
    for one, other in itertools.combinations(records, 2):
        assert jax.tree.structure(one) != jax.tree.structure(other)


def test_a_record_is_a_pytree_of_its_numbers_and_its_configuration_is_of_the_structure():
    one = Plus(number=np.arange(3.0), name="a")
    leaves, structure = jax.tree.flatten(one)
    assert len(leaves) == 1 and jax.tree.unflatten(structure, leaves).name == "a"
    assert structure == jax.tree.structure(Plus(number=1.0, name="a"))
    assert structure != jax.tree.structure(Plus(number=1.0, name="b"))
    ((path, _),) = jax.tree_util.tree_leaves_with_path(one)
    assert jax.tree_util.keystr(path) == ".number"
    assert jax.jit(lambda own: own.number.sum())(one) == 3
