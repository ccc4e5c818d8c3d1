"""The worst served kind expects most: closed forms, an independent solver, and its prices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from faro.errors import UsageError
from faro.voting import maximin


def test_two_opposed_kinds_share_and_a_middling_answer_is_not_taken():
    found = maximin(np.array([[1.0, 0.0, 0.4], [0.0, 1.0, 0.4]]))
    assert np.allclose(found.chances, [0.5, 0.5, 0])  # the smallest of samples would take the third, worth .4 for sure
    assert np.allclose(found.of_kinds, 0.5)
    assert np.allclose(found.shares, 0.5)
    uneven = maximin(np.array([[3.0, 0.0], [0.0, 1.0]]))
    assert np.allclose(uneven.chances, [0.25, 0.75])
    alone = maximin(np.array([[0.1, 0.7, 0.3]]))
    assert np.allclose(alone.chances, [0, 1, 0])


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_a_price_of_divergence_is_that_of_a_plain_solver(beta):
    rng = np.random.default_rng(0)
    values, reference = rng.normal(size=(3, 5)), rng.dirichlet(np.ones(5))
    found = maximin(values, beta, reference)

    def objective(free):
        chances = special.softmax(np.append(free[:4], 0))
        kl = special.rel_entr(chances, reference).sum()
        return -(free[4] - beta * kl)

    rows = {"type": "ineq", "fun": lambda free: values @ special.softmax(np.append(free[:4], 0)) - free[4]}
    start = np.append(np.log(reference[:4] / reference[4]), (values @ reference).min())
    plain = optimize.minimize(objective, start, constraints=[rows], method="SLSQP", options={"ftol": 1e-12})
    value = found.of_kinds.min() - beta * found.kl
    assert value == pytest.approx(-plain.fun, abs=1e-5)
    assert found.gap < 1e-5
    better = found.of_kinds > found.of_kinds.min() + 1e-3
    assert (found.shares[better] < 1e-3).all()
    one = maximin(values[:1], beta, reference)  # of one kind the tilted reference
    assert np.allclose(one.chances, special.softmax(np.log(reference) + values[0] / beta), atol=1e-9)


def test_what_is_no_question_is_refused():
    for wrong, kwargs in (([1.0], {}), ([[np.nan]], {}), ([[1.0, 2.0]], {"beta": -1}), ([[1.0]], {"reference": [0.5]})):
        with pytest.raises(UsageError, match="expected"):
            maximin(np.array(wrong), **kwargs)
