"""One member of a sweep: the game finds what it should, and returns what it says it returns."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from faro import metrics, models
from faro.errors import UsageError
from faro.training import Data, Game, Settings, primal

GROUP = ct.Attribute("g", ("a", "b"))


def biased(n=3000, seed=0):
    """Pairs whose quality differs by group, so that an unconstrained model has a demographic-parity gap of about .3."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, (n, 2))
    x = rng.normal(size=(n, 2, 3)) + np.stack([-0.8 * group, 0 * group, 0 * group], -1)
    utility = x @ [1.5, -1.0, 0.5] - 0.5 * group
    items = np.concatenate([x, np.eye(2)[group]], -1)
    chosen = (utility[:, 1] - utility[:, 0] + rng.logistic(size=n) > 0).astype(int)
    return ct.make_choices(items, chosen, attributes={"g": group})


CHOICES = biased()
DATA = Data(CHOICES.take(slice(0, 2400)), CHOICES.take(slice(2400, 3000)))


@pytest.fixture(scope="module")
def pilot():
    game = Game(models.Linear(), Settings(steps=300))
    return jax.jit(game.start, static_argnums=3)(jax.random.key(0), ct.demographic_parity(GROUP), DATA, 100)


@functools.cache
def program(settings):
    """From the pilot to the end of the game; tests of the same settings share what is compiled."""
    game = Game(models.Linear(), settings)

    @jax.jit
    def run(pilot, constraint, data):
        return game.advance(game.warm_start(pilot, constraint, data), constraint, data, settings.evaluations)

    return run


def play(constraint, pilot, settings, data=DATA):
    return program(settings)(pilot, constraint, data)


@functools.partial(jax.jit, static_argnums=0)
def measured(model, params, constraint, choices):
    rewards = models.rewards(model, params, choices)
    hard = ct.decide(ct.Argmax(), rewards, choices)
    gap = constraint.gap(constraint.statistics(hard, choices))
    return gap[0], metrics.accuracy(rewards, choices), metrics.nll(rewards, choices)


def figures(model, params, constraint, choices):
    """Gap, accuracy and loss."""
    return tuple(map(float, measured(model, params, constraint, choices)))


def test_the_pilot_is_the_unconstrained_optimum(pilot):
    member, looks = pilot
    assert member.best.candidate and not np.any(looks.multipliers)
    gradient = jax.grad(lambda p: metrics.nll(models.rewards(models.Linear(), p, DATA.train), DATA.train))(
        member.game.params
    )
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 5e-3
    assert 0.2 < float(member.best.gap[0]) < 0.45


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dual", "form"), [("nupi", "centred"), ("nupi", "anchored"), ("nupi", "pairwise"), ("ascent", "centred")]
)
def test_bounds_are_met_at_little_cost(pilot, dual, form):
    """Also with one movable rate pair, where the game settles: it must settle within the bound, not a hair above."""
    constraint = ct.demographic_parity(GROUP, 0.1, form=form)
    unconstrained = figures(models.Linear(), pilot[0].best.params, constraint, DATA.train)
    member, looks = play(constraint, pilot[0], Settings(steps=600, dual=dual))
    gap, accuracy, _ = figures(models.Linear(), member.best.params, constraint, DATA.train)
    assert member.best.candidate and gap <= 0.1
    assert accuracy > unconstrained[1] - 0.05
    assert np.all(np.asarray(looks.multipliers) >= 0) and np.any(np.asarray(looks.multipliers) > 0)


SQP = Settings(primal="sqp")


@functools.cache
def second_order(settings):
    """The whole of a member with second-order steps, compiled once for all bounds."""
    game = Game(models.Linear(), settings)

    @jax.jit
    def run(constraint, data):
        pilot, _ = game.start(jax.random.key(0), constraint, data, 1)
        return game.advance(game.warm_start(pilot, constraint, data), constraint, data, game.settings.evaluations)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("form", ["centred", "anchored", "pairwise"])
