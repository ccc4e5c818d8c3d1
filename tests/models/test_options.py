"""Options of models that cannot be: a line that says what was expected, before anything is trained."""

from __future__ import annotations

import dataclasses

import pytest

from faro import models, registry
from faro.errors import UsageError
from faro.models.personal.plus import PLUS

LEAST = {
    "phrases": 2, "width": 1, "layers": 1, "prototypes": 2, "size": 1, "kinds": 2, "rewards": 2, "rank": 1, "draws": 1,
    "support": 1, "members": 1, "atoms": 2, "experts": 1,
}  # fmt: skip
NAMES = ("plus", "gpo", "ideal_point", "latent_class", "lore", "pref", "mixed_logit", "person_constants", "pebs", "vpl",
         "distributional", "ensemble", "mmoe")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_whole_and_large_enough(name):
    whole = [field.name for field in dataclasses.fields(registry.make("model", name)) if field.name in LEAST]
    assert whole or name == "mmoe"
    for option in whole:
        least = LEAST[option]
        assert getattr(registry.make("model", f"{name}({option}={least})"), option) == least
        for wrong in (least - 1, -1, 2.5, True, None, "'3'"):
            with pytest.raises(UsageError, match=f"{option}: expected a whole number") as refused:
                registry.make("model", f"{name}({option}={wrong})")
            assert "\n" not in str(refused.value)
        with pytest.raises(ValueError, match=f"{option}: expected a whole number of at least {least}, got 1.5"):
            dataclasses.replace(registry.make("model", name), **{option: 1.5})


@pytest.mark.parametrize(
    "text, words",
    [
        ("plus(frozen='no')", "frozen: expected True or False, got 'no'"),
        ("ensemble(sharpness='x')", "sharpness: expected a number, got 'x'"),
        ("ensemble(sharpness=1e999)", "sharpness: expected a number above 0, got inf"),
        ("mmoe(by=3)", "by: expected a text in quotes, got 3"),
        ("distributional(widths=3)", r"widths: expected whole numbers above 0 in brackets, as \(64, 32\), got 3"),
        ("mlp(widths=(8, 0))", r"got \(8, 0\)"), ("distributional(activation='foo')", "activation: expected one of"),
        ("position_tower(model=3)", "model: expected a model, or the name of one in quotes, got 3"),
        ("position_tower(model='plus(phrases=1)')", "phrases: expected a whole number of at least 2, got 1"),
        ("vpl(dropout=2)", "dropout: expected a share"),
    ],
)  # fmt: skip
def test_other_options_are_of_the_kind_that_is_said(text, words):
    with pytest.raises(UsageError, match=words):
        registry.make("model", text)


def test_what_is_right_is_made():
    assert models.MLP(widths=[8]).layers == (8,) and models.MLP(widths=()).layers == ()
    assert registry.make("model", "ensemble(sharpness=5)").sharpness == 5
    assert PLUS(phrases=2, frozen=True).frozen
    assert registry.make("loss", "smoothed(share=0)") is not None
