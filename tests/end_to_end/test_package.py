"""A package of somebody else: models on tokens, on a person's earlier choices and with two outputs, a loss, an
objective and a rate constraint. Installed, listed, trained, swept, killed, resumed, saved, loaded, scored, certified,
verified; no line of faro knows of it."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.cli import main
from tests.builders.packages import in_reach, install
from tests.builders.processes import environment

HOUSE = '''
"""Plug-ins of every kind."""

import dataclasses

import jax
import jax.numpy as jnp

import constraints as ct
from constraints import log_softmax_pieces
from constraints.alternatives import pieces, total
from faro.losses import Loss, Objective
from faro.models import Model, Prediction


@dataclasses.dataclass(frozen=True)
class Tokens(Model):
    """The mean of token embeddings, under a mask."""

    width: int = 3
    vocabulary: int = 24

    def init(self, key, spec):
        assert set(spec.items) >= {"tokens", "mask"}
        first, second = jax.random.split(key)
        table = 0.3 * jax.random.normal(first, (self.vocabulary, self.width))
        return [table, 0.3 * jax.random.normal(second, (self.width,))]

    def apply(self, params, choices):
        table, out = params
        mask = choices.items["mask"][..., None]
        return (table[choices.items["tokens"]] * mask).sum(-2) / jnp.maximum(mask.sum(-2), 1) @ out


@dataclasses.dataclass(frozen=True)
class Neighbour(Model):
    """A common taste, and one that follows what the person chose before."""

    support: int = 2

    def init(self, key, spec):
        return {"common": jnp.zeros(spec.items["features"].shape[-1]), "follow": jnp.ones(())}

    def apply(self, params, choices, *, people):
        before = jax.tree.map(lambda leaf: leaf[choices.unit], (people.items["features"], people.chosen, people.weight))
        items, chosen, weight = before
        liked = jnp.einsum("nskd,nsk,ns->nd", items, chosen - 1 / chosen.shape[-1], weight)
        taste = params["common"] + params["follow"] * liked
        return jnp.einsum("nkd,nd->nk", choices.items["features"], taste)


@dataclasses.dataclass(frozen=True)
class Doubt(Model):
    """Rewards, and how much noise is in each choice."""

    def init(self, key, spec):
        d = spec.items["features"].shape[-1]
        return {"reward": jnp.zeros(d), "noise": jnp.zeros(d)}

    def apply(self, params, choices):
        x = choices.items["features"]
        return Prediction(x @ params["reward"], extra={"log_noise": jnp.tanh(x.mean(1) @ params["noise"])})


class Heard(Loss):
    """The conditional logit at the noise that the model says."""

    def per_choice(self, seen, choices):
        sharp = jnp.exp(-seen.extra["log_noise"]) if "log_noise" in seen.extra else 1.0
        logs = log_softmax_pieces([part * sharp for part in seen.rewards], choices.available)
        return -total([label * log for label, log in zip(pieces(choices.chosen), logs, strict=True)])


class Hard(Objective):
    """The mean of a power of the losses, above 1: what is hard counts for more."""

    power: float = 1.5

    def sums(self, state, sight, choices, rows):
        return jnp.sum(choices.weight * sight.losses**self.power)

    def combine(self, state, sums, masses):
        return (sums / masses) ** (1 / self.power)


class Styles(ct.RateConstraint):
    """The rates at which long and short answers are chosen differ by at most `bound`."""

    def cells(self):
        return ("short", "long")

    def columns(self):
        return ("length",)

    def members(self, choices):
        long = jnp.asarray(choices.columns["length"] > 0, int)[..., None]
        return ct.Members(long, jnp.broadcast_to(choices.weight[:, None, None], long.shape))

    def labels(self):
        return ("long - short", "short - long")

    def combine(self, statistics):
        short, long = self.rates(statistics)
        return jnp.stack([long - short, short - long])

    def compared(self):
        return ct.Compared(("",), self.cells(), True)
'''
WHEEL = {
    "house.py": HOUSE,
    "house-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: house\nVersion: 1.0\n",
    "house-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "house-1.0.dist-info/entry_points.txt": (
        "[faro.models]\ntokens = house:Tokens\nneighbour = house:Neighbour\ndoubt = house:Doubt\n"
        "[faro.losses]\nheard = house:Heard\nhard = house:Hard\n[faro.constraints]\nstyles = house:Styles\n"
    ),
    "house-1.0.dist-info/RECORD": "",
}
SCHEMA = """
format = "wide"
unit = "who"
numeric = ["length", "tone"]

[[arrays]]
name = "tokens"
file = "tokens.npy"
index = "row"
raw = true

[[arrays]]
name = "mask"
file = "mask.npy"
index = "row"
raw = true
"""
QUICK = "bounds = [0.05, 0.1, 0.3, 0.5]\nseeds = 2\n[settings]\nsteps = 40\nevery = 4\n"
PEOPLE, EACH, TEXTS, LENGTH = 240, 6, 200, 5


def write_data(folder: Path) -> Path:
    """Pairs of texts that people chose between: each person has a taste for tone, everybody likes length a little."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, 24, (TEXTS, LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (TEXTS, 1))
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "mask.npy", mask)
    n = PEOPLE * EACH
    who = np.repeat(np.arange(PEOPLE), EACH)
    rows, tone = rng.integers(0, TEXTS, (n, 2)), rng.normal(size=(n, 2))
    length = rng.normal(size=(n, 2))
    liked = 0.4 * length + rng.normal(size=PEOPLE)[who, None] * tone + 0.1 * tokens.mean(1)[rows]
    order = np.argsort(-(liked + rng.gumbel(size=(n, 2))), 1)
    pick = {
        name: np.take_along_axis(own, order, 1) for name, own in (("row", rows), ("tone", tone), ("length", length))
    }
    sides = enumerate(("chosen", "rejected"))
    table = {"who": who} | {f"{side}_{name}": own[:, k] for k, side in sides for name, own in pick.items()}
    pd.DataFrame(table).to_csv(folder / "pairs.csv", index=False)
    (folder / "pairs.toml").write_text(SCHEMA)
    (folder / "quick.toml").write_text(QUICK)
    return folder / "pairs.csv"


