"""Models of people who differ: what earlier choices say is right for any mask, beside plain quadrature and solvers."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

import constraints as ct
import faro
from constraints.alternatives import joined
from faro.errors import DataError
from faro.models import (
    GPO,
    PEBS,
    PLUS,
    VPL,
    IdealPoint,
    InputSpec,
    LatentClass,
    LoRe,
    MixedLogit,
    PersonConstants,
    PReF,
    predict,
)
from faro.models.personal import roots, weights
from faro.store.model import TrainedModel, load_model

KEY = jax.random.key(3)
slow = pytest.mark.slow
MODELS = [
    PReF(support=6, rank=2),
    *(
        pytest.param(model, marks=slow)
        for model in (
            PersonConstants(support=6),
            MixedLogit(support=6),
            PEBS(support=6),
            LatentClass(support=6, kinds=2),
            LoRe(support=6, rewards=3),
            VPL(support=6, size=2, width=4),
            GPO(support=6, width=4, layers=2),
            IdealPoint(support=6, prototypes=3, size=2),
            PLUS(support=6, phrases=3, width=4),
        )
    ),
]


def asked(n=9, k=3, people=4, outside=False, seed=0):
    """n choices of some people, and 6 earlier ones of each."""
    rng = np.random.default_rng(seed)

    def some(count):
        out = np.zeros((count, k), bool)
        out[:, -1] = outside
        items, context = rng.normal(size=(count, k - outside, 2)), rng.normal(size=(count, 1))
        made = ct.make_choices(items, np.eye(k)[rng.integers(0, k, count)], context=context, outside=out)
        return made.replace(unit=jnp.asarray(rng.integers(0, people, count), jnp.int32))

    people_before = jax.tree.map(lambda leaf: leaf.reshape(people, 6, *leaf.shape[1:]), some(people * 6))
    return some(n), people_before


def trained(model, choices, scale=1.0):
    """Parameters away from where a fit begins."""
    params = model.init(KEY, InputSpec.of(choices))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + scale * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


@functools.partial(jax.jit, static_argnums=0)
def logs(model, params, choices, people):
    seen = predict(model, params, choices, people=people)
    return ct.log_softmax(joined(seen.scores), choices.available)


def test_single_precision_stays_so_where_double_is_there(x64):
    """Whoever allows jax double precision has models in single precision as before."""
    every = [MODELS[0], *(model.values[0] for model in MODELS[1:])]
    every += [faro.models.Distributional(), faro.models.Distributional("atoms"), faro.models.Ensemble()]
    for model, k in itertools.product(every, (2, 3)):
        choices, people = asked(n=2, k=k, people=2, outside=True)
        params = jax.eval_shape(functools.partial(model.init, spec=InputSpec.of(choices)), KEY)
        single = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32 if leaf.dtype == np.float64 else leaf.dtype),
            (params, choices, people),
        )

        def said(params, choices, people, model=model):
            return joined(predict(model, params, choices, people=people).scores)

        assert jax.eval_shape(said, *single).dtype == np.float32, (model, k)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("outside", [pytest.param(False, marks=slow), True])
def test_what_is_absent_says_nothing_and_order_neither(model, outside, x64):
    choices, people = asked(outside=outside)
    params = trained(model, choices)
    there = people.replace(weight=people.weight.at[:, 2:].set(0).at[0].set(0))
    begun = logs(model, params, choices, there)
    assert np.allclose(np.exp(begun).sum(-1), 1)
    noise = jax.tree.map(lambda leaf: leaf, there).replace(items=people.items.at[:, 2:].add(3.0).at[0].add(5.0))
    assert np.allclose(begun, logs(model, params, choices, noise), atol=1e-12)
    turned = jax.tree.map(lambda leaf: leaf[:, ::-1], there)
    assert np.allclose(begun, logs(model, params, choices, turned), atol=1e-9)
    nobody = logs(model, params, choices, people.replace(weight=0 * people.weight))
    first = choices.unit == 0
    assert np.allclose(begun[first], nobody[first], atol=1e-12)  # without earlier choices one is anybody
    assert np.abs(begun - nobody)[~first].max() > 1e-4
    few = jax.tree.map(lambda leaf: leaf[:2], choices)  # fewer choices than people
    assert np.allclose(begun[:2], logs(model, params, few, there), atol=1e-12)
    own = choices.unit == 1
    company = there.replace(items=there.items.at[2:].multiply(9.0))
    assert np.allclose(begun[own], logs(model, params, choices, company)[own], atol=1e-12)


def test_roots_are_those_of_lapack(x64):
    """With their slopes; no LAPACK, whose calls side by side wait for each other for ever on two cores."""
    half = np.random.default_rng(0).normal(size=(50, 4, 4))
    matrix = jnp.asarray(half @ np.swapaxes(half, 1, 2) + np.eye(4))
    lower = roots.root(matrix)
    assert np.allclose(lower, np.linalg.cholesky(matrix), atol=1e-12)
    assert np.allclose(roots.inverse_of_root(lower), np.linalg.inv(lower), atol=1e-10)

    def told(of, inverse):
        return lambda own: jnp.sum(jnp.sin(of(own)) + jnp.cos(inverse(of(own))))

    slopes = jax.jit(jax.grad(told(roots.root, roots.inverse_of_root)))(matrix)
    assert np.allclose(slopes, jax.grad(told(jnp.linalg.cholesky, jnp.linalg.inv))(matrix), atol=1e-9)
    program = jax.jit(jax.grad(told(roots.root, roots.inverse_of_root))).lower(matrix).as_text()
    assert "lapack" not in program
    assert np.isnan(roots.root(-matrix)).any((1, 2)).all()


def test_a_slope_and_a_level_are_of_the_common_taste():
    choices, _ = asked(outside=True)
    model = PEBS(support=6)
    params = {**trained(model, choices), "own": jnp.array([0.5, -0.2, 0.3])}
    common, directions = model.pieces(params, choices)
    slope, level = 1 + 0.5 * 2.0, -0.2 * 2.0 + 0.3 * -1.0  # of a person whose weights are 2 and -1
    expected = np.where(choices.outside, 0, slope * common + level)
    assert np.allclose(common + directions @ jnp.array([2.0, -1.0]), expected, atol=1e-6)


@slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_slopes_are_those_of_finite_differences(model, x64):
    choices, people = asked(n=5, k=2)
    params = trained(model, choices, 0.5)
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    @jax.jit
    def loss(flat):
        said = logs(model, unravel(flat), choices, people)
        return -jnp.sum(choices.chosen * said)

    slope = jax.jit(jax.grad(loss))(flat)
    along = jax.random.normal(KEY, flat.shape)
    step = 1e-5
    plain = (loss(flat + step * along) - loss(flat - step * along)) / (2 * step)
    assert float(slope @ along) == pytest.approx(float(plain), rel=1e-6)


def earlier(people=3, s=4, k=3, q=2, scale=1.0, seed=2):
    rng = np.random.default_rng(seed)
    chosen = np.eye(k)[rng.integers(0, k, (people, s))]
    return weights.Earlier(
        jnp.asarray(rng.normal(size=(people, s, k))),
        scale * jnp.asarray(rng.normal(size=(people, s, k, q))),
        jnp.ones((people, s, k), bool),
        jnp.asarray(chosen),
        jnp.ones((people, s)),
    )


@pytest.mark.parametrize("scale", [pytest.param(0.5, marks=slow), 20.0])
def test_the_mode_is_that_of_a_solver(scale, x64):
    told = earlier(scale=scale)
    found = jax.jit(weights.law)(told)
    for person in range(3):

        def loss(z, person=person):
            scores = np.asarray(told.rewards[person]) + np.asarray(told.directions[person]) @ z
            logs = scores - np.log(np.exp(scores - scores.max(-1, keepdims=True)).sum(-1, keepdims=True))
            logs = logs - scores.max(-1, keepdims=True)
            return -(np.asarray(told.chosen[person]) * logs).sum() + z @ z / 2

        best = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
        assert np.allclose(found.mean[person], best.x, atol=1e-6)
        step = 1e-4
        curved = np.array(
            [
                [
                    sum(a * b * loss(best.x + step * (a * e + b * f)) for a, b in itertools.product((1, -1), repeat=2))
                    / (4 * step**2)
                    for f in np.eye(2)
                ]
                for e in np.eye(2)
            ]
        )
        assert np.allclose(np.linalg.inv(found.covariance[person]), curved, rtol=1e-4, atol=1e-4 * scale**2)


@pytest.mark.parametrize(("along", "against", "times"), [(10.0, 20.0, 1), (10.0, 30.0, 3), (30.0, 200.0, 3)])
def test_the_mode_is_found_where_whole_steps_run_in_circles(along, against, times, x64):
    """Choices that the common taste is far against: the curvature is next to nothing at 0, and again beyond."""
    apart = jnp.zeros((1, times, 2, 1)).at[:, :, 1].set(along)
    rewards, chosen = jnp.zeros((1, times, 2)).at[:, :, 1].set(-against), jnp.zeros((1, times, 2)).at[:, :, 1].set(1)
    told = weights.Earlier(rewards, apart, jnp.ones((1, times, 2), bool), chosen, jnp.ones((1, times)))

    def slope(z):
        return z - times * along * special.expit(against - along * z)

    z, bare = 0.0, []
    for _ in range(20):
        share = special.expit(against - along * z)
        z -= slope(z) / (1 + times * along**2 * share * (1 - share))
        bare.append(abs(slope(z)))
    assert min(bare) > 1  # whole steps alone
    mode = optimize.brentq(slope, 0, times * along, xtol=1e-14)
    assert np.allclose(weights.law(told).mean, mode, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("k", "draws", "close"), [(2, 1, 1e-4), (3, 2000, 1e-3)])
def test_means_are_those_of_quadrature(k, draws, close, x64):
    rng = np.random.default_rng(0)
    rewards, directions = rng.normal(size=(4, k)), 1.5 * rng.normal(size=(4, k, 2))
    root = np.array([[1.0, 0], [-0.4, 0.7]])
    known = weights.Law(jnp.asarray(rng.normal(size=(4, 2))), jnp.broadcast_to(root @ root.T, (4, 2, 2)))
    said = weights.log_probabilities(
        jnp.asarray(rewards), jnp.asarray(directions), jnp.ones((4, k), bool), known, draws
    )
    nodes, share = np.polynomial.hermite_e.hermegauss(60)
    grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2) @ root.T
    share = np.outer(share, share).ravel() / share.sum() ** 2
    z = np.asarray(known.mean)[:, None] + grid
    scores = rewards[:, None] + np.einsum("nkq,nrq->nrk", directions, z)
    exact = np.einsum("nrk,r->nk", np.exp(scores) / np.exp(scores).sum(-1, keepdims=True), share)
    assert np.abs(np.exp(said) - exact).max() < close


@slow
def test_kinds_are_weighed_by_bayes(x64):
    model = LatentClass(support=6, kinds=2)
    choices, people = asked(k=2)
    params = trained(model, choices)
    said = np.exp(logs(model, params, choices, people))
    shares = np.exp(params["share"]) / np.exp(params["share"]).sum()

    def chances(kind, items, context):
        common = params["common"]
        taste = common["item"] + context @ common["cross"].T + params["taste"][kind]
        scores = np.einsum("...kd,...d->...k", items, taste)
        return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)

    for row in range(choices.shape[0]):
        own = int(choices.unit[row])
        told = [
            np.prod((chances(kind, people.items[own], people.context[own]) * people.chosen[own]).sum(-1))
            for kind in (0, 1)
        ]
        after = shares * told / (shares @ told)
        plain = sum(after[kind] * chances(kind, choices.items[row], choices.context[row]) for kind in (0, 1))
        assert np.allclose(said[row], plain, atol=1e-10)


@slow
def test_shares_of_rewards_are_the_least_of_their_loss(x64):
    model = LoRe(support=6, rewards=3)
    choices, people = asked(k=2, people=2)
    params = trained(model, choices) | {"strength": jnp.asarray(-1.0)}
    found = np.asarray(model.mixed(params, people))
    strength, prior = 0.02 + np.log1p(np.exp(-1.0)), np.asarray(jax.nn.softmax(params["share"]))
    common = params["common"]
    for person in range(2):
        items = np.asarray(people.items[person])
        taste = np.asarray(common["item"] + people.context[person] @ common["cross"].T)
        apart = np.einsum("skd,sd->sk", items, taste)[..., None] + items @ np.asarray(params["taste"]).T
        first = np.asarray(people.chosen[person])[:, 0] > 0
        margins = np.where(first[:, None], 1, -1) * (apart[:, 0] - apart[:, 1])

        def loss(free, margins=margins):
            share = np.exp(free) / np.exp(free).sum()
            return np.log1p(np.exp(-margins @ share)).sum() + strength * (share * np.log(share / prior)).sum()

        best = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
        assert np.allclose(found[person], np.exp(best.x) / np.exp(best.x).sum(), atol=1e-5)


@slow
def test_an_encoder_is_never_less_sure_than_the_prior(x64):
    model = VPL(support=6, size=2, width=4)
    choices, people = asked()
    params = trained(model, choices)
    latent = model.latent(params, people)
    assert (jnp.sum(latent.root**2, -1) <= 1).all()
    assert (latent.kl() > 0).all()
    assert latent.active().any()
    nobody = model.latent(params, people.replace(weight=0 * people.weight))
    assert np.allclose(nobody.kl(), 0)
    assert not nobody.active().any()
    assert model.alarms(params, people) == ()
    flat = params | {"encoder": jax.tree.map(jnp.zeros_like, params["encoder"])}
    assert "collapsed" in model.alarms(flat, people)[0]
    seen = predict(model, params, choices, people=people)
    assert float(model.penalty(params, seen)) == pytest.approx(0.01 * float(latent.kl()[choices.unit].mean()))
    assert float(dataclasses.replace(model, kl=0.0).penalty(params, seen)) == 0


@slow
def test_dropout_leaves_the_common_part_out_in_steps_alone(x64):
    model = VPL(support=6, size=2, width=4, dropout=0.5)
    choices, people = asked(n=40)
    params = trained(model, choices)
    bare = params | {"common": jax.tree.map(jnp.zeros_like, params["common"])}

    def said(params, **given):
        return np.stack(predict(model, params, choices, people=people, **given).log_probs)[:, 0]

    whole, without, step = said(params), said(bare), said(params, key=KEY, train=True)
    kept, left_out = (np.isclose(step, own).all(0) for own in (whole, without))
    assert (kept ^ left_out).all()
    assert 5 < kept.sum() < 35
    with pytest.raises(ValueError, match="dropout: expected a share"):
        VPL(dropout=1.0)


@pytest.mark.parametrize("alternatives", [1, 2, 3])
def test_constants_of_so_many_places_are_saved_and_read(alternatives, tmp_path):
    """Of answers that accept or refuse there is one place, of three modes three; no coding says how many. A table with
    fewer places, or more, has those that training knew."""
    data = faro.load("demo-levels")
    model, coding = PersonConstants(support=3), data.fit_coding()
    params = model.init(KEY, InputSpec.of(data.choices(coding, np.arange(4))))
    params |= {"own": np.arange(1.0, alternatives + 1, dtype=np.float32)}
    again = load_model(TrainedModel(model, params, coding, data.schema, {"seed": 0}).save(tmp_path / "own"))
    np.testing.assert_array_equal(again.params["own"], params["own"])
    found = model.directions(again.params["own"], np.zeros((1, 2, 4)), None)[0]
    np.testing.assert_array_equal(found, np.diag([1.0, 2.0, 3.0])[:2, :alternatives])
    wrong = params | {"own": np.ones((alternatives, 1), np.float32)}
    with pytest.raises(DataError, match="other shapes"):
        load_model(TrainedModel(model, wrong, coding, data.schema, {"seed": 0}).save(tmp_path / "wrong"))


@slow
@pytest.mark.parametrize("length", [1, 2])
def test_the_loss_of_summaries_is_the_mean_of_the_logs(x64, length):
    """-E_z log P(chosen | z), counted out, is the logit loss of the mean reward and what is left open."""
    model = PLUS(support=6, phrases=3, length=length, width=4)
    choices, people = asked(outside=True)
    params = trained(model, choices)
    seen = predict(model, params, choices, people=people)
    summary, given = model.summaries(params, people), model.given(params, choices)
    plain = 0.0
    for row in range(choices.shape[0]):
        for phrase, share in enumerate(summary[int(choices.unit[row])]):
            scores = np.append(given[row, :, phrase], 0.0)
            chances = np.exp(scores) / np.exp(scores).sum()
            plain -= float(share) * np.log(chances[int(np.argmax(choices.chosen[row]))])
    logit = -float(jnp.sum(choices.chosen * ct.log_softmax(joined(seen.scores), choices.available)))
    n = choices.shape[0]
    assert logit / n + float(model.penalty(params, seen)) == pytest.approx(plain / n, abs=1e-12)
    assert float(model.penalty(params, seen)) > 1e-3
    flat = params | {"summariser": jax.tree.map(jnp.zeros_like, params["summariser"])}
    assert "one summary" in model.alarms(flat, people)[0]
    assert model.alarms(params, people) == ()
    assert PLUS(frozen=True).trainable(params)["summariser"] is False


def test_phrases_of_a_summary_are_chosen_apart_and_add_up(x64):
    """Of two lists: the probability of a summary is a product, its reward a sum, the mean that of the phrases."""
    model = PLUS(support=6, phrases=3, length=2, width=4)
    choices, people = asked(outside=True)
    params = trained(model, choices)
    summary, given = model.summaries(params, people), model.given(params, choices)
    table = np.reshape(summary, (-1, 3, 3))
    marginal = table.sum(2), table.sum(1)
    assert np.allclose(table, marginal[0][:, :, None] * marginal[1][:, None], atol=1e-12)
    assert np.allclose(summary.sum(-1), 1)
    taste, level = (np.reshape(params[name], (2, 3, *params[name].shape[1:])) for name in ("taste", "level"))
    own = [np.einsum("nkd,zd->nkz", choices.items, taste[part]) + level[part] for part in (0, 1)]
    assert np.allclose(
        given[:, :, 3 * 2 + 1] - given[:, :, 0],
        sum(own[part][..., z] - own[part][..., 0] for part, z in enumerate((2, 1))),
    )
    unit = np.asarray(choices.unit)
    mean = np.mean([np.einsum("nkz,nz->nk", own[part], marginal[part][unit]) for part in (0, 1)], 0) * 2
    common = given[:, :, 0] - own[0][..., 0] - own[1][..., 0]
    assert np.allclose(np.asarray(model.apply(params, choices, people=people).rewards), common + mean, atol=1e-12)


def test_more_summaries_than_a_mean_can_be_taken_over_are_refused():
    with pytest.raises(ValueError, match=r"length: expected at most 4096 summaries.* got 12 \*\* 4"):
        PLUS(phrases=12, length=4)


@slow
def test_rewards_of_points_fall_with_the_square_of_the_distance(x64):
    model = IdealPoint(support=6, prototypes=3, size=2)
    choices, people = asked(k=2)
    params = trained(model, choices)
    rewards = joined(predict(model, params, choices, people=people).rewards)
    points = model.mixed(params, people) @ params["point"]
    far = np.sum((choices.items @ params["map"] - points[choices.unit][:, None]) ** 2, -1)
    taste = params["common"]["item"] + choices.context @ params["common"]["cross"].T
    plain = np.einsum("nkd,nd->nk", choices.items, taste) - far
    assert np.allclose(rewards[:, 0] - rewards[:, 1], plain[:, 0] - plain[:, 1], atol=1e-10)
