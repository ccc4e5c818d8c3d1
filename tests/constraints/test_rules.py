"""Decision rules as exact laws: Monte Carlo, limits, closed forms, finite differences, and controls that fail."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import comb

import constraints as ct

SETS = 200
DRAWS = 4000
ALPHA = 0.01


def a_set(rng, most=12):
    """Rewards with ties, a reference with zeros left out, and how many are kept."""
    k = int(rng.integers(1, most + 1))
    rewards = np.round(rng.normal(size=k) * 2) / 2  # halves: many ties
    return rewards, rng.dirichlet(np.ones(k)), int(rng.choice([1, 2, 3, 5, 8, 20]))


def best_of_reference(rng, rewards, reference, n):
    """How often each alternative is the first of the best among n draws of the reference."""
    drawn = rng.choice(len(rewards), (DRAWS, n), p=reference)
    return np.bincount(drawn[np.arange(DRAWS), rewards[drawn].argmax(1)], minlength=len(rewards))


def best_of_pool(rng, rewards, n):
    """The same of n of the N draws, without replacement."""
    drawn = rng.random((DRAWS, len(rewards))).argsort(1)[:, :n]
    return np.bincount(drawn[np.arange(DRAWS), rewards[drawn].argmax(1)], minlength=len(rewards))


def p_value(counts, chances):
    """Of one chi-squared test, cells that expect fewer than five put together; 1 where one cell is left."""
    order = np.argsort(chances)
    expected, counts = chances[order] * counts.sum(), counts[order]
    small = np.cumsum(expected) < 5
    if small.any():
        cut = int(small.sum()) + 1
        expected = np.append(expected[:cut].sum(), expected[cut:])
        counts = np.append(counts[:cut].sum(), counts[cut:])
    return 1.0 if len(counts) < 2 else float(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue)


def holm_rejects(values):
    """Whether Holm's procedure rejects any."""
    return min(values) < ALPHA / len(values)


def padded(sets):
    """Ragged sets side by side: rewards, availability."""
    k = max(map(len, sets))
    there = np.array([[i < len(one) for i in range(k)] for one in sets])
    return np.array([np.append(one, np.zeros(k - len(one))) for one in sets]), there


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return [a_set(rng) for _ in range(SETS)]


def enumerated(sets, references=None):
    rewards, there = padded([rewards for rewards, _, _ in sets])
    references, _ = padded([np.log(p) for _, p, _ in sets] if references is None else references)
    n = np.array([[n] for _, _, n in sets])
    with jax.enable_x64(True):
        return np.asarray(jax.jit(ct.BestOf(n=n).decide)(rewards, there, references)), there


def test_best_of_enumerated_sets_is_what_drawing_gives(sets):
    law, there = enumerated(sets)
    assert np.allclose(law.sum(1), 1) and (law[~there] == 0).all() and (law >= 0).all()
    rng = np.random.default_rng(1)
    assert not holm_rejects(
        [p_value(best_of_reference(rng, *one), row[: len(one[0])]) for one, row in zip(sets, law, strict=True)]
    )


def test_best_of_draws_is_what_drawing_without_replacement_gives(sets):
    sampled = [(rewards, None, min(n, len(rewards))) for rewards, _, n in sets]
    rewards, there = padded([rewards for rewards, _, _ in sampled])
    n = np.array([[n] for _, _, n in sampled])
    with jax.enable_x64(True):
        law = np.asarray(jax.jit(ct.BestOfDraws(n=n).decide)(rewards, there, np.zeros_like(rewards)))
    assert np.allclose(law.sum(1), 1) and (law[~there] == 0).all()
    rng = np.random.default_rng(2)
    values = [
        p_value(best_of_pool(rng, own, n), row[: len(own)]) for (own, _, n), row in zip(sampled, law, strict=True)
    ]
    assert not holm_rejects(values)


@pytest.mark.slow
def test_control_a_reference_kept_beside_its_own_draws_fails_the_same_test(sets):
    """Draws with duplicates, the reference's probabilities laid over them again: the law of p squared."""
    rng, values = np.random.default_rng(3), []
    for rewards, reference, n in sets[:60]:
        drawn = rng.choice(len(rewards), 40, p=reference)
        with jax.enable_x64(True):
            squared = jax.jit(ct.BestOf(n=n).decide)(rewards[drawn], np.ones(40, bool), np.log(reference[drawn]))
        law = np.bincount(drawn, np.asarray(squared), minlength=len(rewards))
        seen = law > 0
        counts = best_of_reference(rng, rewards, reference, n)
        values.append(p_value(counts[seen], law[seen] / law[seen].sum()) if counts[seen].sum() else 0.0)
    assert holm_rejects(values)


def test_log_ref_beside_draws_is_refused():
    choices = ct.make_choices(np.zeros((1, 3, 1)), [0], log_ref=np.log([[0.2, 0.3, 0.5]]))
    for rule in (ct.BestOfDraws(n=2), ct.Resampled(beta=1.0), ct.SmoothBestOfDraws(n=2)):
        with pytest.raises(ValueError, match=r"log_ref.*square"):
            ct.decide(rule, jnp.zeros((1, 3)), choices)