class Place:
    """A folder with the data, where the package is installed: for this process and those that it starts."""

    def __init__(self, folder: Path):
        self.folder, self.table = folder, write_data(folder)
        self.site = install(folder, "house", WHEEL)

    def started(self, *words: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "faro", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment(path=(self.site,)), cwd=self.folder, **pipes)

    def run(self, *words: object, expected: tuple[int, ...] = (0,)) -> str:
        """The command in this process: what it says."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(word) for word in words])
        assert code in expected, (words, code, out.getvalue()[-2000:], err.getvalue()[-2000:])
        return out.getvalue()

    def sweep(self, model: str, loss: str, out: str) -> list[object]:
        data = ["--data", self.table, "--schema", "pairs.toml", "--constraint", "styles"]
        return ["frontier", *data, "--model", model, "--loss", loss, "--config", "quick.toml", "--out", out]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    own = Place(tmp_path_factory.mktemp("house"))
    with in_reach(own.site), pytest.MonkeyPatch.context() as patch:
        patch.chdir(own.folder)
        yield own


@pytest.mark.slow
def test_everything_is_listed(place):
    with place.started("models", "list") as process:  # a new process finds it too
        assert "tokens (from house)" in " ".join(process.communicate()[0].split())
    for kind, names in (("models", "tokens neighbour doubt"), ("losses", "heard hard"), ("constraints", "styles")):
        listed = " ".join(place.run(kind, "list").split())
        assert all(f"{name} (from house)" in listed for name in names.split()), listed


@pytest.mark.slow
@pytest.mark.parametrize(("model", "loss"), [("neighbour", "hard(power=1.2)"), ("doubt", "heard")])
def test_models_that_read_people_or_say_more_are_swept(place, model, loss):
    place.run(*place.sweep(model, loss, model), expected=(0, 3))
    table = pd.read_csv(place.folder / model / "frontier.csv")
    assert len(table) == 10 and np.isfinite(table["dev_nll"]).all()
    assert (table["dev_accuracy"][np.isinf(table["bound"])] > 0.55).all()
    stored = json.loads((place.folder / model / table["model"][2]).read_text())
    assert stored["model"]["type"].endswith(model) and stored["loss"] is not None
    scored = place.run("score", f"{model}/{table['model'].iloc[-1]}", place.table)
    assert (",support" in scored) == (model == "neighbour")


@pytest.mark.slow
def test_a_sweep_that_was_killed_gives_the_same_bytes_and_is_certified(place):
    place.run(*place.sweep("tokens", "heard", "whole"), expected=(0, 3))
    with place.started(*place.sweep("tokens", "heard", "killed")) as process:
        began = time.monotonic()
        while not list((place.folder / "killed").glob(".progress/*chunk3*")):
            assert process.poll() is None and time.monotonic() - began < 300
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (place.folder / "killed" / "manifest.json").exists()
    place.run(*place.sweep("tokens", "heard", "killed"), expected=(0, 3))
    saved = pd.read_csv(place.folder / "whole" / "frontier.csv")["model"].drop_duplicates()
    for name in ["frontier.csv", *saved.str.replace(".json", ".safetensors")]:
        assert (place.folder / "whole" / name).read_bytes() == (place.folder / "killed" / name).read_bytes(), name
    first_seed = saved[saved.str.contains("seed0")]
    certified_and_verified(place, f"killed/{first_seed.iloc[-1].removesuffix('.json')}")


def certified_and_verified(place: Place, model: str) -> None:
    """What was trained under a rate constraint of the package; changed cells are refused."""
    place.run("policy", f"{model}.json", "--plugin", "styles", "--bound", "0.6", "--out", "faro.toml")
    policy, changed = place.folder / "faro.toml", {"min_group = 30": "min_group = 20", 'ledger = "ledger.jsonl"\n': ""}
    text = policy.read_text().replace("assumptions = [", 'assumptions = ["no-ledger", ')
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    policy.write_text(text)
    place.run("score", f"{model}.json", place.table, "--part", "gate", "--plugin", "styles", "--out", "gate.csv")
    given = ["--policy", "faro.toml", "--train-units", "killed/models/seed0.units.txt"]
    place.run("certify", "gate.csv", *given, "--out", "cert.json")
    again = place.run("verify", "cert.json", "gate.csv", *given, "--plugin", "styles")
    assert "computed again: the cells of" in again and "cells by styles at" in again
    scored = pd.read_csv(place.folder / "gate.csv", dtype=str, keep_default_na=False)
    (cell,) = [column for column in scored if column.startswith("cell:")]
    scored.loc[0, cell] = str(1 - int(scored.loc[0, cell]))
    scored.to_csv(place.folder / "moved.csv", index=False)
    described = (place.folder / "gate.csv-metadata.json").read_text()
    (place.folder / "moved.csv-metadata.json").write_text(described)
    place.run("verify", "cert.json", "moved.csv", *given, "--plugin", "styles", expected=(4, 5))
