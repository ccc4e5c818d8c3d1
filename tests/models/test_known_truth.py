"""A model of kinds beside the oracle that knows them; `python -m benchmarks people` is the whole of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import people
from faro.data.demo_people import WORLDS


def test_nodes_stand_for_the_law():
    for world in WORLDS.values():
        weights, levels, log_share = people.nodes(world)
        share = np.exp(log_share)
        assert np.isclose(share.sum(), 1)
        mean = np.asarray(world.share) @ np.asarray(world.mean)
        assert np.allclose(share @ weights, mean)
        kinds = sum(part * np.outer(own - mean, own - mean) for part, own in zip(world.share, world.mean, strict=True))
        directions = np.reshape(world.directions, (-1, 4))
        apart = weights - mean
        assert np.allclose((share[:, None] * apart).T @ apart, kinds + directions.T @ directions)
        assert np.isclose(share @ levels**2, world.spread**2)


@pytest.mark.slow
def test_two_kinds_are_told_apart_as_well_as_can_be():
    found = people.cell("demo-51-49", "latent_class", seed=0, people=120, steps=120, new=100)
    assert max(people.gaps(found, "method", 10)) < 0.03
    assert max(people.gaps(found, "control", 10)) > 0.1  # the earlier choices of somebody else
