"""The mutation table: every notion of the catalogue x every fault, each noticed by a count that shares no code with it.

A fault is what the measurement forgets or confuses: `tests/reference.py` must agree with the package as it is and
disagree with every mutant that touches what the notion uses. What it does not use must leave it as it is, to the last
digit, so that "does not apply" cannot hide a survivor.
"""

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from constraints import _calibration, _caps, _counterfactual, _exposure, _outcome, _precision, _ratio
from constraints.testing import COMMUNITY, GROUP, KIND
from tests.oracles import reference
from tests.oracles.reference import NOTIONS

LEVELS = {own.name: own.levels for own in (GROUP, KIND, COMMUNITY)}
HARD = ct.Argmax()

# The data: everything that can be forgotten matters somewhere ---------------------------------------------------------


def make_world(n=60, k=4, seed=5):
    """Masks, outside options, padding, split votes, ties, unequal weights, -1s; nonsense where nobody may look."""
    rng = np.random.default_rng(seed)
    available = rng.random((n, k)) < 0.8
    available[:, 1] = True
    outside = np.zeros((n, k), bool)
    outside[: n // 3, 0] = available[: n // 3, 0]
    votes = np.where(available, rng.random((n, k)), 0)
    chosen = np.eye(k)[votes.argmax(1)]
    chosen[::3] = (votes / votes.sum(1, keepdims=True))[::3]
    codes = {
        "group": rng.integers(-1, 3, (n, k)),  # its fourth level is empty
        "kind": rng.integers(-1, 2, (n, k)),
        "community": np.repeat(rng.integers(-1, 2, (n, 1)), k, 1),
    }
    weight = rng.uniform(0.5, 2, n)
    weight[-5:] = 0
    grid = np.where(rng.random((n, 1)) < 0.5, 1, 10)  # coarse: ties
    rewards = np.where(outside, 0, np.round(grid * rng.normal(size=(n, k))) / grid)
    twins = {}
    for attribute in (GROUP, COMMUNITY):
        moved = np.round(grid[..., None] * rng.normal(size=(n, k, len(attribute.levels)))) / grid[..., None]
        own = codes[attribute.name][..., None] == np.arange(len(attribute.levels))  # a twin at its own level is itself
        moved = np.where(own, rewards[..., None], np.where(outside[..., None], 0, moved))
        valid = rng.random(moved.shape) < 0.95
        twins[attribute.name] = SimpleNamespace(rewards=moved, valid=valid, chooser=attribute.chooser)
    return SimpleNamespace(
        available=available, outside=outside, chosen=chosen, codes=codes, weight=weight, rewards=rewards, twins=twins
    )


WORLD = make_world()
PEOPLE = reference.alternatives(WORLD)


class View(NamedTuple):
    """What a measurement is made from; a mutant is a change of it."""

    members: ct.Choices  # whose decisions are summed
    counted: ct.Choices  # whose masses are summed
    outcome: ct.Outcome
    sign: Any = 1.0  # of the measurements
    pooled: Any = False  # every cell is divided by the mass of all


def see(world):
    """The view of the package as it is, in double precision."""
    dummy = np.zeros((*world.available.shape, 1))
    twins = {}
    for name, twin in world.twins.items():
        side = "context" if twin.chooser else "items"
        twins[name] = ct.Twin(valid=jnp.asarray(twin.valid), **{side: jnp.zeros(1)})
    choices = ct.make_choices(
        dummy, world.chosen, available=world.available, outside=world.outside, attributes=world.codes,
        weight=world.weight, twins=twins,
    )  # fmt: skip
    return View(choices, choices, reading(choices, world))


def reading(choices, world, how=HARD):
    moved = {name: jnp.asarray(twin.rewards) for name, twin in world.twins.items()}
    return ct.decide(how, jnp.asarray(world.rewards), choices, moved)


# The mutants: name -> (what it touches, the changed view) -------------------------------------------------------------


def forgets(**changes):
    """The choices with some fields replaced by functions of themselves, wherever the measurement looks at them."""

    def change(view):
        mutant = view.members.replace(**{field: new(view.members) for field, new in changes.items()})
        return view._replace(members=mutant, counted=mutant)

    return change


def recoded(name, new):
    return forgets(attributes=lambda c: c.attributes | {name: new(c.attributes[name])})


def reread(how):
    return lambda view: view._replace(outcome=reading(view.members, WORLD, how))


def unmasked(view):
    """Decisions, and nothing else, as if every alternative could be chosen."""
    anything = reading(view.members.replace(available=jnp.ones_like(view.members.available)), WORLD)
    return view._replace(outcome=dataclasses.replace(anything, available=view.outcome.available))


def retwinned(name, new):
    """Twin rewards and decisions of one attribute replaced by a function of them and of the outcome."""

    def change(view):
        seen = view.outcome.twins[name]
        own = ct.TwinOutcome(
            rewards=new(seen.rewards, view.outcome.rewards), decisions=new(seen.decisions, view.outcome.decisions)
        )
        return view._replace(outcome=dataclasses.replace(view.outcome, twins=view.outcome.twins | {name: own}))

    return change


def revalid(name):
    def all_valid(choices):
        own = dataclasses.replace(choices.twins[name], valid=jnp.ones_like(choices.twins[name].valid))
        return choices.twins | {name: own}

    return forgets(twins=all_valid)


class First(ct.Argmax):
    """The first of the best takes all."""

    def decide(self, rewards, available, log_ref):
        index = jnp.argmax(jnp.where(available, rewards, -jnp.inf), -1)
        return (jnp.arange(rewards.shape[-1]) == index[..., None]).astype(rewards.dtype)


class Twice(ct.Argmax):
    """Everybody among the best is chosen."""

    def decide(self, rewards, available, log_ref):
        rewards = jnp.where(available, rewards, -jnp.inf)
        return (rewards == rewards.max(-1, keepdims=True)).astype(rewards.dtype)


def unweighted(c):
    return (c.weight > 0).astype(c.weight.dtype)


def swapped(codes):
    return jnp.where((codes == 0) | (codes == 1), 1 - codes, codes)


def first_of_ties(view):
    rewards = view.outcome.rewards - 1e-9 * jnp.arange(view.outcome.rewards.shape[-1])
    return view._replace(outcome=dataclasses.replace(view.outcome, rewards=rewards))


def everybody_shown(view):
    return view._replace(outcome=dataclasses.replace(view.outcome, available=jnp.ones_like(view.outcome.available)))


MUTANTS = {
    "weight forgotten": ("people", forgets(weight=unweighted)),
    "weight forgotten in sums": ("people", lambda v: v._replace(members=forgets(weight=unweighted)(v).members)),
    "weight forgotten in masses": ("masses", lambda v: v._replace(counted=forgets(weight=unweighted)(v).counted)),
    "padding counted": ("people", forgets(weight=lambda c: jnp.where(c.weight > 0, c.weight, 1))),
    "mask forgotten": ("everyone", forgets(available=lambda c: jnp.ones_like(c.available))),
    "outside options counted": ("people", forgets(outside=lambda c: jnp.zeros_like(c.outside))),
    "share forgotten": ("votes", forgets(chosen=lambda c: jnp.ones_like(c.chosen))),
    "split votes rounded": ("votes", forgets(chosen=lambda c: jax.nn.one_hot(c.chosen.argmax(-1), c.shape[1]))),
    "chosen and rejected swapped": ("votes", forgets(chosen=lambda c: 1 - c.chosen)),
    "first of ties takes all": ("decisions", reread(First())),
    "ties count twice": ("decisions", reread(Twice())),
    "soft for hard": ("decisions", reread(ct.Softmax())),
    "first of ties is shown first": ("ranks", first_of_ties),
    "what is not there is chosen": ("decisions", unmasked),
    "what is not there has a share": ("rivals", everybody_shown),
    "wrong sign": ("people", lambda view: view._replace(sign=-1.0)),
    "divided by the mass of all": ("cells", lambda view: view._replace(pooled=True)),
}
for own in (GROUP, KIND, COMMUNITY):
    MUTANTS |= {
        f"{own.name}: -1 counted": (f"missing {own.name}", recoded(own.name, lambda codes: jnp.maximum(codes, 0))),
        f"{own.name}: levels swapped": (own.name, recoded(own.name, swapped)),
        f"{own.name}: forgotten": (own.name, recoded(own.name, lambda codes: jnp.minimum(codes, 0))),
    }
for own in (GROUP, COMMUNITY):
    MUTANTS |= {
        f"{own.name}: twins that are not valid counted": (f"twins of {own.name}", revalid(own.name)),
        f"{own.name}: twins at the wrong level": (
            f"twins of {own.name}",
            retwinned(own.name, lambda twin, factual: jnp.roll(twin, 1, -1)),
        ),
        f"{own.name}: twins forgotten": (
            f"twins of {own.name}",
            retwinned(own.name, lambda twin, factual: jnp.broadcast_to(factual[..., None], twin.shape)),
        ),
    }


# The table ------------------------------------------------------------------------------------------------------------

# What a notion looks at, beside people, their weights and its attributes:
#   everyone   an alternative counts whatever people and model made of it, so one that is not there must be left out
#   masses     divides by masses of people; cells: and there is more than one
#   votes      what people chose            decisions   what the model chose       levels  to which group one belongs
#   ranks      the order of rewards         rivals      the other alternatives of the choice
USES = {
    "demographic_parity": "everyone masses decisions levels",
    "equalized_odds": "everyone masses decisions levels votes",
    "equal_opportunity": "masses decisions levels votes",  # an alternative that is not there has no votes
    "predictive_equality": "everyone masses decisions levels votes",
    "rate_cap": "everyone masses decisions levels",
    "rate_floor": "everyone masses decisions levels",
    "group_error": "masses decisions levels votes",
    "group_loss": "masses levels votes rivals",
    "rate_ratio": "everyone masses decisions levels",
    "precision_floor": "everyone masses decisions levels votes",
    "predictive_parity": "decisions levels votes",  # a ratio of sums: no masses, and who is not chosen does not count
    "calibration": "everyone masses levels votes rivals",
    "reward_parity": "everyone masses levels",
    "threshold_parity": "everyone masses levels",
    "exposure_parity": "everyone masses levels ranks rivals",
    "counterfactual_parity": "everyone masses decisions twins",  # set to every level, whatever its own
    "counterfactual_flip": "everyone masses decisions levels twins",
    "counterfactual_oscillation": "everyone masses levels twins",
}
WHERE = {
    "": {"attribute": GROUP},
    "within": {"attribute": GROUP, "within": COMMUNITY},
    "of, chooser": {"attribute": COMMUNITY, "of": (KIND, "x")},
    "within, chooser": {"attribute": COMMUNITY, "within": KIND},
}
# edges of bins, thresholds and scales lie between the rewards, which are rounded
OPTIONS: dict[str, dict[str, Any]] = {
    "calibration": {"bins": 7},
    "reward_parity": {"scale": 2.0},
    "threshold_parity": {"thresholds": (-0.55, 0.45)},
    "counterfactual_oscillation": {"scale": 1.27},
    "precision_floor": {"bound": 0.37},
}


class Entry(NamedTuple):
    notion: str
    where: dict[str, Any]
    options: dict[str, Any]

    @property
    def constraint(self):
        return getattr(ct, self.notion)(**self.where, **self.options)

    @property
    def uses(self):
        """What a mutant may touch to be noticed here."""
        used = {"people", *USES[self.notion].split()}
        attribute, kind = self.where.get("attribute"), self.where.get("of", (None,))[0]
        named = {own.name for own in (attribute, kind, self.where.get("within")) if own}
        used |= {f"missing {name}" for name in named}
        used |= named if "levels" in used else named - {attribute.name}
        if "twins" in used:
            used.add(f"twins of {attribute.name}")
        if "masses" in used and len(self.constraint.labels()) > 1:
            used.add("cells")
        return used

    def counted(self, people=PEOPLE):
        """The rows and the gap, by the count."""
        where = {role: getattr(value, "name", value) for role, value in self.where.items()}
        if "of" in where:
            where["of"] = (where["of"][0].name, where["of"][1])
        return reference.measure(self.notion, people, LEVELS, **where, **self.options)


ENTRIES = {
    f"{notion} {words}".strip(): Entry(notion, where, OPTIONS.get(notion, {}))
    for notion in NOTIONS
    for words, where in WHERE.items()
} | {
    "rate_cap (a budget)": Entry("rate_cap", {"of": (KIND, "x")}, {}),
    "rate_floor (of everyone, within)": Entry("rate_floor", {"within": KIND}, {}),
    "demographic_parity (pairwise)": Entry("demographic_parity", WHERE["within"], {"form": "pairwise"}),
    "equalized_odds (anchored)": Entry("equalized_odds", WHERE[""], {"form": "anchored"}),
    "group_error (no worse)": Entry("group_error", WHERE[""], {"reference": (0.1, 0.2, 0.3, 0.0)}),
    "group_loss (no worse)": Entry("group_loss", WHERE["of, chooser"], {"reference": (0.3, 0.9)}),
    "calibration (in the large)": Entry("calibration", WHERE[""], {"bins": 1}),
    "counterfactual_oscillation (tail)": Entry("counterfactual_oscillation", WHERE[""], {"scale": 1.27, "tail": True}),
}


def measured(constraint, view):
    """The measurements and the gap, `[m + 1]`, from a view."""
    members, counted = constraint.prepare(view.members), constraint.prepare(view.counted)
    masses = constraint.masses(counted)
    masses = jnp.where(jnp.asarray(view.pooled) & (masses > 0), masses.sum(), masses)
    statistics = ct.Statistics(constraint.sums(view.outcome, members), masses)
    return jnp.append(constraint.combine(statistics) * view.sign, constraint.gap(statistics)[0])


@functools.cache
def views():
    """The view as it is and those of all mutants, stacked: one program measures all of them."""
    base = see(WORLD)
    everything = [base, *(mutant(base) for _, mutant in MUTANTS.values())]
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *everything)