@pytest.mark.slow
def test_one_draw_is_the_reference_ties_included(sets):
    rewards, there = padded([rewards for rewards, _, _ in sets])
    logs, _ = padded([np.log(p) for _, p, _ in sets])
    with jax.enable_x64(True):
        for rule in (ct.BestOf(n=1), ct.SmoothBestOf(n=1, temperature=0.3)):
            law = jax.jit(rule.decide)(jnp.asarray(rewards), jnp.asarray(there), jnp.asarray(logs))
            assert np.allclose(law, np.where(there, np.exp(logs), 0), atol=1e-12)
        for rule in (ct.BestOfDraws(n=1), ct.SmoothBestOfDraws(n=1, temperature=0.3)):
            law = jax.jit(rule.decide)(jnp.asarray(rewards), jnp.asarray(there), jnp.zeros_like(logs))
            assert np.allclose(law, there / there.sum(1, keepdims=True), atol=1e-12)


@pytest.mark.slow
def test_towards_beta_0_the_reference_restricted_to_the_best_level(sets):
    rewards, there = padded([rewards for rewards, _, _ in sets])
    logs, _ = padded([np.log(p) for _, p, _ in sets])
    best = there & (rewards == np.where(there, rewards, -np.inf).max(1, keepdims=True))
    limit = np.where(best, np.exp(logs), 0)
    with jax.enable_x64(True):
        tilted = jax.jit(ct.KLTilted(beta=1e-3).decide)(jnp.asarray(rewards), jnp.asarray(there), jnp.asarray(logs))
        many = jax.jit(ct.BestOf(n=10**6).decide)(jnp.asarray(rewards), jnp.asarray(there), jnp.asarray(logs))
    assert np.allclose(tilted, limit / limit.sum(1, keepdims=True), atol=1e-9)
    common = np.where(there, np.exp(logs), 0)[best.any(1)].sum(1) > 0.999
    assert common.all()
    enough = (limit.sum(1) > 1e-4)[:, None]
    assert np.allclose(np.where(enough, many, 0), np.where(enough, limit / limit.sum(1, keepdims=True), 0), atol=1e-9)


@pytest.mark.slow
def test_thousands_of_draws_have_the_weights_of_their_ranks():
    size, n = 3000, 64
    order = np.random.default_rng(4).permutation(size)
    exact = comb(np.arange(size), n - 1) / comb(size, n)
    for x64, tolerance in ((True, 1e-9), (False, 1e-4)):
        with jax.enable_x64(x64):
            rewards = jnp.asarray(order, float)
            law = jax.jit(ct.BestOfDraws(n=n).decide)(rewards, jnp.ones(size, bool), jnp.zeros(size))
        assert np.allclose(law, exact[order], rtol=tolerance, atol=1e-12)


@pytest.mark.slow
def test_draws_estimate_the_law_of_the_prompt_without_bias():
    """The mean over sets of N draws is best-of-n of the reference itself; a plug-in with replacement is not."""
    rewards, reference, n = np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.5, 0.2, 0.2, 0.1]), 6
    rng = np.random.default_rng(5)
    drawn = rng.choice(4, (4000, 8), p=reference)
    with jax.enable_x64(True):
        law = np.asarray(ct.BestOf(n=n).decide(rewards, np.ones(4, bool), np.log(reference)))
        found = {}
        for name, rule in (("draws", ct.BestOfDraws(n=n)), ("with replacement", ct.BestOf(n=n))):
            decided = np.asarray(
                jax.jit(rule.decide)(jnp.asarray(rewards[drawn]), jnp.ones(drawn.shape, bool), jnp.zeros(()))
            )
            found[name] = (decided * (drawn == 3)).sum(1)
    error = found["draws"].std() / np.sqrt(len(drawn))
    assert abs(found["draws"].mean() - law[3]) < 4 * error
    assert abs(found["with replacement"].mean() - law[3]) > 10 * error


@pytest.mark.slow
@pytest.mark.parametrize("rule", [ct.Softmax(temperature=0.7), ct.KLTilted(beta=0.4), ct.Resampled(beta=0.4)])
def test_gradients_by_finite_differences(rule):
    rng = np.random.default_rng(6)
    rewards, logs = rng.normal(size=5), np.log(rng.dirichlet(np.ones(5)))
    there = np.array([1, 1, 1, 1, 0], bool)
    with jax.enable_x64(True):
        found = np.asarray(jax.jacobian(lambda r: rule.decide(r, there, logs))(jnp.asarray(rewards)))
        step, measured = 1e-6, np.zeros((5, 5))
        for k, direction in enumerate(np.eye(5) * step):
            high, low = (np.asarray(rule.decide(jnp.asarray(rewards + s * direction), there, logs)) for s in (1, -1))
            measured[:, k] = (high - low) / (2 * step)
    assert np.allclose(found, measured, atol=1e-8)