@pytest.mark.parametrize("bound", [0.02, 0.1])
def test_second_order_steps_meet_bounds_in_a_sixth_of_the_steps(pilot, form, bound):
    """The loss is that of six times as many first-order steps, whose soft decisions are sharper, within 5e-3 nats."""
    constraint = ct.demographic_parity(GROUP, bound, form=form)
    member, looks = second_order(SQP)(constraint, DATA)
    gap, _, loss = figures(models.Linear(), member.best.params, constraint, DATA.train)
    first, _ = play(constraint, pilot[0], Settings(steps=600))
    assert looks.loss.shape == (100,)
    assert member.best.candidate and gap <= bound
    assert loss <= figures(models.Linear(), first.best.params, constraint, DATA.train)[2] + 5e-3


@pytest.mark.slow
def test_second_order_steps_end_where_nothing_is_asked_as_well():
    """A bound of infinity beside others: the unconstrained optimum, untouched."""
    free, looks = second_order(SQP)(ct.demographic_parity(GROUP, jnp.inf), DATA)
    assert float(jnp.abs(looks.loss - looks.loss[0]).max()) < 1e-5 and not np.any(looks.multipliers)
    member, _ = second_order(SQP)(ct.demographic_parity(GROUP, 0.05), DATA)
    assert member.best.candidate and float(member.best.merit) > float(free.best.merit)


def test_the_primal_player_suits_the_model_and_what_it_sees():
    """Chosen from shapes: sqp for narrow linear models under few sums on all of train in float32, else adam."""
    parity, many = ct.demographic_parity(GROUP), ct.Attribute("h", tuple(f"h{i}" for i in range(60)))
    crowd = DATA._replace(
        train=DATA.train.replace(attributes=DATA.train.attributes | {"h": DATA.train.attributes["g"]})
    )
    for model, given, constraint, expected in [
        (models.Linear(), {}, parity, "sqp"),
        (models.Linear(), {"primal": "adam"}, parity, "adam"),
        (models.Linear(), {"batch": 100}, parity, "adam"),
        (models.Linear(), {"batch": 2400}, parity, "sqp"),
        (models.Linear(), {"microbatch": 100}, parity, "adam"),
        (models.Linear(), {"compute": "bfloat16"}, parity, "adam"),
        (models.MLP((4,)), {}, parity, "adam"),
        (models.Linear(), {}, ct.demographic_parity(many), "adam"),
    ]:
        found = primal.suited(model, Settings(**given), constraint, crowd)
        assert found.primal == expected, (model, given)
        assert found.steps == {"sqp": 100, "adam": 600}[expected]
        if constraint is not parity:  # more sums are taken where they are asked for
            assert primal.suited(model, Settings(primal="sqp"), constraint, crowd).primal == "sqp"
        elif expected == "adam" and given.get("primal") != "adam":
            with pytest.raises(UsageError, match="primal = sqp: expected a linear model"):
                primal.suited(model, Settings(**given, primal="sqp"), constraint, crowd)
    assert primal.suited(models.Linear(), Settings(steps=7, temperature=0.3), parity, DATA).steps == 7
    with pytest.raises(UsageError, match=r"every \(150\) must not exceed steps \(100\)"):
        primal.suited(models.Linear(), Settings(every=150), parity, DATA)


def test_a_crowd_for_every_sum_is_trained_by_few_second_order_steps():
    seven = ct.demographic_parity(ct.Attribute("g", tuple(f"g{i}" for i in range(7))))

    def suited(n, **given):
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype), DATA.train)
        found = primal.suited(models.Linear(), Settings(**given), seven, Data(shapes, shapes))
        return found.primal, found.steps

    few, crowd = 7 * primal.CHOICES_PER_SUM - 1, 7 * primal.CHOICES_PER_SUM
    assert suited(few) == suited(crowd, primal="adam") == ("adam", 600)
    assert suited(crowd) == ("sqp", 50) and suited(few, primal="sqp") == ("sqp", 100)
    assert suited(crowd, steps=80) == ("sqp", 80) and suited(crowd, every=70) == ("sqp", 70)


