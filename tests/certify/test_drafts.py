"""Drafts of policies: claims count what the constraint measures, for the whole catalogue, or there is no draft."""

import dataclasses
import tomllib
from decimal import Decimal
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import constraints as ct
from constraints.testing import COMMUNITY, GROUP, KIND
from faro import models
from faro.certify import claims as certified
from faro.certify.audit import audit_of
from faro.certify.cells import People
from faro.certify.columns import read_columns
from faro.certify.drafts import claims_of, draft_policy, head, toml, written
from faro.certify.plugins import named, with_cells
from faro.certify.policy import CAPS, PAIRS, policy_of
from faro.data import Dataset, Schema, write_table
from faro.errors import UsageError
from faro.models import outcome
from faro.store.model import TrainedModel
from faro.store.spec import to_record
from tests.builders.catalogue import ATTRIBUTES, CROSSED, EVERY

N, K = 80, 3
HEAD = """schema = "faro-policy/1"
delta = 0.05
nonce = "n"
estimand = "row"
cap = 1000
min_group = 1
assumptions = []
"""
HEAD_2 = HEAD.replace("policy/1", "policy/2").replace('nonce = "n"', 'units = "who"\nthreshold = 0')
DECLARED = [
    {"name": "group", "levels": list(GROUP.levels)},
    {"name": "kind", "levels": list(KIND.levels)},
    {"name": "community", "levels": list(COMMUNITY.levels), "chooser": True},
]


def long(seed):
    """Choices among up to three, by people who choose several times, with weights, split votes and twins."""
    rng = np.random.default_rng(seed)
    rows = N * K
    frame = pd.DataFrame({
        "choice": np.repeat(np.arange(N), K), "who": np.repeat(rng.integers(0, 50, N), K), "alt": np.tile([*"pqr"], N),
        "x": rng.normal(size=rows).round(1), "group": rng.choice(GROUP.levels, rows, p=[0.4, 0.3, 0.25, 0.05]),
        "kind": rng.choice(["x", "y"], rows), "community": np.repeat(rng.choice(["north", "south"], N), K),
        "w": np.repeat(rng.uniform(0.5, 2, N).round(2), K), "there": (rng.random(rows) < 0.9).astype(int),
    })  # fmt: skip
    frame.loc[frame["alt"] == "p", "there"] = 1
    votes = rng.dirichlet(np.ones(K), N) * frame["there"].to_numpy().reshape(N, K)
    frame["share"] = (votes / votes.sum(1, keepdims=True)).ravel()
    schema = Schema.from_dict({
        "format": "long", "unit": "who", "choice": ["choice"], "alternative": "alt", "label": "share", "weight": "w",
        "available": "there", "numeric": ["x"], "categorical": ["group"], "context_categorical": ["community"],
        "attributes": DECLARED,
        "twins": [{"attribute": name, "origin": "generated"} for name in ("group", "community")],
    })  # fmt: skip
    return Dataset.from_table(frame, schema, name="long")


def accept(seed):
    """Applicants, a row each, whose units are rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "x": rng.normal(size=N).round(1), "group": rng.choice(["a", "b", "c", "empty"], N),
        "kind": rng.choice(["x", "y"], N), "community": rng.choice(["north", "south"], N),
        "hired": rng.integers(0, 2, N),
    })  # fmt: skip
    schema = Schema.from_dict({
        "format": "accept", "unit": "row", "label": "hired", "numeric": ["x"], "categorical": ["group"],
        "context_categorical": ["community"], "attributes": DECLARED,
        "twins": [{"attribute": name, "origin": "generated"} for name in ("group", "community")],
    })  # fmt: skip
    return Dataset.from_table(frame, schema, name="accept")


def trained(data, constraint):
    coding = data.fit_coding()
    rng = np.random.default_rng(0)
    params = models.Linear().init(jax.random.key(0), data.choices(coding))
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), params)
    record = None if constraint is None else to_record(constraint)
    return TrainedModel(models.Linear(), params, coding, data.schema, {"seed": 0}, specification=record)


@jax.jit
def hard_gaps(parts, hard, choices):
    return [part.gap(part.statistics(hard, choices))[0] for part in parts]


class World:
    """A model's decisions as training sees them, and its scored table."""

    def __init__(self, data, folder):
        self.data, self.model, twins = data, trained(data, ct.rate_cap(CROSSED)), ("group", "community")
        self.scored, self.folder = self.model.score(data, twins), folder
        write_table(self.scored, folder / "scored.csv")
        self.columns = read_columns(folder / "scored.csv")
        with jax.enable_x64(True):
            self.choices = data.choices(self.model.coding, twins=twins, dtype=np.float64)
            params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self.model.params)
            self.hard = outcome(self.model.model, params, self.choices, ct.Argmax(), twins)

    def gaps(self, parts):
        """Of parts of constraints, as training is judged by them: hard decisions, float64; all in one program."""
        with jax.enable_x64(True):
            exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parts)
            return [float(gap) for gap in hard_gaps(exact, self.hard, self.choices)]

    def counted(self, found):
        """The claims, and what each counts, under a policy that counts rows by their weight as training does."""
        outside = f'outside = "{"all" if self.data.schema.format == "accept" else "none"}"\n'
        policy = policy_of((HEAD + outside + "\n".join(written(found))).encode())
        people = People(policy, audit_of(self.columns, policy))
        return self.bounded(policy, people)

    def counted_in_cells(self, part):
        """The same of a part that counts its cells itself."""
        outside = f'outside = "{"all" if self.data.schema.format == "accept" else "none"}"\n'
        found = claims_of(part, self.data.schema)
        policy = policy_of((HEAD_2 + outside + "\n".join(written(found))).encode())
        model = dataclasses.replace(self.model, specification=to_record(part))
        table, made = with_cells(model, self.data, self.scored, self.scored)
        write_table(table, self.folder / "cells.csv")
        audit = audit_of(read_columns(self.folder / "cells.csv"), policy, plugins=made)
        return self.bounded(policy, People(policy, audit))

    def bounded(self, policy, people):
        return [(claim, certified._Finder(claim, people, 0.05).counted) for claim in policy.claims]


