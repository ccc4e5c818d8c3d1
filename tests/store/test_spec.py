"""Constraints, models and losses as data: all are read back equal, named on a command line; nothing else is read."""

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import constraints as ct
from constraints.testing import GROUP, KIND
from faro import losses, models
from faro.api import make_model
from faro.errors import DataError, UsageError
from faro.registry import make_constraint, notions
from faro.store.spec import arguments_of, crossed, from_record, same, to_record, typed
from tests.builders.catalogue import ATTRIBUTES, CROSSED, EVERY


def stored(constraint):
    """What a file gives back of its record."""
    return json.loads(json.dumps(to_record(constraint), allow_nan=False))


@pytest.mark.parametrize(("what", "constraint"), EVERY, ids=[what for what, _ in EVERY])
def test_every_constraint_is_read_back_equal(what, constraint):
    record = stored(constraint)
    again = from_record(record)
    assert same(again, constraint) and type(again) is type(constraint)
    if np.ndim(getattr(constraint, "reference", 0)) == 0 or constraint.reference.size == 1:
        assert again == constraint  # arrays have no one truth
    assert "constraints._" not in json.dumps(record) and to_record(again) == record
    assert again.name() == constraint.name() and again.labels() == constraint.labels()


def test_the_catalogue_is_whole():
    own = {name for name, point in notions().items() if point.value.startswith("constraints:")}
    types = {to_record(constraint)["type"] for _, constraint in EVERY}
    assert own <= types and len(own) >= 18


def test_other_constraints_are_not_the_same():
    """The control: whatever differs in one option is told apart."""
    parity = ct.demographic_parity(GROUP)
    for other in (
        ct.demographic_parity(GROUP, 0.0500001),
        ct.demographic_parity(GROUP, form="pairwise"),
        ct.equalized_odds(GROUP),
        ct.demographic_parity(GROUP, within=KIND),
        ct.demographic_parity(ct.Attribute("group", GROUP.levels, chooser=True)),
        ct.Stack(members=(parity,)),
    ):
        assert not same(from_record(stored(other)), parity)
    with pytest.raises(AssertionError):
        assert same(from_record(stored(ct.reward_parity(GROUP, scale=2.0))), ct.reward_parity(GROUP))


@dataclasses.dataclass(frozen=True)
class Setting:
    depth: int


@dataclasses.dataclass
class Open:
    """No constant: it may change after it was stored."""

    depth: int


class Waiting(ct.RateConstraint):
    """A stranger's constraint, with fields of every plain kind."""

    who: ct.Grouping = ct.static(default=ct.Grouping())
    minutes: Any = 3.0
    names: tuple = ct.static(default=("a", "b"))
    table: Any = None
    other: Any = ct.static(default=None)

    def cells(self):
        return self.who.cells

    def members(self, choices):
        return ct.Members(self.who.cell(choices)[..., None], choices.weight[:, None, None])


PLAIN = [
    {},
    {"who": ct.Grouping(CROSSED, (KIND, "x")), "minutes": np.float64(np.inf), "names": ("c", ("d", 1, None))},
    {"table": np.arange(6.0).reshape(2, 3) / 7},
    {"table": np.array([0.1, np.inf], np.float32)},
    {"table": {"a": [1.5, 2], "b": (True,)}},
    {"other": Setting(3)},
]


@pytest.mark.parametrize("fields", PLAIN)
def test_a_strangers_constraint_is_stored_by_its_place(fields):
    own = Waiting(bound=0.3, **fields)
    record = stored(own)
    assert record["type"] == f"{__name__}:Waiting" and same(from_record(record), own)
    both = ct.Stack(members=(own, ct.rate_cap(GROUP)))
    assert same(from_record(stored(both)), both)


def test_what_is_no_plain_data_is_said_in_words():
    class Local(Waiting):
        pass

    for own, said in (
        (Waiting(bound=0.3, other=Open(3)), "'other' is a Open"),
        (Waiting(bound=0.3, other=len), "'other' is a builtin_function"),
        (Local(bound=0.3), "inside a function"),
        (ct.Stack(members=(ct.rate_cap(GROUP), Local(bound=0.3))), "inside a function"),
    ):
        record = stored(own)
        with pytest.raises(UsageError, match=f"not stored as data.*{said}"):
            from_record(record)
        assert arguments_of(own, ATTRIBUTES) is None
    changed = dataclasses.replace(
        ct.rate_cap(GROUP), event="rejected", title="mine"
    )  # no notion says so, its record does
    assert same(from_record(stored(changed)), changed) and stored(changed)["type"] == "rate_cap"


