"""The ridge that is chosen: what leaving out folds costs by an independent solver, and where folds would lie."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import constraints as ct
from faro import models
from faro.models.linear import UNPUNISHED
from faro.training import ridge
from faro.training.ridge import FOLDS, Ridge

DECAYS = (1.0, 0.1, 0.01, 1e-3)
SHARES = (float("inf"), 10.0, 1.0)


def people(n: int, d: int, context: int, seed: int = 0):
    """Accept or reject, features `[n, 1, d]` with products that matter; the last row counts double."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(n, 2, d)).astype(np.float32)
    about = rng.normal(size=(n, context)).astype(np.float32)
    logits = items[:, 0] @ rng.normal(size=d) + 0.5 + (items[:, 0, 0] * about[:, 0] if context else 0)
    accepted = rng.random(n) < 1 / (1 + np.exp(-logits))
    outside = np.zeros((n, 2), bool)
    outside[:, 1] = True
    weight = np.r_[np.ones(n - 1), 2.0]
    own = ct.make_choices(items, np.where(accepted, 0, 1), outside=outside, weight=weight)
    return own.replace(items=jnp.asarray(items[:, :1]), context=jnp.asarray(about) if context else None)


def risks(own, ridges, shares):
    return ridge.risks(ridge.candidates_of(models.Linear(), own, shares), np.asarray(ridges))


def by_hand(own, decay: float, share: float) -> float:
    """Mean loss of every fold at the optimum of the others, by BFGS on a loss written in numpy."""
    x, z = np.asarray(own.items, float)[:, 0], own.context
    punished = [UNPUNISHED, *np.ones(x.shape[1])]
    columns = [np.ones((len(x), 1)), x]
    if z is not None:
        z = np.asarray(z, float)
        columns += [z, (x[:, :, None] * z[:, None]).reshape(len(x), -1) * np.isfinite(share)]
        punished += [*np.ones(z.shape[1]), *np.full(x.shape[1] * z.shape[1], share if np.isfinite(share) else 1.0)]
    x, punished = np.concatenate(columns, 1), np.array(punished)
    sign = np.where(np.asarray(own.chosen)[:, 0] > 0, 1, -1)
    p = np.asarray(own.weight, float) / np.asarray(own.weight, float).sum()
    fold, total = np.arange(len(x)) // (len(x) // FOLDS), 0.0
    for left_out in range(FOLDS):
        inside = p * (fold != left_out)

        def loss(w, inside=inside):
            return inside @ np.logaddexp(0, -sign * (x @ w)) + decay / 2 * punished @ w**2

        w = minimize(loss, np.zeros(x.shape[1]), method="BFGS", options={"gtol": 1e-9}).x
        total += (p * (fold == left_out)) @ np.logaddexp(0, -sign * (x @ w))
    return float(total)


@pytest.mark.parametrize("context", [0, 2])
def test_the_risk_is_that_of_models_that_have_not_seen_the_fold(context):
    own, shares = people(400, 4, context), SHARES if context else (1.0,)
    found = risks(own, DECAYS, shares)
    expected = [[by_hand(own, decay, share) for decay in DECAYS] for share in shares]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if context:  # without products they would be guessing
        assert min(expected[2]) < min(expected[0]) - 0.01


def test_few_people_and_many_features_want_a_strong_ridge():
    """More parameters than a fold's share of people: a weak ridge learns noise, and the risk says so."""
    own = people(100, 60, 0, seed=1)
    risk = risks(own, ridge.PATH, (1.0,))[0]
    weak, strong = risk[np.isfinite(risk)][-1], risk.min()
    assert weak > strong + ridge.HOPELESS and ridge.chosen(models.Linear(), own, ridge.PATH, (1.0,)).decay > 1e-3
    np.testing.assert_allclose(risk[2], by_hand(own, ridge.PATH[2], 1.0), atol=5e-3)


def test_the_ridge_between_three_is_that_of_a_parabola():
    places = np.array([1.0, 0.0, -1.0, -2.0])
    risk = 0.5 + (places + 0.7) ** 2
    assert ridge.least(risk, 10**places) == pytest.approx(10**-0.7, rel=0.03)
    unknown = np.array([np.nan, 0.3, 0.5, np.inf])  # at an end, and beside what is not known
    assert ridge.least(unknown, 10**places) == 1.0


@pytest.mark.parametrize("context", [0, 2])
def test_no_ridge_beside_the_chosen_one_is_better(context):
    """Of a fine grid around it, folds fitted at each; and of two shares of products the better one."""
    own, shares = people(400, 12, context, seed=3), (float("inf"), 1.0) if context else (1.0,)
    chosen = ridge.chosen(models.Linear(), own, ridge.PATH, shares)
    grid = chosen.decay * np.geomspace(30, 1 / 30, 13)
    risk = risks(own, grid, (chosen.interactions,))[0]
    assert risk[6] <= risk.min() + 5e-4 and risk.max() > risk.min() + 2e-3
    everything = risks(own, [chosen.decay], shares)[:, 0]
    assert shares[int(np.argmin(everything))] == chosen.interactions
    one = ridge.chosen(models.Linear(), own, (0.03,), shares)
    assert one.decay == 0.03 and ridge.chosen(models.Linear(), own, ridge.PATH, shares, 10.0).decay == pytest.approx(
        chosen.decay / 10, rel=0.2
    )


def test_folds_are_of_units_whatever_their_order_and_a_sample_of_many():
    names = np.repeat([f"person {i}" for i in range(300)], 3)
    folds = ridge.fold_rows(names, 10)
    rows = [set(names[own[own >= 0]]) for own in folds]
    assert sum(map(len, rows)) == 300 and set.union(*rows) == set(names)
    again = ridge.fold_rows(names[::-1], 10)
    assert [set(names[::-1][own[own >= 0]]) for own in again] == rows
    many = ridge.fold_rows([f"{i}" for i in range(50_000)], 10)
    assert 0.5 * ridge.SAMPLE <= (many >= 0).sum() <= ridge.SAMPLE + FOLDS


def test_what_is_said_is_read_back_and_nothing_moves_what_is_left_out():
    for own in (Ridge(0.03, float("inf")), Ridge(1e-4, 10.0)):
        assert Ridge.read(own.said()) == own
    assert Ridge.read(None) is None
    params = {"intercept": jnp.asarray(2.0), "item": jnp.ones(2), "context": jnp.ones(2), "cross": jnp.ones((2, 2))}
    held = Ridge(0.1, float("inf")).held(models.Linear(), params)
    assert not held["cross"].any() and held["item"].all()
    assert float(Ridge(0.1, jnp.inf).punishment(models.Linear(), params)) == pytest.approx(0.05 * (4 + 4 * UNPUNISHED))
    assert float(Ridge(0.1, 3.0).punishment(models.Linear(), params)) == pytest.approx(0.05 * (16 + 4 * UNPUNISHED))


@pytest.mark.parametrize("period", [2, 3, 4, 5, 8])
def test_a_sample_of_rows_has_every_kind_of_a_table_whose_order_has_a_period(period):
    """bbq's rows alternate between ambiguous contexts, whose answer is always "unknown", and others: every second row
    is a sample of the easy ones alone, and no ridge was too weak for those."""
    names = np.repeat([f"template {i}" for i in range(200)], 120)
    folds = ridge.fold_rows(names, 10)
    for own in folds:
        rows = own[own >= 0]
        shares = np.bincount(rows % period, minlength=period) / len(rows)
        assert np.abs(shares - 1 / period).max() < 0.12
    assert (folds >= 0).sum() < len(names) / 4