@pytest.fixture(scope="module", params=[long, accept])
def world(request, tmp_path_factory):
    own = World(request.param(1), tmp_path_factory.mktemp("world"))
    own.alike = (
        " at ",
        "form",
        "within crossed",
        *(["within", "("] if request.param is accept else []),
    )  # bounds and rows move no gap
    return own


NEVER = (
    "welfare_floor",
    "accuracy_parity",
    "group_loss",
    "rate_ratio",
    "precision_floor",
    "predictive_parity",
    "calibration",
)


@pytest.mark.slow
def test_what_is_counted_is_what_was_trained(world):
    """The gap of every part of every constraint is what its claims count, or there is no draft, and a reason."""
    counted, drafted = [], set()
    for what, constraint in EVERY:
        parts = constraint.parts()
        if "person_exchange" in what:
            continue  # of people, of whom this table has none: tests/certify/test_exchange.py
        model = dataclasses.replace(world.model, specification=to_record(constraint))
        never = any(part.name().startswith(NEVER) for part in parts)
        never |= any("group&kind" in part.twins() for part in parts)  # nor is it trained: no twins have this name
        if never or any(part.bound == np.inf for part in parts):
            with pytest.raises(UsageError, match="no draft for"):
                draft_policy(model)
            continue
        assert len(policy_of(draft_policy(model).encode()).claims) >= len(parts)
        if any(word in what for word in world.alike):
            continue
        if what.startswith("exposure_parity ") and "of, within" not in what:
            continue  # the cells are those of other parities
        for part in parts:
            try:
                seen = (
                    world.counted(claims_of(part, world.data.schema))
                    if named(to_record(part))
                    else world.counted_in_cells(part)
                )
            except UsageError as error:
                assert "no model can move" in str(error), what  # nor is it trained
                continue
            counted.append((what, part, max(gap - float(claim.bound) for claim, gap in seen)))
            drafted.add(part.name().partition("(")[0].removesuffix("_tail"))
    assert drafted == {*PAIRS, *CAPS, "exposure_parity"}
    for (what, part, excess), gap in zip(counted, world.gaps([part for _, part, _ in counted]), strict=True):
        assert excess == pytest.approx(gap - float(part.bound), abs=1e-9), what


@pytest.mark.slow
def test_a_wrong_option_is_counted_differently(tmp_path):
    """The control: a claim that loses one option of the constraint counts another number."""
    world = World(long(2), tmp_path)
    for constraint, change in (
        (ct.reward_parity(KIND, scale=0.3), {"scale": Decimal(1)}),
        (ct.threshold_parity(KIND, thresholds=(0.5,)), {"thresholds": [Decimal(-1)]}),
        (ct.rate_cap(COMMUNITY, of=(KIND, "x")), {"of": ["kind", "y"]}),
        (ct.equal_opportunity(KIND), {"constraint": "predictive_equality"}),
        (ct.counterfactual_oscillation(GROUP, scale=2.0), {"scale": Decimal(1)}),
        (ct.demographic_parity(CROSSED), {"attribute": "kind"}),
    ):
        found = claims_of(constraint, world.data.schema)
        found.attributes.update(ATTRIBUTES)
        (_, right), (_, wrong) = (
            world.counted(found._replace(claims=[own]))[0] for own in (found.claims[0], found.claims[0] | change)
        )
        assert right == pytest.approx(world.gaps([constraint])[0], abs=1e-9)
        assert abs(right - wrong) > 1e-3