@pytest.mark.slow
def test_the_stand_in_has_gradients_and_is_the_exact_law_towards_temperature_0(sets):
    some = sets[:40]
    rewards, there = padded([rewards for rewards, _, _ in some])
    logs, _ = padded([np.log(p) for _, p, _ in some])
    none = np.zeros_like(logs)
    with jax.enable_x64(True):
        args = jnp.asarray(rewards), jnp.asarray(there)
        pairs = [(ct.BestOf(n=4), logs, there.any(1)), (ct.BestOfDraws(n=4), none, there.sum(1) >= 4)]
        for exact, log_ref, kept in pairs:
            law = np.asarray(exact.decide(*args, jnp.asarray(log_ref)))[kept]
            errors = [
                np.abs(np.asarray(exact.softened(tau).decide(*args, jnp.asarray(log_ref)))[kept] - law).max()
                for tau in (0.5, 0.1, 0.005)
            ]
            assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-9
            soft, hard = (
                jax.grad(lambda r, e=e: e.decide(r, np.ones(6, bool), np.zeros(6))[0])
                for e in (exact.softened(0.3), exact)
            )
            slope = soft(jnp.array([0.5, 1, 1, -2, 0, 0.5]))
            assert np.isfinite(slope).all() and slope[0] > 0 > slope[1]
            assert not np.abs(hard(jnp.array([0.5, 1, 1, -2, 0, 0.5]))).max()


@pytest.mark.slow
def test_kl_is_exact_and_the_formula_a_bound_for_independent_draws():
    uniform = np.zeros(400)
    with jax.enable_x64(True):
        law = ct.BestOf(n=16).decide(np.arange(400.0), np.ones(400, bool), uniform)
        far = float(ct.kl_divergence(law, np.ones(400, bool), uniform))
        pair = ct.BestOf(n=16).decide(np.array([0.0, 1.0]), np.ones(2, bool), uniform[:2])
        near = float(ct.kl_divergence(pair, np.ones(2, bool), uniform[:2]))
    assert ct.best_of_kl_bound(16) - 0.02 < far < ct.best_of_kl_bound(16)
    assert near < np.log(2) < ct.best_of_kl_bound(16)
    pool = ct.BestOfDraws(n=16).decide(jnp.arange(16.0), jnp.ones(16, bool), jnp.zeros(16))
    assert float(ct.kl_divergence(pool, jnp.ones(16, bool), jnp.zeros(16))) > ct.best_of_kl_bound(16)  # no bound there


@pytest.mark.parametrize("text", ["argmax", "softmax(temperature=0.5)", "kl_tilted(beta=0.1)", "best_of(n=16)"])
def test_a_rule_has_one_spelling(text):
    for kind in ct.CANDIDATES:
        assert ct.rule_text(ct.rule_of(text, kind)) == text
        assert ct.rule_of(text.replace("(", " ( ").replace("0.", "."), kind) == ct.rule_of(text, kind)
    assert ct.rule_text(ct.Softmax(temperature=1e-7)) == "softmax(temperature=0.0000001)"


@pytest.mark.parametrize(
    "text, words",
    [
        ("best_of(n=0)", "n: expected a whole number in 1..100000, got '0'"),
        ("best_of(n=3000000000)", "whole number in 1..100000"),  # no 32-bit number
        ("best_of(n=2.5)", "whole number"),
        ("kl_tilted(beta=0)", "beta: expected a number > 0 (from 1e-30 to 1e+30), got '0'"),
        ("kl_tilted(beta=nan)", "number > 0"),
        ("softmax(temperature=inf)", "number > 0"),
        ("softmax(temperature=1e-320)", "from 1e-30"),  # rewards divided by it are infinite
        ("softmax(beta=1)", "expected one of"),
        ("argmax(n=1)", "expected one of"),
        ("best", "expected one of"),
    ],
)
def test_other_texts_are_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ct.rule_of(text, "enumerated")


def test_a_rule_of_a_reference_needs_to_know_what_the_sets_are():
    for text in ("best_of(n=2)", "kl_tilted(beta=1)"):
        with pytest.raises(ValueError, match="candidates = 'enumerated'"):
            ct.rule_of(text)
    assert ct.rule_of("softmax(temperature=2)") == ct.Softmax(temperature=2.0)
    with pytest.raises(ValueError, match="candidates: expected one of"):
        ct.rule_of("argmax", "drawn")


def test_more_kept_than_drawn_is_no_law():
    law = ct.BestOfDraws(n=3).decide(jnp.arange(4.0), jnp.array([1, 1, 0, 0], bool), jnp.zeros(4))
    assert np.isnan(law[:2]).all()


def test_rules_of_twins_and_grids_are_one_program():
    choices = ct.make_choices(np.zeros((2, 3, 1)), [0, 1])
    rules = ct.BestOf(n=jnp.array([1, 2, 4]))
    found = jax.vmap(lambda rule: ct.decide(rule, jnp.array([[0.0, 1, 2], [1, 1, 0]]), choices).decisions)(rules)
    assert np.allclose(found[:, 0, 2], [1 - (2 / 3) ** n for n in (1, 2, 4)], atol=1e-6)
    assert np.allclose(found[:, 1, 0], [(1 - (1 / 3) ** n) / 2 for n in (1, 2, 4)], atol=1e-6)
