"""A small table of choices, its schema, the command that sweeps it in a few steps, and what a refusal looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

LONG = """
unit = "person"
choice = ["choice"]
alternative = "side"
label = "chosen"
weight = "weight"
numeric = ["x"]
categorical = ["group"]
context_categorical = ["camp"]

[[attributes]]
name = "group"
levels = ["a", "b"]

[[attributes]]
name = "camp"
levels = ["north", "south"]
chooser = true

[[attributes]]
name = "side"
levels = ["left", "right"]

[[twins]]
attribute = "group"
origin = "randomised"
"""
WIDE = """
format = "wide"
unit = "person"
numeric = ["x"]
categorical = ["group"]

[[attributes]]
name = "group"
levels = ["a", "b"]
"""
ACCEPT = """
format = "accept"
unit = "person"
label = "chosen"
numeric = ["x"]

[[attributes]]
name = "group"
levels = ["a", "b"]
"""
QUICK = "[settings]\nsteps = 30\nevery = 3\n"


def choices(people=150, each=2, seed=0):
    """A long table in which group b is chosen less."""
    rng = np.random.default_rng(seed)
    n = people * each
    x, group = rng.normal(size=(n, 2)).round(3), rng.integers(0, 2, (n, 2))
    first = x[:, 0] - x[:, 1] - group[:, 0] + group[:, 1] + rng.logistic(size=n) > 0
    person = np.repeat(np.arange(people), each)
    return pd.DataFrame(
        {
            "person": np.repeat([f"p{number}" for number in person], 2),
            "camp": np.repeat(np.where(person % 2, "north", "south"), 2),
            "choice": np.repeat(np.arange(n), 2),
            "side": np.tile(["left", "right"], n),
            "x": x.ravel(),
            "group": np.array(["a", "b"])[group.ravel()],
            "weight": 1,
            "chosen": np.stack([first, ~first], 1).ravel().astype(int),
        }
    )


TABLE = choices()


SWEEP = ("frontier", "--schema", "t.toml", "--attribute", "group", "--config", "quick.toml", "--bounds", "0.05,0.2")
SWEEP += ("--seeds", "1", "--out", "out", "--data", "t.csv")


def lay(folder):
    """The table, its schema and the settings of the sweep, as files in a folder."""
    TABLE.to_csv(folder / "t.csv", index=False)
    (folder / "t.toml").write_text(LONG)
    (folder / "quick.toml").write_text(QUICK)


def refused(result, code, *words):
    """One line on stderr that begins with the command's name, nothing on stdout, nothing written."""
    got, out, err = result
    assert got == code, err
    assert err.startswith("faro"), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert out == ""
    for word in words:
        assert word in err
    assert not Path("out").exists()