# The file -------------------------------------------------------------------------------------------------------------


def drafted(constraint, data=None, bound=None):
    data = data or long(0)
    text = draft_policy(trained(data, constraint), bound)
    return text, policy_of(text.encode())


def test_every_option_is_in_the_draft():
    text, policy = drafted(
        ct.counterfactual_oscillation(GROUP, 0.25, scale=2, tail=True, of=(KIND, "x"), within=COMMUNITY)
    )
    (claim,) = policy.claims
    assert (claim.bound, claim.scale, claim.tail, claim.method) == (Decimal("0.25"), Decimal("2.0"), True, "unit-ratio")
    assert (claim.attribute, claim.of, claim.within) == ("group", ("kind", "x"), "community")
    assert policy.attributes["community"].chooser and not policy.attributes["kind"].chooser
    assert "twins-as-declared" in policy.assumptions and text.startswith("# What must be shown")
    _, policy = drafted(ct.threshold_parity(GROUP, thresholds=(0.5, -1e-7, 0.1 + 0.2)))
    assert policy.claims[0].thresholds == ("0.5", "-0.0000001", "0.30000000000000004")


@pytest.mark.parametrize("bound", [0, 0.0, 4e-7, 0.05, 0.6, 1 / 3, np.float32(0.05), 5e-324 * 2**1000])
def test_bounds_are_exact(bound):
    assert drafted(ct.rate_cap(GROUP, bound))[1].claims[0].bound == Decimal(repr(float(bound)))


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        (1, "in \\[0, 1\\)"),
        (1.5, "in \\[0, 1\\)"),
        (np.inf, "trained without"),
        (1e-300, "60 characters"),
        (-0.1, "in \\[0"),
    ],
)
def test_bounds_that_no_policy_can_ask_for(bound, reason):
    with pytest.raises(UsageError, match=reason):
        drafted(ct.rate_cap(GROUP, bound))
    with pytest.raises(UsageError, match="in \\[0, 1\\)"):
        drafted(ct.rate_cap(GROUP, 0.5), bound=float("nan"))
    assert drafted(ct.rate_cap(GROUP, bound), bound=0.05)[1].claims[0].bound == Decimal("0.05")


def test_methods():
    """Rows are counted where every unit has one of the same weight; else sums of units."""
    every = [ct.demographic_parity(GROUP), ct.threshold_parity(GROUP), ct.reward_parity(GROUP), ct.rate_floor(GROUP),
             ct.counterfactual_flip(GROUP), ct.counterfactual_parity(GROUP), ct.group_error(GROUP)]  # fmt: skip
    both = ct.Stack(members=tuple(every))
    single = [claim["method"] for claim in claims_of(both, accept(0).schema, single=True).claims]
    assert single == [
        "exact2",
        "exact2",
        "block-pair",
        "clopper-pearson",
        "unit-ratio",
        "unit-ratio",
        "clopper-pearson",
    ]
    assert {claim.method for claim in drafted(both)[1].claims} == {"unit-ratio"}
    assert claims_of(ct.rate_cap(GROUP), accept(0).schema).claims[0]["method"] == "unit-ratio"


def test_names_of_claims_differ():
    parity = ct.demographic_parity
    three = ct.Stack(members=(parity(GROUP), parity(KIND), parity(KIND, within=GROUP), ct.rate_cap(GROUP)))
    names = [claim["name"] for claim in claims_of(three, long(0).schema).claims]
    assert names == ["demographic_parity group", "demographic_parity kind 2", "demographic_parity kind 3", "rate_cap"]
    reference = claims_of(ct.group_error(GROUP, 0.1, reference=(0.25, 0.125, 0.0, 0.5)), long(0).schema)
    assert [claim["groups"] for claim in reference.claims] == [["a"], ["b"], ["c"], ["empty"]]
    exact = ["0.35", "0.225", "0.1", "0.6"]
    assert [claim["bound"] for claim in reference.claims] == list(map(Decimal, exact))
    with pytest.raises(UsageError, match=r"with the reference 0\.95 it is not in"):
        claims_of(ct.group_error(GROUP, 0.1, reference=(0.3, 0.95, 0.0, 0.5)), long(0).schema)


class Features(ct.RateConstraint):
    """Reads what no scored table has."""

    def cells(self):
        return ("everyone",)

    def members(self, choices):
        x = jnp.abs(choices.items[..., 0])
        return ct.Members(0 * x[..., None].astype(int), choices.weight[:, None, None] * x[..., None])