def found(constraint, lanes=None):
    """`measured` in every lane: of `views`, for the package as it is (first) and for all mutants."""
    return np.asarray(jax.jit(jax.vmap(functools.partial(measured, constraint)))(views() if lanes is None else lanes))


def expected(entry):
    rows, gap = entry.counted()
    labels = entry.constraint.labels()
    assert set(rows) == set(labels)
    return np.array([*(rows[label] for label in labels), gap])


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_the_package_agrees_with_the_count_and_no_mutant_survives(name, x64):
    entry = ENTRIES[name]
    rows, wanted, wrong = found(entry.constraint), expected(entry), []
    np.testing.assert_allclose(rows[0], wanted, atol=1e-7)
    for (mutant, (touched, _)), row in zip(MUTANTS.items(), rows[1:], strict=True):
        noticed = not np.allclose(row, wanted, atol=1e-5)
        if noticed != (touched in entry.uses):
            wrong.append(f"{mutant} is {'' if noticed else 'not '}noticed")
    assert not wrong


def test_the_table_is_the_whole_catalogue():
    assert set(USES) == set(NOTIONS) == {entry.notion for entry in ENTRIES.values()} and len(NOTIONS) == 18


@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if entry.options and (name in NOTIONS or "(" in name)]
)
def test_an_option_that_is_forgotten_is_noticed(name, x64):
    entry = ENTRIES[name]
    for option in entry.options:
        rest = {own: value for own, value in entry.options.items() if own != option}
        forgetful = getattr(ct, entry.notion)(**entry.where, **rest)
        row, wanted = found(forgetful)[0], expected(entry)
        assert row.shape != wanted.shape or not np.allclose(row, wanted, atol=1e-5), option


