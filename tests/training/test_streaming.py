"""Streamed training: what training in memory gives, in the memory of a few shards, also after a kill at any moment."""

import gc
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import losses, metrics, models
from faro.cli import main
from faro.data import Dataset, demo, units_text, write_table
from faro.errors import UsageError
from faro.training import Data, Game, Settings, streaming
from faro.training.problem import DEFAULT
from tests.builders.processes import environment
from tests.builders.projects import policy_of

GROUP = ct.Attribute("g", ("a", "b"))
CONSTRAINT = ct.demographic_parity(GROUP, 0.1)
MINI = Settings(steps=24, every=2, batch=32)


def biased(n: int, seed: int = 0) -> ct.Choices:
    """Pairs whose quality differs by group, on the host."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, (n, 2))
    x = rng.normal(size=(n, 2, 3)) + np.stack([-0.8 * group, 0 * group, 0 * group], -1)
    utility = x @ [1.5, -1.0, 0.5] - 0.5 * group
    chosen = (utility[:, 1] - utility[:, 0] + rng.logistic(size=n) > 0).astype(int)
    items = np.concatenate([x, np.eye(2)[group]], -1)
    choices = ct.make_choices(items, chosen, attributes={"g": group}, weight=rng.uniform(0.5, 1.5, n))
    return jax.tree.map(np.array, choices)


def cut(choices: ct.Choices, count: int) -> list[ct.Choices]:
    """Shards of equal shape, the last one padded."""
    size = -(-choices.shape[0] // count)
    return [jax.tree.map(np.asarray, choices.take(slice(i * size, (i + 1) * size)).pad(size)) for i in range(count)]


def in_memory(choices, selection, settings, objective=DEFAULT):
    game, data = Game(models.Linear(), settings, objective=objective), Data(choices, selection)

    @jax.jit
    def run(data):
        pilot, _ = game.start(jax.random.key(0), CONSTRAINT, data, settings.evaluations)
        return game.advance(game.warm_start(pilot, CONSTRAINT, data), CONSTRAINT, data, settings.evaluations)

    return run(data)


@pytest.mark.slow
def test_one_shard_is_training_in_memory(x64):
    choices, selection = biased(200), biased(60, 1)
    member, looks = in_memory(choices, selection, MINI)
    streamed = streaming.train([choices], selection, CONSTRAINT, settings=MINI)
    for one, same in zip(
        *map(jax.tree.leaves, ((member.best.params, looks), (streamed.params, streamed.trace))), strict=True
    ):
        np.testing.assert_allclose(same, one, atol=1e-6)
    assert len(streamed.trace.loss) == 12 and streamed.figures["gap"][0] == pytest.approx(float(member.best.gap[0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [losses.Reweighted(who=ct.Grouping(GROUP)), losses.WorstGroup(who=ct.Grouping(GROUP), ascent=0.1)],
    ids=["reweighted", "worst"],
)
def test_one_shard_is_training_in_memory_under_any_objective(x64, objective):
    """And what is minimised is it: the likelihood alone leads elsewhere."""
    choices, selection = biased(200), biased(60, 1)
    _, looks = in_memory(choices, selection, MINI, objective)
    streamed = streaming.train([choices], selection, CONSTRAINT, settings=MINI, objective=objective)
    for one, same in zip(jax.tree.leaves(looks), jax.tree.leaves(streamed.trace), strict=True):
        np.testing.assert_allclose(same, one, atol=1e-6)
    other, _ = in_memory(choices, selection, MINI)
    pairs = zip(*map(jax.tree.leaves, (other.best.params, streamed.params)), strict=True)
    assert not all(np.allclose(one, same, atol=1e-3) for one, same in pairs)


@pytest.mark.slow
def test_several_shards_reach_what_training_in_memory_reaches():
    """And the figures are those of all choices at once, recomputed without shards; the last shard is padded."""
    choices, selection = biased(1999), biased(400, 1)
    settings = Settings(steps=400, every=2)
    member, _ = in_memory(choices, selection, settings)
    streamed = streaming.train(cut(choices, 4), selection, CONSTRAINT, settings=settings)
    whole = jax.tree.map(jnp.asarray, choices)

    def figures(params):
        rewards = models.rewards(models.Linear(), params, whole)
        hard = ct.decide(ct.Argmax(), rewards, whole)
        gap = CONSTRAINT.gap(CONSTRAINT.statistics(hard, whole))
        return float(metrics.nll(rewards, whole)), float(gap[0]), float(metrics.accuracy(rewards, whole))

    nll, gap, accuracy = figures(streamed.params)
    assert (streamed.figures["nll"], streamed.figures["gap"][0]) == pytest.approx((nll, gap), abs=1e-5)
    assert streamed.status == "FEASIBLE" and gap <= 0.1
    assert accuracy > figures(member.best.params)[2] - 0.01
    best = int(np.argmin(np.where(streamed.trace.gap[:, 0] <= 0.1 * (1 - 1e-4), streamed.trace.selection_loss, np.inf)))
    assert streamed.trace.gap[best, 0] == pytest.approx(gap, abs=1e-5)
    assert streamed.trace.loss[best] == pytest.approx(nll, abs=1e-5)


class Generated:
    """Shards that are made when they are asked for."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return biased(400, seed=index)