@pytest.mark.slow
def test_what_is_returned_is_the_candidate_with_the_lowest_selection_loss(pilot):
    """Recomputed from the trace alone: among looks within the bound and with few ties, the smallest selection loss."""
    constraint = ct.demographic_parity(GROUP, 0.1)
    member, looks = play(constraint, pilot[0], Settings(steps=600))
    within = (np.asarray(looks.gap)[:, 0] <= 0.1 * (1 - 1e-4)) & (np.asarray(looks.ties) <= 0.01)
    assert 0 < within.sum() < len(within)
    best = np.flatnonzero(within)[np.argmin(np.asarray(looks.selection_loss)[within])]
    assert float(member.best.merit) == float(looks.selection_loss[best])
    gap, _, _ = figures(models.Linear(), member.best.params, constraint, DATA.train)
    assert gap == pytest.approx(float(looks.gap[best, 0]), abs=1e-6)
    selection = figures(models.Linear(), member.best.params, constraint, DATA.selection)
    assert selection[2] == pytest.approx(float(member.best.merit), abs=1e-5)


def test_a_constant_reward_is_no_candidate(pilot):
    """Everything is tied, the gap is 0, and still nothing may be returned as FEASIBLE."""
    blank = jax.tree.map(jnp.zeros_like, DATA)
    same = Data(*(own.replace(items=zero.items) for own, zero in zip(DATA[:2], blank[:2], strict=True)))
    member, looks = play(ct.demographic_parity(GROUP, 0.1), pilot[0], Settings(steps=600), same)
    assert float(looks.gap.max()) == 0 and float(looks.ties.min()) == 1
    assert not member.best.candidate and member.best.finite


def test_what_cannot_be_met_returns_the_closest(pilot):
    """Single-alternative choices force group a to be chosen always: the gap cannot fall below 1/2 or so."""
    rng = np.random.default_rng(0)
    n = 2400  # as many as the others train on: one program
    available = np.ones((n, 2), bool)
    available[::2, 1] = False
    group = np.full((n, 2), -1)
    group[::2, 0] = 0
    group[1::2] = 1
    choices = ct.make_choices(
        rng.normal(size=(n, 2, 5)), np.zeros(n, int), available=available, attributes={"g": group}
    )
    data = Data(choices, choices.take(slice(0, 600)))
    member, looks = play(ct.demographic_parity(GROUP, 0.2), pilot[0], Settings(steps=600), data)
    assert not member.best.candidate
    assert float(member.best.smallest_gap[0]) == float(looks.gap.min()) >= 0.5 - 1e-6
    gap, _, _ = figures(models.Linear(), member.best.params, ct.demographic_parity(GROUP, 0.2), choices)
    assert gap == pytest.approx(float(looks.gap.min()), abs=1e-6)


@pytest.mark.slow
def test_divergence_is_seen(pilot):
    wild = Settings(steps=30, learning_rate=1e38)
    constraint = ct.demographic_parity(GROUP, 0.1)
    member, _ = play(constraint, pilot[0], wild)
    assert not member.best.finite
    broken = DATA._replace(train=CHOICES.replace(items=CHOICES.items.at[0, 0, 0].set(jnp.nan)))
    member, _ = jax.jit(Game(models.Linear()).start, static_argnums=3)(jax.random.key(0), constraint, broken, 10)
    assert not member.best.finite


@pytest.mark.slow
def test_minibatches_reach_what_full_batches_reach(pilot):
    constraint = ct.demographic_parity(GROUP, 0.1)
    full, _ = play(constraint, pilot[0], Settings(steps=600))
    mini, _ = play(constraint, pilot[0], Settings(steps=1500, every=5, batch=256, learning_rate=0.02))
    a = figures(models.Linear(), full.best.params, constraint, DATA.train)
    b = figures(models.Linear(), mini.best.params, constraint, DATA.train)
    assert mini.best.candidate and b[0] <= 0.1
    assert b[1] > a[1] - 0.02