class Half(ct.RateConstraint):
    """Bounds something else than rates, and does not say what."""

    def cells(self):
        return ("everyone",)

    def members(self, choices):
        return ct.Members(choices.attributes["kind"][..., None] * 0, choices.weight[:, None, None])

    def combine(self, statistics):
        return super().combine(statistics) / 2


class Wrong(Half):
    """And what it says is wrong."""

    def compared(self):
        return ct.Compared(("",), ("everyone",), False)


class Own(Half):
    """A rate of those whom the first of an attribute's levels describes."""

    combine = ct.RateConstraint.combine


class OfTwins(Own):
    def twins(self):
        return ("group",)


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (ct.calibration(GROUP), "not known to be a rate"),
        (ct.precision_floor(GROUP), "precision is a ratio"),
        (ct.predictive_parity(GROUP), "precision is a ratio"),
        (ct.rate_ratio(GROUP), "no mean over people"),
        (ct.group_loss(GROUP), "a loss has no upper end"),
        (Features(bound=0.1), "its cells cannot be computed again from a scored table"),
        (Half(bound=0.1), "not known to be one of rates"),
        (Wrong(bound=0.1), "compared: the gap is"),
        (OfTwins(bound=0.1), "its cells are of twins"),
        (ct.Stack(members=(ct.rate_cap(GROUP), ct.rate_ratio(GROUP))), "no mean over people"),
        (ct.group_error(GROUP, reference=0.1, bound=0.95), "is not in"),
        (ct.rate_cap(ct.Attribute("sex", ("F", "M"))), "'sex' is not what the model's schema declares"),
        (ct.rate_cap(ct.Attribute("group", ("b", "a"))), "'group' is not what the model's schema declares"),
        (ct.rate_cap(ct.cross(KIND, ct.Attribute("community", ("north", "south")))), "'community' is not what"),
        (ct.threshold_parity(GROUP, thresholds=(np.inf,)), "cannot stand in a policy"),
        (ct.reward_parity(GROUP, scale=-1), "scale: expected a number > 0"),
        (None, "under no constraint"),
    ],
    ids=str,
)
def test_what_no_claim_says_is_refused(constraint, reason):
    with pytest.raises(UsageError, match=reason):
        drafted(constraint)


def test_twins_that_one_alternative_excludes():
    """A claim counts the twins of a chooser's attribute for whole choices only."""
    data = long(0)
    spec = [
        {"attribute": "community", "origin": "o", "only": [{"column": "group", "equals": "a", "levels": ["north"]}]}
    ]
    schema = Schema.from_dict(data.schema.to_dict() | {"twins": spec})
    with pytest.raises(UsageError, match="excluded by an alternative's 'group'"):
        claims_of(ct.counterfactual_parity(COMMUNITY, of=(KIND, "x")), schema)
    assert claims_of(ct.counterfactual_parity(COMMUNITY, of=(KIND, "x")), data.schema).claims


# Odd names ------------------------------------------------------------------------------------------------------------

LETTERS = st.sampled_from('"\\\n\r\t,=&#[]. é\x00\x7f\u2028\U0001f600')
ODD = st.text(LETTERS | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(ODD, st.lists(ODD, min_size=2, max_size=4, unique=True), ODD, st.lists(ODD, min_size=2, max_size=3, unique=True))
@settings(deadline=None)
def test_any_text_is_read_back(name, levels, other, kinds):
    attribute = ct.Attribute(name, tuple(levels), chooser=True)
    schema = [attribute]
    of = None
    if other != name and other not in kinds:  # a pair of a policy is of two different texts
        kind = ct.Attribute(other, tuple(kinds))
        schema, of = [attribute, kind], (kind, kinds[0])
    declared = SimpleNamespace(
        attributes=[SimpleNamespace(name=own.name, attribute=own) for own in schema], format="long", unit="u", weight=""
    )
    found = claims_of(ct.demographic_parity(attribute, of=of), declared)
    policy = policy_of((HEAD + "\n".join(written(found))).encode())
    assert policy.attributes[name] == (tuple(levels), True)
    assert policy.claims[0].attribute == name and policy.claims[0].of == (of and (other, kinds[0]))
    assert tomllib.loads(f"{toml(name)} = {toml(levels)}") == {name: levels}


def test_texts_that_are_none():
    with pytest.raises(UsageError, match="no Unicode text"):
        toml("\ud800")


def test_the_head_is_a_policys():
    model = trained(long(0), ct.rate_cap(GROUP))
    keys = tomllib.loads("\n".join(head(model, model.constraint)))
    assert keys["outside"] == "none" and keys["threshold"] == 0 and keys["schema"] == "faro-policy/2"
    assert keys["estimand"] == "unit" and "cap" not in keys  # nothing is known of what it was trained on