@pytest.mark.slow
def test_the_device_holds_a_few_shards_however_many_there_are():
    """Most bytes of live arrays over the run: less than half of the twelve shards."""
    gc.collect()
    before = sum(array.nbytes for array in jax.live_arrays())
    found = []

    def weigh(done, total):
        found.append(sum(array.nbytes for array in jax.live_arrays()) - before)

    settings = Settings(steps=12, every=1)
    streaming.train(Generated(12), biased(40, 99), CONSTRAINT, settings=settings, progress=weigh)
    shard = sum(leaf.nbytes for leaf in jax.tree.leaves(biased(400)))
    assert len(found) > 48 and shard < max(found) < 6 * shard


def test_what_cannot_be_streamed_is_refused():
    choices = biased(40)
    for shards, settings, text in [
        ([], None, "at least one shard"),
        ([choices, choices.take(slice(0, 30))], None, "shard 1: expected the shapes"),
        ([choices], Settings(dual_data="own"), "dual_data"),
        ([choices], Settings(primal="sqp"), "primal: a stream never sees all"),
    ]:
        with pytest.raises(UsageError, match=text):
            streaming.train(shards, choices, CONSTRAINT, settings=settings)
    with pytest.raises(UsageError, match="bound"):
        streaming.train([choices], choices, CONSTRAINT.at(-1.0))


# Models of a stream ---------------------------------------------------------------------------------------------------

