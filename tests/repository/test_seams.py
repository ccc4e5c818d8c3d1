"""Seams stay seams: one place applies a model, one holds a gap against a bound, no room but that of models asks for a
model's kind. Sources are parsed; faults are planted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "faro").rglob("*.py"))}
KINDS = {"Linear", "MLP", "FlaxModel", "EncoderLayers"}


def name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def calls(source: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def applied(source: str) -> int:
    """How often a model is applied: `model.apply(...)`, whatever the model's name."""
    return sum(
        name(call.func) == "apply" and name(getattr(call.func, "value", call)) != "module" for call in calls(source)
    )


def asks_for_a_kind(source: str) -> bool:
    """`isinstance(x, Linear)`, or `type(x) is Linear`."""
    tests = [call for call in calls(source) if name(call.func) in ("isinstance", "issubclass")]
    named = {name(node) for call in tests for node in ast.walk(call.args[1])}
    compared = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    sides = [
        (node.left, *node.comparators) for node in compared if any(isinstance(op, ast.Is | ast.Eq) for op in node.ops)
    ]
    kinds = {
        name(one) for many in sides for one in many if any(name(getattr(own, "func", own)) == "type" for own in many)
    }
    return bool(KINDS & (named | kinds))


def holds_gaps(source: str) -> bool:
    """A comparison of a gap with a bound: `... .gap <= ...`, or with ties."""
    compared = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    return any(
        (isinstance(op, ast.LtE) and name(node.left) in ("gap", "ties")) or
        (isinstance(op, ast.LtE) and isinstance(node.left, ast.Subscript) and
         getattr(node.left.slice, "value", "") in ("gap", "ties"))
        for node in compared for op in node.ops
    )  # fmt: skip


def test_one_place_applies_a_model():
    made_of_others = "faro/models/personal/"  # whose common part is `Linear`
    places = {path: applied(source) for path, source in SOURCES.items() if not path.startswith(made_of_others)}
    assert {path: count for path, count in places.items() if count} == {
        "faro/models/base.py": 1,  # and a network that of its Flax module
        "faro/models/networks.py": 1,
        "faro/models/distributional.py": 1,  # its network as well
        "faro/models/encoder.py": 1,  # and its own head
        "faro/models/ensemble.py": 1,  # its members are `Linear`
        "faro/text/encoder.py": 2,  # an encoder is no model of choices: texts go in
        "faro/policies/policy.py": 4,  # a policy of tokens neither: prompts go in, step by step
    }


@pytest.mark.slow
def test_no_room_but_that_of_models_asks_for_a_kind():
    assert not [path for path, own in SOURCES.items() if asks_for_a_kind(own) and not path.startswith("faro/models/")]


def test_one_place_holds_gaps_against_bounds():
    judging = [path for path in SOURCES if path.startswith(("faro/training/", "faro/sweep/", "faro/evaluate/trials"))]
    assert [path for path in judging if holds_gaps(SOURCES[path])] == ["faro/training/bounds.py"]


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (applied, "rewards = own.model.apply(params, choices)"),
        (asks_for_a_kind, "if isinstance(model, (models.Linear, Other)): pass"),
        (asks_for_a_kind, "fast = type(model) is MLP"),
        (holds_gaps, "ok = look.gap <= bounds * 0.9"),
        (holds_gaps, "ok = train['ties'] <= settings.max_ties"),
    ],
)
def test_planted_faults_are_found(check, source):
    assert check(source)
    assert not check("fine = models.predict(model, params, choices).gap + isinstance(model, Model)")