def test_minibatch_rates_are_unbiased_where_batch_ratios_are_not():
    """A 1 % group: rates from fixed population masses average to the truth; ratios within a batch of 64 do not."""
    rng = np.random.default_rng(0)
    n = 6400
    # group b is a rare alternative, chosen more often where it is together with another of its group
    group = (rng.random((n, 2)) < 0.01).astype(int)
    choices = ct.make_choices(np.zeros((n, 2, 1)), rng.integers(0, 2, n), attributes={"g": group})
    rewards = rng.normal(size=(n, 2)) - 0.6 * group
    constraint = ct.demographic_parity(GROUP, form="pairwise")
    order = rng.permutation(n).reshape(100, 64)

    @jax.jit
    def batched(rewards, choices):
        outcome = ct.decide(ct.Argmax(), rewards, choices)
        truth = constraint.statistics(outcome, choices)
        rows = constraint.prepare(choices)

        def one(index):
            own = jax.tree.map(lambda leaf: leaf[index], rows)
            part = jax.tree.map(lambda leaf: leaf[index], outcome)
            sums, masses = constraint.sums(part, own), constraint.masses(own)
            unbiased = constraint.combine(ct.Statistics(sums * n / 64, truth.masses))
            return unbiased, constraint.combine(ct.Statistics(sums, masses))

        return *jax.vmap(one)(jnp.asarray(order)), constraint.combine(truth)

    fixed, ratio, exact = map(np.asarray, batched(rewards, choices))
    np.testing.assert_allclose(fixed.mean(0), exact, atol=1e-5)
    assert np.abs(ratio.mean(0) - exact).max() > 0.03


@pytest.mark.slow
def test_padding_changes_nothing(pilot, x64):
    constraint = ct.demographic_parity(GROUP, 0.1)
    game = Game(models.Linear(), Settings(steps=60))
    run = jax.jit(game.start, static_argnums=3)
    plain, _ = run(jax.random.key(0), constraint, DATA, 20)
    padded, _ = run(jax.random.key(0), constraint, Data(DATA.train.pad(2500), DATA.selection.pad(700)), 20)
    for a, b in zip(jax.tree.leaves(plain.best.params), jax.tree.leaves(padded.best.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_a_microbatch_changes_memory_not_results(pilot, x64):
    """Slices of 500 of 2400 choices, the last one padded: the same iterates as all at once. The data are in double
    precision: at the optimum, where the game begins, Adam makes steps of rounding errors (docs/scale.md)."""
    constraint = ct.demographic_parity(GROUP, 0.1)
    own, start = (
        jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == np.float32 else leaf, tree)
        for tree in (DATA, pilot[0])
    )
    plain, looks = play(constraint, start, Settings(steps=60), own)
    sliced, same = play(constraint, start, Settings(steps=60, microbatch=500), own)
    for a, b in zip(jax.tree.leaves((plain.best, looks)), jax.tree.leaves((sliced.best, same)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.slow
def test_half_precision_is_of_the_steps_only(pilot):
    """Other iterates than in float32, and still every look counts its rewards exactly."""
    constraint = ct.demographic_parity(GROUP, 0.1)
    member, _ = play(constraint, pilot[0], Settings(steps=600, compute="bfloat16"))
    exact, _ = play(constraint, pilot[0], Settings(steps=600))
    gap, accuracy, _ = figures(models.Linear(), member.best.params, constraint, DATA.train)
    assert member.best.candidate and gap == pytest.approx(float(member.best.gap[0]), abs=1e-6)
    assert accuracy > figures(models.Linear(), exact.best.params, constraint, DATA.train)[1] - 0.02
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (member.game, exact.game)), strict=True))


@pytest.mark.slow
def test_the_dual_player_may_look_at_data_of_its_own(pilot):
    """There nobody is unequal: the multipliers of train's disparity hardly move. And gaps of looks are gaps there."""
    constraint = ct.demographic_parity(GROUP, 0.1)
    alike = CHOICES.take(slice(0, 1200))
    alike = alike.replace(attributes={"g": jnp.asarray(np.random.default_rng(7).integers(0, 2, (1200, 2)))})
    member, looks = play(constraint, pilot[0], Settings(steps=600), DATA._replace(dual=alike))
    _, usual = play(constraint, pilot[0], Settings(steps=600), DATA)
    assert looks.multipliers.mean() < 0.02 * usual.multipliers.mean() and member.best.candidate
    gap, _, _ = figures(models.Linear(), member.best.params, constraint, alike)
    assert gap == pytest.approx(float(member.best.gap[0]), abs=1e-6)
    assert figures(models.Linear(), member.best.params, constraint, DATA.train)[0] > 0.2