# Faults of one notion's own arithmetic: (an entry, what is patched, with what) ----------------------------------------


def of_whole(change):
    """A method that changes what the whole one returns."""
    return lambda whole: lambda self, *rest: change(whole(self, *rest))


def instead(replacement):
    return lambda whole: replacement


def against_the_worst(self, statistics):
    rates = self.rates(statistics)
    return 1 - jnp.nan_to_num(rates) / jnp.nanmin(rates)


def errors_cancel(self, statistics):
    return jnp.abs(statistics.sums.sum(-1)) / jnp.where(statistics.masses > 0, statistics.masses, 1)


def others(only):
    return lambda whole: lambda who, choices, others_only: whole(who, choices, only)


def mean_over_blocks(self, statistics):
    low, high = self._tables(statistics)[-2:]
    return (high - low).mean(keepdims=True)


def signed(self, seen):
    return seen.twins["group"].decisions - seen.decisions[..., None]


def endless(self, seen):
    return self._moved(seen)


OSCILLATION = _counterfactual.CounterfactualOscillation
FAULTS = {
    "only one side": ("demographic_parity", ct.Parity, "combine", of_whole(jnp.abs)),
    "half of the distance": ("demographic_parity", ct.Parity, "combine", of_whole(lambda rows: rows / 2)),
    "the mean stratum for the worst": ("demographic_parity within", ct.Parity, "gap", instead(mean_over_blocks)),
    "complement forgotten": ("rate_floor", _caps.RateCap, "decision_values", of_whole(lambda rejected: 1 - rejected)),
    "loss in bits": ("group_loss", _caps.GroupLoss, "decision_values", of_whole(lambda loss: loss / np.log(2))),
    "against the worst": ("rate_ratio", _ratio.RateRatio, "combine", instead(against_the_worst)),
    "right for wrong": ("precision_floor", _precision.PrecisionFloor, "gap", of_whole(lambda gap: 1 - gap)),
    "errors cancel over bins": ("calibration", _calibration.Calibration, "combine", instead(errors_cancel)),
    "last shown first": (
        "exposure_parity", _exposure.ExposureParity, "decision_values", of_whole(lambda share: 1 - share)
    ),
    "exposure of all is not 1": ("exposure_parity", _exposure, "_share", of_whole(lambda share: share * 2)),
    "own level counted": ("counterfactual_flip", _counterfactual, "_members", others(False)),
    "own level left out": ("counterfactual_parity", _counterfactual, "_members", others(True)),
    "flips cancel": ("counterfactual_flip", _counterfactual.CounterfactualFlip, "decision_values", instead(signed)),
    "all set for one": ("counterfactual_flip", _outcome, "_alone_set", instead(_outcome._chooser_set)),
    "one set for all": ("counterfactual_parity of, chooser", _outcome, "_chooser_set", instead(_outcome._alone_set)),
    "no end to a move": ("counterfactual_oscillation", OSCILLATION, "decision_values", instead(endless)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_its_own_arithmetic_is_noticed(fault, monkeypatch, x64):
    name, place, attribute, change = FAULTS[fault]
    monkeypatch.setattr(place, attribute, change(getattr(place, attribute)))
    base = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(MUTANTS) + 1, *jnp.shape(leaf))), see(WORLD))
    assert not np.allclose(found(ENTRIES[name].constraint, base)[0], expected(ENTRIES[name]), atol=1e-5)