def test_a_file_imports_nothing(tmp_path, monkeypatch):
    """Reading a record runs no module that the program has not imported, and calls nothing but constraints."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for place, kind in (("trap:Thing", UsageError), ("os:system", DataError), ("json:loads", DataError),
                        ("constraints:make_choices", DataError), ("builtins:print", DataError)):  # fmt: skip
        with pytest.raises(kind, match=place):
            from_record({"type": place, "options": {"bound": 0.1, "command": "false"}})
        with pytest.raises(kind, match=place):
            from_record({"type": place, "options": {}}, "model")
        inside = {"is": "object", "type": place, "options": {"args": "false"}}
        with pytest.raises((kind, DataError), match=place):
            from_record({"type": "faro.models:FlaxModel", "options": {"module": inside}}, "model")
    assert "trap" not in sys.modules


# Models and losses ---------------------------------------------------------------------------------------------------


class Net(nn.Module):
    inner: nn.Module | None = None
    width: int = 3
    activation: Callable = nn.gelu

    @nn.compact
    def __call__(self, x):
        return (self.inner or nn.Dense(1))(self.activation(x))


@dataclasses.dataclass(frozen=True)
class Own(models.Model):
    sizes: tuple = (2, (3,))
    inside: models.Model | None = None
    table: Any = None

    def init(self, key, spec):
        return {}

    def apply(self, params, choices):
        return choices.items[..., 0]


class Plain(Own.__base__):  # no dataclass
    def __init__(self, depth=2):
        self.depth = depth

    init, apply = Own.init, Own.apply


class Configured(Plain):
    def config(self):
        return {"depth": self.depth}


THINGS = [
    models.Linear(),
    models.Linear(0.5),
    models.MLP((3, 4)),
    models.FlaxModel(Net()),
    models.FlaxModel(Net(inner=Net(width=5))),
    Own((1, 2), models.MLP((7,))),
    losses.Mean(),
    losses.CVaR(loss=losses.Noisy(rate=np.float32(0.2))),
    losses.Reweighted(who=ct.Grouping(GROUP, within=KIND)),
    losses.Penalised(constraint=ct.Stack(members=(ct.rate_cap(GROUP), ct.reward_parity(GROUP, scale=2.0)))),
    losses.Pairwise(),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_models_and_losses_are_read_back_equal(thing):
    kind = "model" if isinstance(thing, models.Model) else "loss"
    again = from_record(stored(thing), kind)
    assert type(again) is type(thing) and to_record(again) == to_record(thing)
    assert again == thing if kind == "model" else same(again, thing)
    with pytest.raises((UsageError, DataError)):  # the control: a model is no constraint
        from_record(stored(thing))


def test_what_models_are_called():
    assert [stored(models.Linear()), stored(models.MLP())["type"]] == [
        {"type": "linear", "options": {"scale": 0.01}},
        "mlp",
    ]
    assert stored(models.FlaxModel(Net()))["type"] == "faro.models:FlaxModel"
    texts = {typed(thing): thing for thing in THINGS}
    assert {"linear", "linear(scale=0.5)", "mlp(widths=(3, 4))", "faro.losses:Mean"} < set(texts)
    for text, thing in texts.items():
        if isinstance(thing, models.Model) and text:
            assert make_model(text) == thing
    assert make_model("mlp:3,4") == models.MLP((3, 4)) and typed(models.FlaxModel(Net())) is None


def test_a_model_that_is_no_data_says_why():
    for own, said in (
        (models.FlaxModel(lambda rngs: None), "'module' is a function"),
        (models.FlaxModel(Net(activation=nn.relu)), "'activation' is a"),
        (Plain(3), "says no config"),
        (Own(table=Open(3)), "'table' is a Open"),
    ):
        with pytest.raises(UsageError, match=f"not stored as data.*{said}"):
            from_record(stored(own), "model")
    again = from_record(stored(Configured(3)), "model")
    assert type(again) is Configured and again.depth == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.pop("type"),
        lambda r: r.pop("options"),
        lambda r: r["options"].pop("attribute"),
        lambda r: r["options"].update(attribute="sex"),
        lambda r: r["options"]["attribute"].update({"is": "sculpture"}),
        lambda r: r["options"]["attribute"].pop("levels"),
        lambda r: r["options"].update(shape=3),
        lambda r: r.update(type=3),
        lambda r: r.update(options=[1]),
    ],
)
def test_damage_is_named(change):
    record = stored(ct.demographic_parity(GROUP))
    change(record)
    with pytest.raises(DataError, match="constraint"):
        from_record(record)
    for junk in (None, [], "demographic_parity", 3):
        with pytest.raises(DataError, match="expected a record"):
            from_record(junk)
    with pytest.raises(UsageError, match="unknown constraint"):
        from_record({"type": "parrity", "options": {}})


# Names ----------------------------------------------------------------------------------------------------------------

TYPED = [(what, own) for what, own in EVERY if arguments_of(own, ATTRIBUTES) is not None]


@pytest.mark.parametrize(("what", "constraint"), TYPED, ids=[what for what, _ in TYPED])
def test_what_is_typed_makes_the_same_constraint(what, constraint):
    made = make_constraint(ATTRIBUTES, **arguments_of(constraint, ATTRIBUTES), bound=0.05)
    assert same(made, constraint.at(0.05))


def test_what_can_be_typed():
    """All of the catalogue but parts that have an attribute of their own each."""
    assert {what for what, _ in EVERY} - {what for what, _ in TYPED} == {"own bounds", "nested"}
    said = arguments_of(ct.reward_parity(CROSSED, scale=2.0, within=ATTRIBUTES["community"]), ATTRIBUTES)
    assert said == {"constraint": "reward_parity(scale=2.0)", "attribute": "group&kind", "within": "community"}
    assert arguments_of(dict(EVERY)["both"], ATTRIBUTES) == {
        "constraint": "demographic_parity+equalized_odds",
        "attribute": "group,group&kind",
    }
    assert arguments_of(ct.demographic_parity(ct.Attribute("group", ("a", "b"))), ATTRIBUTES) is None  # other levels
    assert arguments_of(dataclasses.replace(ct.exposure_parity(GROUP), softness=0.5), ATTRIBUTES) is None


# Crossed levels -------------------------------------------------------------------------------------------------------

TEXTS = st.lists(st.text("a& ", max_size=4), min_size=2, max_size=4, unique=True).map(tuple)


@given(TEXTS, TEXTS, TEXTS)
def test_no_two_crossed_levels_are_called_the_same(first, second, third):
    one, two, three = (ct.Attribute(name, levels) for name, levels in zip("pqr", (first, second, third), strict=True))
    for own in (ct.cross(one, two), ct.cross(ct.cross(one, two), three), ct.cross(one, ct.cross(two, three))):
        assert len(set(own.levels)) == len(own.levels)


def test_crossed_names():
    assert ct.cross(ct.cross(GROUP, KIND), ATTRIBUTES["community"]).levels[0] == "a & x & north"
    odd = ct.Attribute("R&D", ("yes", "no & never"))
    own = ct.cross(odd, KIND)
    assert own.name == "R&&D&kind" and own.levels[2] == "no && never & x"
    made = make_constraint({"R&D": odd, "kind": KIND}, "rate_cap", "R&&D&kind")
    assert same(made.who.attribute, own)
    assert crossed(to_record(ct.Stack(members=(made, ct.rate_cap(KIND, within=CROSSED))))) == {
        "R&&D&kind": own,
        "group&kind": CROSSED,
    }
    clash = ct.Attribute("group&kind", ("1", "2"), parts=(GROUP, KIND))
    with pytest.raises(UsageError, match="two crossed attributes"):
        crossed(to_record(ct.Stack(members=(ct.rate_cap(clash), ct.rate_cap(CROSSED)))))