DEMO = """
[settings]
steps = 36
batch = 64

[schema]
unit = "person"
choice = ["choice"]
alternative = "alternative"
label = "chosen"
numeric = ["quality", "clarity", "brevity"]
categorical = ["dialect"]
context_categorical = ["community"]

[[schema.attributes]]
name = "dialect"
levels = ["A", "B"]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Dataset]:
    """A model trained by the command on three files, saved; and all choices in memory, in the order of the files."""
    folder = tmp_path_factory.mktemp("stream")
    frame = demo.generate(200, seed=0)
    number = frame["person"].str[1:].astype(int) % 3
    files = [frame[number == index].reset_index(drop=True) for index in range(3)]
    for index, own in enumerate(files):
        write_table(own, folder / f"{index}{('.csv', '.parquet', '.jsonl')[index]}")
    (folder / "stream.toml").write_text(DEMO)
    command = ["train", "--stream", "--config", str(folder / "stream.toml"), "--attribute", "dialect"]
    assert main([*command, "--bound", "0.05", "--data", str(folder), "--out", str(folder / "model"), "--quiet"]) == 0
    data = Dataset.from_table(pd.concat(files, ignore_index=True), demo.SCHEMA)
    return folder, data


@pytest.mark.slow
def test_files_give_the_stream_of_shards_in_memory(trained):
    folder, data = trained
    model = faro.load_model(folder / "model")
    rows = data.rows(("train", "dual"))
    file = np.array([int(unit[1:]) % 3 for unit in data.units])[rows]
    coding = data.fit_coding(rows)
    size = max(np.bincount(file))
    shards = [data.choices(coding, rows[file == index]).pad(size) for index in range(3)]
    selection = data.choices(coding, data.rows("selection"))
    constraint = ct.demographic_parity(data.attributes["dialect"], 0.05)
    settings = Settings(steps=36, batch=64)
    streamed = streaming.train(shards, selection, constraint, settings=settings)
    for one, same in zip(jax.tree.leaves(streamed.params), jax.tree.leaves(model.params), strict=True):
        np.testing.assert_allclose(same, one, atol=1e-5)
    assert (streamed.status, model.about["trainer"]) == ("FEASIBLE", f"stream of 3 shards of {size} choices")
    figures = model.about["figures"]
    found = figures["train_nll"], figures["train_gap"]
    assert found == pytest.approx((streamed.figures["nll"], streamed.figures["gap"][0]), abs=1e-5)
    assert model.constraint == constraint
    units = units_text(set(data.units[data.parts() < 3]), model.salt)
    assert (folder / "model.units.txt").read_text() == units


@pytest.mark.slow
def test_a_streamed_model_is_scored_and_certified_like_any_other(trained, tmp_path):
    """Its status is recounted from the scored train part, its certificate verified."""
    folder, data = trained
    write_table(data.frame, tmp_path / "all.csv")
    base = str(folder / "model.json")
    for out in ("first.csv", "again.csv"):
        assert main(["score", base, str(tmp_path / "all.csv"), "--out", str(tmp_path / out), "--quiet"]) == 0
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    scored = pd.read_csv(tmp_path / "first.csv")
    train = scored[scored["part"].isin(["train", "dual"])]
    rates = train.groupby("dialect")["decision"].mean()  # all weights are 1
    figures = json.loads(Path(base).read_text())["about"]["figures"]
    assert abs(rates["A"] - rates["B"]) == pytest.approx(figures["train_gap"], abs=1e-9)
    assert figures["train_gap"] <= 0.05
    policy, gate, out = (str(tmp_path / name) for name in ("policy.toml", "gate.csv", "certificate.json"))
    Path(policy).write_text(policy_of(faro.load_model(base), ledger=True))
    assert main(["score", base, str(tmp_path / "all.csv"), "--part", "gate", "--out", gate, "--quiet"]) == 0
    assert main(["ledger", "init", gate, "--policy", policy]) == 0
    files = [word for end in ("json", "safetensors") for word in ("--model", str(folder / f"model.{end}"))]
    given = ["--policy", policy, "--train-units", str(folder / "model.units.txt"), *files]
    code = main(["certify", gate, *given, "--disclose", "--out", out])
    assert code in (0, 1, 3) and main(["verify", out, gate, *given]) == code  # what is certified of so few people


# Killed streams -------------------------------------------------------------------------------------------------------


def stream(folder: Path | None, progress: Any = lambda done, total: None) -> streaming.Streamed:
    jax.config.update("jax_disable_most_optimizations", True)
    how = {"settings": MINI, "folder": folder, "save_every": 2, "progress": progress}
    return streaming.train(cut(biased(199), 3), biased(60, 1), CONSTRAINT, **how)


@pytest.mark.slow
def test_a_killed_stream_goes_on_to_the_same_bits(tmp_path):
    """Stopped during the start, then killed in the middle of a pass of steps and of a look."""

    def stop(done, total):
        if (tmp_path / "out" / ".progress" / "start-8").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(tmp_path / "out", stop)
    command = [sys.executable, "-c", "from tests.training.test_streaming import *; stream(Path('out'))"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment()) as process:
        while process.poll() is None and not (tmp_path / "out" / ".progress" / "game-10").exists():
            time.sleep(0.001)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    resumed = stream(tmp_path / "out")
    assert not (tmp_path / "out" / ".progress").exists()
    for one, same in zip(jax.tree.leaves((whole := stream(None)).trace), jax.tree.leaves(resumed.trace), strict=True):
        np.testing.assert_array_equal(one, same)
    for one, same in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(one, same)
