"""A mutation table: faults planted in the shared parts of the constraints, each of which an independent count notices.

The count is plain Python over alternatives and shares nothing with the package. It must agree with the package as it
is, and disagree with every mutant: a survivor is a hole in the tests.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from constraints import _parity, _rate
from constraints.testing import COMMUNITY, GROUP, KIND, example_choices

CHOICES = example_choices(n=40, seed=5)
CODES = {name: np.asarray(codes).copy() for name, codes in CHOICES.attributes.items()}
# codes of alternatives that do not exist must not matter: make them wrong on purpose
MESSY = CHOICES.replace(
    attributes={name: jnp.where(CHOICES.inside, codes, 0) for name, codes in CHOICES.attributes.items()}
)
REWARDS = jnp.where(CHOICES.outside, 0, jnp.asarray(np.round(np.random.default_rng(5).normal(size=(40, 4)), 1)))


def decide(i):
    """Shares of the best available alternatives of choice i."""
    live = [k for k in range(4) if CHOICES.available[i, k]]
    best = max(float(REWARDS[i, k]) for k in live)
    winners = [k for k in live if float(REWARDS[i, k]) == best]
    return {k: 1 / len(winners) for k in winners}


DECIDED = [decide(i) for i in range(40)]


def count(attribute, event, of=None, within=None):
    """{(stratum, group): (sum, mass)} by going through the alternatives one by one."""
    table = {}
    for i in range(40):
        for k in range(4):
            if not CHOICES.available[i, k] or CHOICES.outside[i, k]:
                continue
            group = CODES[attribute.name][i, k]
            stratum = CODES[within.name][i, k] if within else 0
            if group < 0 or stratum < 0 or (of and CODES[of[0].name][i, k] != of[0].code(of[1])):
                continue
            label = float(CHOICES.chosen[i, k])
            share = float(CHOICES.weight[i]) * {"all": 1, "chosen": label, "rejected": 1 - label}[event]
            total, mass = table.get((stratum, group), (0.0, 0.0))
            table[stratum, group] = (total + share * DECIDED[i].get(k, 0.0), mass + share)
    return {cell: total / mass for cell, (total, mass) in table.items() if mass > 0}


NOTIONS = [
    (ct.demographic_parity, GROUP, ("all",), {}),
    (ct.demographic_parity, GROUP, ("all",), {"within": COMMUNITY}),
    (ct.demographic_parity, COMMUNITY, ("all",), {"of": (KIND, "x")}),
    (ct.equalized_odds, GROUP, ("chosen", "rejected"), {"within": KIND}),
    (ct.equal_opportunity, COMMUNITY, ("chosen",), {}),
    (ct.predictive_equality, GROUP, ("rejected",), {}),
    (ct.rate_cap, GROUP, ("all",), {}),
    (ct.rate_floor, GROUP, ("all",), {"within": COMMUNITY}),
    (ct.group_error, COMMUNITY, ("chosen",), {}),
]


def agree():
    """Rates by label, gaps and both sides of the rows, for every notion, against the count."""
    outcome = ct.read(ct.Hard(), REWARDS, MESSY)
    for make, attribute, events, where in NOTIONS:
        constraint = make(attribute, **where)
        statistics = constraint.statistics(outcome, MESSY)
        found = dict(zip(constraint.cells(), np.asarray(constraint.rates(statistics)), strict=True))
        measured = dict(zip(constraint.labels(), np.asarray(constraint.combine(statistics)), strict=True))
        widest = 0.0
        for event in events:
            table = count(attribute, event, **where)
            if make in (ct.rate_floor, ct.group_error):
                table = {cell: 1 - rate for cell, rate in table.items()}
            blocks = {}
            for (stratum, group), rate in table.items():
                words = [event] if len(events) > 1 or make in (ct.equal_opportunity, ct.predictive_equality) else []
                within = where.get("within")
                words += [f"{within.name}={within.levels[stratum]}"] if within else []
                name = f"{attribute.name}={attribute.levels[group]}" + (f" | {', '.join(words)}" if words else "")
                assert found[name] == pytest.approx(rate, abs=1e-5), name
                blocks.setdefault(stratum, {})[name] = rate
            for rates in blocks.values():
                low, high = min(rates.values()), max(rates.values())
                widest = max(widest, high - low)
                for name, rate in rates.items():
                    if f"high {name}" in measured:
                        assert measured[f"high {name}"] == pytest.approx(2 * (rate - (low + high) / 2), abs=1e-5), name
                        assert measured[f"low {name}"] == pytest.approx(-2 * (rate - (low + high) / 2), abs=1e-5), name
                    else:
                        assert measured[name] == pytest.approx(rate, abs=1e-5), name
        if isinstance(constraint, ct.Parity):
            assert float(constraint.gap(statistics)[0]) == pytest.approx(widest, abs=1e-5)


def test_the_package_agrees_with_the_count():
    agree()


def no_weight(patch):
    whole = _parity.shares
    patch.setattr(_parity, "shares", lambda c, event: whole(c.replace(weight=jnp.ones_like(c.weight)), event))


def no_share(patch):
    patch.setattr(_parity, "shares", lambda c, event: c.weight[:, None] * jnp.ones_like(c.chosen))


def hard_share(patch):
    whole = _parity.shares
    patch.setattr(_parity, "shares", lambda c, event: whole(c.replace(chosen=jnp.round(c.chosen)), event))


def swapped_events(patch):
    whole, other = _parity.shares, {"chosen": "rejected", "rejected": "chosen", "all": "all"}
    patch.setattr(_parity, "shares", lambda c, event: whole(c, other[event]))


def no_mask(patch):
    patch.setattr(ct.Choices, "inside", property(lambda c: jnp.ones(c.shape, bool)))


def outside_counted(patch):
    patch.setattr(ct.Choices, "inside", property(lambda c: c.available))


def no_stratum(patch):
    patch.setattr(ct.Grouping, "stratum", lambda who, c: jnp.where(c.inside, 0, -1))


def no_kind(patch):
    whole = ct.Grouping.stratum
    patch.setattr(ct.Grouping, "stratum", lambda who, c: whole(ct.Grouping(who.attribute, None, who.within), c))


def swapped_group(patch):
    whole = ct.Attribute.codes
    patch.setattr(ct.Attribute, "codes", lambda own, c: jnp.where(whole(own, c) < 2, 1 - whole(own, c), whole(own, c)))


def missing_counted(patch):
    whole = ct.Attribute.codes
    patch.setattr(ct.Attribute, "codes", lambda own, c: jnp.maximum(whole(own, c), 0))


def first_of_ties(patch):
    def decide(self, rewards, available, log_ref):
        best = jnp.argmax(jnp.where(available, rewards, -jnp.inf), -1)
        return (jnp.arange(rewards.shape[-1]) == best[..., None]).astype(rewards.dtype)

    patch.setattr(ct.Hard, "decide", decide)


def ties_count_twice(patch):
    def decide(self, rewards, available, log_ref):
        rewards = jnp.where(available, rewards, -jnp.inf)
        return (rewards == rewards.max(-1, keepdims=True)).astype(float)

    patch.setattr(ct.Hard, "decide", decide)


def no_complement(patch):
    from constraints._caps import RateCap

    patch.setattr(RateCap, "decided", lambda self, outcome: outcome.decisions[..., None])


def one_sided(patch):
    whole = ct.Parity.combine
    patch.setattr(ct.Parity, "combine", lambda self, s: jnp.abs(whole(self, s)))


def unhalved(patch):
    whole = ct.Parity.combine
    patch.setattr(ct.Parity, "combine", lambda self, s: whole(self, s) / 2)


def masses_of_everyone(patch):
    patch.setattr(_rate.RateConstraint, "masses", lambda self, rows: jnp.full(len(self.cells()), jnp.sum(rows.share)))


MUTANTS = [
    no_weight, no_share, hard_share, swapped_events, no_mask, outside_counted, no_stratum, no_kind, swapped_group,
    missing_counted, first_of_ties, ties_count_twice, no_complement, one_sided, unhalved, masses_of_everyone,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_no_mutant_survives(mutant, monkeypatch):
    mutant(monkeypatch)
    with pytest.raises((AssertionError, KeyError)):
        agree()
