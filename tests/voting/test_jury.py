"""A jury's decision is that of a juror drawn by its weights."""

from __future__ import annotations

import numpy as np
import pytest

from faro.errors import UsageError
from faro.voting import jury

VOTES = {"young": np.array([[1.0, 0.0], [0.25, 0.75]]), "old": np.array([[0.0, 1.0], [0.75, 0.25]])}


def test_weights_decide_who_is_heard():
    assert jury(VOTES, {"young": 1}) == pytest.approx(VOTES["young"])
    assert jury(VOTES, {"young": 0.6, "old": 0.4}) == pytest.approx(np.array([[0.6, 0.4], [0.45, 0.55]]))
    assert jury(VOTES, {"old": 0.4, "young": 0.6}) == pytest.approx(jury(VOTES, {"young": 0.6, "old": 0.4}))
    rng = np.random.default_rng(0)
    seat = rng.choice(2, 20000, p=[0.6, 0.4])
    drawn = np.stack([VOTES["young"], VOTES["old"]])[seat].mean(0)
    assert jury(VOTES, {"young": 0.6, "old": 0.4}) == pytest.approx(drawn, abs=0.02)


@pytest.mark.parametrize(
    ("weights", "what"), [({"middle": 1}, "unknown group"), ({"old": 0.4}, "add up to 1"), ({}, "add up to 1")]
)
def test_a_jury_that_cannot_sit_is_refused(weights, what):
    with pytest.raises(UsageError, match=what):
        jury(VOTES, weights)
    with pytest.raises(UsageError, match="rows add up to 1"):
        jury({"old": np.ones((2, 2))}, {"old": 1})