def test_a_dual_player_that_looks_at_the_train_part_changes_nothing(pilot, x64):
    """In double precision: these are two programs, and Adam turns rounding into steps."""

    def double(leaf):
        return leaf.astype(float) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    start, data = jax.tree.map(double, (pilot[0], DATA))
    constraint = ct.demographic_parity(GROUP, 0.1)
    same, own = (play(constraint, start, Settings(steps=60), d) for d in (data, data._replace(dual=data.train)))
    for a, b in zip(*(jax.tree.leaves((member.best, looks)) for member, looks in (same, own)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


class Flatter(type(ct.demographic_parity(GROUP))):
    """Demographic parity on a scale of its own: a fifth of the gap."""

    def combine(self, statistics):
        return super().combine(statistics) / 5

    def gap(self, statistics):
        return super().gap(statistics) / 5


@pytest.mark.slow
def test_the_scale_of_a_measurement_does_not_matter(pilot, x64):
    plain = ct.demographic_parity(GROUP, 0.1)
    flatter = Flatter(bound=0.02, who=ct.Grouping(GROUP))
    one, looks = play(plain, pilot[0], Settings(steps=150))
    _, same = play(flatter, pilot[0], Settings(steps=150))
    np.testing.assert_allclose(looks.gap, 5 * same.gap, atol=1e-6)
    np.testing.assert_allclose(5 * looks.multipliers, same.multipliers, atol=1e-5)
    assert one.best.candidate and float(looks.multipliers.max()) > 0.1


def test_traces_carry_the_conditions_of_a_solution(pilot):
    """At the unconstrained optimum the gradient is 0; under a bound that binds, feasibility is the violation."""
    assert float(pilot[1].kkt.stationarity.max()) < 1e-5
    _, looks = play(ct.demographic_parity(GROUP, 0.1), pilot[0], Settings(steps=600))
    assert float(looks.kkt.feasibility[0]) > 0.1 > float(looks.kkt.feasibility[-1])


@pytest.mark.slow
def test_counterfactual_parity_trains():
    """The twin's attribute has an effect of its own; the constraint removes it and leaves the rest."""
    levels = jnp.eye(2)
    items = CHOICES.items
    twin = jnp.concatenate(
        [jnp.repeat(items[:, :, None, :3], 2, 2), jnp.broadcast_to(levels, (*items.shape[:2], 2, 2))], -1
    )
    valid = jnp.ones((*items.shape[:2], 2), bool)
    choices = CHOICES.replace(twins={"g": ct.Twin(items=twin, valid=valid)})
    data = Data(choices.take(slice(0, 2400)), choices.take(slice(2400, 3000)))
    constraint = ct.counterfactual_parity(GROUP, 0.02)
    game = Game(models.Linear(), Settings(steps=300))
    start, _ = jax.jit(game.start, static_argnums=3)(jax.random.key(0), constraint, data, 100)
    member, _ = play(constraint, start, Settings(steps=300), data)
    assert float(start.best.gap[0]) > 0.05
    assert member.best.candidate and float(member.best.gap[0]) <= 0.02
    effect = member.best.params["item"][4] - member.best.params["item"][3]
    assert abs(float(effect)) < 0.35 * abs(float(start.best.params["item"][4] - start.best.params["item"][3]))


@pytest.mark.parametrize(
    "values", [{"step": 3}, {"steps": 0}, {"steps": 1.5}, {"temperature": 0}, {"learning_rate": float("nan")},
               {"dual": "adam"}, {"batch": 0}, {"every": 10, "steps": 5}, {"cap": -1}, {"steps": "many"},
               {"primal": "sgd"}, {"steps": True}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(values):
    with pytest.raises(UsageError):
        Settings.of(values)
    assert Settings.of(dataclasses.asdict(Settings())) == Settings()
