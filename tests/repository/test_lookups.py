"""A stranger finds the way: docstrings of packages list their modules, questions are answered in three hops, and the
walk of a row through docs/design.md passes functions that exist."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import jax.numpy as jnp
import pandas as pd
import pytest

import constraints as ct
import faro
from constraints.testing import example_choices
from faro import losses
from faro.evaluate import trials
from faro.evaluate.bootstrap import Uncertainty
from faro.training import Settings, bounds

DESIGN = (Path(__file__).parents[2] / "docs" / "design.md").read_text("utf-8")
LISTED = re.compile(r"^ *([a-z_]\w*(?:, [a-z_]\w*)*) {2,}(\S.*)$", re.M)


def section(title: str) -> str:
    return DESIGN.split(f"\n## {title}\n")[1].split("\n## ")[0]


def listing(page: str) -> dict[str, str]:
    """Module -> its line, of the docstring of a package; an underscore before a name may be left out."""
    return {name.strip("_"): line for names, line in LISTED.findall(page) for name in names.split(", ")}


# Listings -------------------------------------------------------------------------------------------------------------


def packages() -> list[str]:
    """All but faro itself, whose front door shows functions."""
    return ["constraints", *(module.name for module in pkgutil.walk_packages(faro.__path__, "faro.") if module.ispkg)]


def modules(package: str) -> set[str]:
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {module.name.strip("_") for module in found} - {"main"}  # __main__


@pytest.mark.parametrize("package", packages())
def test_a_package_lists_its_modules_and_no_others(package):
    assert set(listing(importlib.import_module(package).__doc__)) == modules(package)


def test_a_listing_is_read_as_people_read_it():
    page = "Things.\n\n    one, _two  what they are\n    three      more\n              of it\n\nNo  listing here."
    assert set(listing(page)) == {"one", "two", "three"}


# Look-ups -------------------------------------------------------------------------------------------------------------

ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (`[^|]+`) \|$", section("Where to look"), re.M)
LOOKUPS = {where: (words, re.findall(r"`([\w.]+)`", hops)) for where, words, hops in ROWS}


def has(words: str, text: str | None) -> bool:
    return words.lower() in " ".join((text or "").split()).lower()


@pytest.mark.parametrize("where", LOOKUPS)
def test_words_lead_in_three_hops(where):
    """On every page one line has the words, and it leads on."""
    words, (room, module, name) = LOOKUPS[where]
    rows = re.findall(r"^\| \w+ \| `([\w.]+)` \| (.*) \|$", section("Layers"), re.M)
    assert [own for own, text in rows if has(words, text)] == [room]
    lines = listing(importlib.import_module(room).__doc__)
    assert [own for own, text in lines.items() if has(words, text)] == [module.strip("_")]
    page = importlib.import_module(f"{room}.{module}")
    found = page
    for part in name.split("."):
        found = getattr(found, part)
    assert found.__module__ == page.__name__
    assert has(words, f"{name} {inspect.getdoc(found)}")


def test_these_are_looked_up():
    assert len(LOOKUPS) >= 4


def test_the_status_is_said_there(monkeypatch):
    train = {"nll": 0.5, "gap": [0.1], "ties": 0.0}
    assert bounds.status_of(train, [0.1], True, Settings()) == "FEASIBLE"
    assert bounds.status_of(train, [0.099], True, Settings()) == "INFEASIBLE"
    callers = [module for module in (trials,) if "status_of(" in inspect.getsource(module)]
    assert callers and all(module.status_of is bounds.status_of for module in callers)


def test_a_loss_of_ones_own_is_minimised():
    class Constant(losses.Loss):
        def per_choice(self, seen, choices):
            return jnp.full(choices.weight.shape, 2.0)

    choices = example_choices(n=20)
    objective = losses.Mean(loss=Constant())
    sight = losses.Sight(objective.loss.per_choice(None, choices))
    assert float(objective.combine((), objective.sums((), sight, choices, ()), objective.masses(choices, ()))) == 2


def test_a_decision_rule_of_ones_own_decides():
    class First(ct.DecisionRule):
        def decide(self, rewards, available, log_ref):
            return jnp.zeros(available.shape).at[..., 0].set(1)

    choices = example_choices(n=20)
    assert ct.decide(First(), jnp.zeros(choices.shape), choices).decisions[:, 0].min() == 1


def test_uncertainty_is_written_there(tmp_path):
    empty = pd.DataFrame({"bound": [0.1]})
    Uncertainty(empty, empty, {}).save(tmp_path)
    assert (tmp_path / "uncertainty.csv").exists()


# The walk of a row ----------------------------------------------------------------------------------------------------


def resolved(path: str) -> object:
    """The object of a dotted name: the longest module, and what it holds."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AttributeError(path)


WALK = re.findall(r"`((?:faro|constraints)\.[\w.]+)`", section("The walk of a row"))


def test_the_walk_passes_every_stage():
    rooms = [name.split(".")[1] for name in WALK if name.startswith("faro.")]
    expected = ["data", "models", "losses", "training", "evaluate", "store", "certify", "verify"]
    assert list(dict.fromkeys(rooms)) == expected


@pytest.mark.parametrize("name", WALK)
def test_what_a_row_passes_exists(name):
    assert callable(resolved(name))


def test_a_name_that_is_gone_is_found():
    with pytest.raises(AttributeError):
        resolved("faro.data.table.read_tables")
