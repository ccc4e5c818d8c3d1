"""How trials share the devices: what a trial takes, one at a time against all at once, looks of batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import models, sweep
from faro.data import Dataset
from faro.data import demo as demonstration
from faro.errors import UsageError
from faro.evaluate import bootstrap
from faro.registry import make_constraint
from faro.runtime import devices
from faro.store.on_disk import OnDisk
from faro.sweep.execution import Chunks, Need, size, stack
from faro.training import Data, Game, Settings

GROUP = ct.Attribute("g", ("a", "b"))
PARITY = ct.demographic_parity(GROUP, 0.1)


def choices_of(n: int, d: int, seed: int = 0) -> ct.Choices:
    rng = np.random.default_rng(seed)
    return ct.make_choices(
        rng.normal(size=(n, 2, d)), rng.integers(0, 2, n), attributes={"g": rng.integers(0, 2, (n, 2))}
    )


def shapes_of(n: int, d: int) -> Data:
    """Choices of which only shapes are known."""
    own = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype), choices_of(4, d))
    return Data(own, own)


# What a trial takes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_of_a_state_are_those_of_its_leaves(seed):
    """Parameters, two moments, the best iterate and what belongs to the multipliers; random widths and numbers of
    features, batches or not."""
    rng = np.random.default_rng(seed)
    widths, d = tuple(rng.integers(1, 40, rng.integers(1, 4)).tolist()), int(rng.integers(1, 20))
    settings = Settings(batch=int(rng.integers(2, 8))) if seed % 2 else Settings()
    model, data = models.MLP(widths), Data(choices_of(8, d), choices_of(4, d))
    game = Game(model, settings, rows=8)

    @jax.jit
    def begun(key):
        params = models.initial(model, key, data.train)
        return params, game.initial_state(key, params, PARITY, data, jnp.ones(len(PARITY.labels())))

    params, state = begun(jax.random.key(0))
    leaves = [jax.random.key_data(leaf) if leaf is state.key else leaf for leaf in jax.tree.leaves(state)]
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert numbers == sum(a * b + b for a, b in zip((d, *widths), (*widths, 1), strict=True))
    assert size(game.state_shapes(PARITY, data)) == sum(leaf.nbytes for leaf in leaves)
    assert 0 < size(game.state_shapes(PARITY, data)) - 4 * 4 * numbers < 400
    second = Game(models.Linear(), Settings(primal="sqp"))
    assert size(second.state_shapes(PARITY, data).game.primal) >= 4 * (d + 1) ** 2  # the curvature counts


def test_which_execution_follows_from_parameters_and_memory():
    """63 trials of 5 million parameters are 10 GB of states: not under 2 GB, where one of them is at home."""
    game = Game(models.MLP((2048, 2048)), Settings(batch=256, steps=50), rows=12_000)
    mesh = devices.mesh(1)
    need = Need.of(game, shapes_of(12_000, 384), PARITY, 63, mesh)
    assert need.state == pytest.approx(16 * 4_987_000, rel=0.01)
    assert need.alone < 2**29 < 2**31 < 2**33 < need.together
    assert need.said(2**31).startswith("sequential, because 63 trials at once need about 9.4")
    assert need.said(2**31).endswith("more than 2 GB") and need.said(2**34).startswith("batched, because")
    few = Need.of(game, shapes_of(12_000, 384), PARITY, 1, mesh)
    assert need.together - few.together == 62 * 2 * need.state  # before and after a call
    whole = dataclasses.replace(game, settings=Settings(steps=50))  # activations of all of train
    assert Need.of(whole, shapes_of(12_000, 384), PARITY, 1, mesh).step > 20 * few.step


def test_seeds_side_by_side_are_padded_and_not_copied_again():
    rng = np.random.default_rng(0)
    parts = [ct.make_choices(rng.normal(size=(n, 2, 3)).astype(np.float32), np.zeros(n, int)) for n in (7, 5)]
    parts = [jax.tree.map(np.asarray, part) for part in parts]
    together = stack([Data(part, part) for part in parts], 4)
    wanted = [part.pad(8) for part in parts]
    for found in (together.train, together.selection):
        expected = jax.tree.map(lambda *leaves: np.stack(leaves), *wanted)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    placed = devices.place(together.train.items, devices.on(devices.mesh(1)))
    assert placed.unsafe_buffer_pointer() == together.train.items.ctypes.data  # a control: numpy's own are copied
    (alone,) = jax.tree.leaves(stack([Data(parts[0], parts[0])]).train.items)
    assert alone.base is not None and alone.shape == (1, 7, 2, 3)


# Looks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(200))
def test_looks_follow_from_the_batch(seed):
    """Random sizes: one a step where a step sees all; else no more choices are looked at than stepped over, or there
    are three looks; what is asked for is done."""
    rng = np.random.default_rng(seed)
    n, steps = int(10 ** rng.uniform(1, 6)), int(10 ** rng.uniform(0.4, 4))
    batch = int(rng.integers(1, n + 1))
    own = Settings(batch=batch, steps=steps).filled("adam", n)
    assert Settings(steps=steps).filled("adam", n).every == Settings(batch=n, steps=steps).filled("adam", n).every == 1
    assert own.evaluations * own.every >= steps > (own.evaluations - 1) * own.every
    looks = Chunks.of(Game(models.Linear(), own, n)).evaluations
    assert own.every == 1 or looks <= 4 or own.every * batch <= n < (own.every + 1) * batch
    assert own.every * batch <= max(n, batch)
    every = int(rng.integers(1, steps + 1))
    assert Settings(batch=batch, steps=steps, every=every).filled("adam", n).every == every


def test_fifty_steps_of_a_small_batch_look_three_times_and_six_hundred_once_a_pass():
    for steps, looks in ((50, 3), (600, 15)):
        game = Game(models.MLP((4,)), Settings(batch=256, steps=steps), rows=12_000)
        chunks = Chunks.of(game)
        assert (
            chunks.evaluations == looks and chunks.length * chunks.calls * game.settings.every >= steps
        )  # in whole chunks
    assert Chunks.of(Game(models.MLP((4,)), Settings(steps=600), rows=12_000)) == (60, 10, 600)
    assert Chunks.of(Game(models.MLP((4,)), Settings(steps=7), rows=12_000)) == (1, 7, 7)


@pytest.mark.slow
def test_a_look_in_blocks_is_the_look_at_all(monkeypatch):
    """Blocks of at most two batches, the last one smaller; train and selection."""
    n, model = 41, models.MLP((5,))
    data = Data(choices_of(n, 3), choices_of(n, 3, 1))
    problem = Game(model, Settings(batch=4, every=3), rows=n).problem
    params, found = models.initial(model, jax.random.key(0), data.train), []
    for bytes_at_once, block in ((2**26, n), (1, 7)):
        monkeypatch.setattr("faro.training.problem.EVALUATION_BYTES", bytes_at_once)

        @jax.jit
        def look(params, data, block=block):
            seen = problem.prepared(PARITY, data.train, data)
            assert problem.at_once(params, seen) == block
            return problem.tally(params, PARITY, seen), problem.objective_statistics(params, PARITY, seen, ())

        found.append(look(params, data))
    for one, same in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-5)


# One trial at a time --------------------------------------------------------------------------------------------------

BOUNDS, MODEL, SHORT = [0.05, 0.1, 0.2, 0.3], models.MLP((8,)), Settings(steps=10, batch=32)


def swept(settings: Settings = SHORT, **given):
    """4 bounds, 1 seed, 10 steps of little data."""
    table = demonstration.generate(60, seed=3)
    data = Dataset.from_table(table, demonstration.SCHEMA, name="small")
    constraint = make_constraint(data.attributes, "demographic_parity", "dialect", bound=0.05)
    run = sweep.frontier(data, constraint, bounds=BOUNDS, seeds=1, model=MODEL, settings=settings, **given)
    return run, data, constraint


@pytest.fixture
def tight(monkeypatch):
    """No more memory than one trial needs."""
    made, measure = [], Need.of.__func__

    def of(cls, *given):
        made.append(measure(cls, *given))
        return made[-1]

    monkeypatch.setattr(Need, "of", classmethod(of))
    monkeypatch.setattr(devices, "room", lambda: made[-1].alone)
    return made


class Stop(KeyboardInterrupt):
    pass


def stop_at(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Stop

    return progress


@pytest.mark.slow
def test_one_at_a_time_is_all_at_once_and_goes_on_where_it_was_killed(tight, tmp_path):
    """The same models; in one trace of each program; to the same bytes after ends in a trial and between trials."""
    whole, data, constraint = swept(folder=tmp_path / "whole")
    assert tight[0].alone < tight[0].together
    assert whole.manifest["execution"].startswith("sequential, because 4 trials at once need about")
    assert whole.manifest["traced"] == {"begin": 1, "advance": 1, "close": 1, "enter": 1}
    assert whole.traces["loss"].shape == (5, 3) and whole.manifest["configuration"]["every"] == 5
    assert isinstance(whole.models, OnDisk) and len(whole.models[1:]) == 4
    out = tmp_path / "out"
    for step in (6, 9):  # of 2 chunks each of 5 trials, and two more
        with pytest.raises(Stop):
            swept(folder=out, progress=stop_at(step))
        assert not (out / "manifest.json").exists()
        states = list((out / ".progress").glob("seed0.*-*"))
        assert len(states) == (step % 2 == 0)  # that of the trial it was in
    again, *_ = swept(folder=out)
    assert again.manifest["resumed"][:2] == ["seed0.ridge", "seed0.start"] and again.manifest["traced"]["advance"] == 0
    for path in [tmp_path / "whole" / "frontier.csv", *(tmp_path / "whole" / "models").iterdir()]:
        assert (out / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes(), path
    assert not (out / ".progress").exists()
    stored = faro.load_model(out / again.table["model"][1])
    for one, same in zip(*(jax.tree.leaves(own.params) for own in (again.models[1], stored)), strict=True):
        np.testing.assert_array_equal(one, same)

    together, *_ = swept(memory=2**30)
    assert together.manifest["execution"].startswith("batched, because") and isinstance(together.models, list)
    pd.testing.assert_frame_equal(whole.table, together.table, rtol=1e-4, atol=1e-5)
    for name in ("loss", "gap", "multiplier"):
        np.testing.assert_allclose(whole.traces[name], together.traces[name], atol=1e-5)
    sure = [bootstrap.measure(run, data, constraint, draws=10).trials for run in (whole, together)]
    pd.testing.assert_frame_equal(*sure, rtol=1e-4, atol=1e-5)


def test_what_one_at_a_time_cannot_is_refused(tight):
    with pytest.raises(UsageError, match="solution = mixture: keeps iterates of every trial"):
        swept(dataclasses.replace(SHORT, solution="mixture"))
    with pytest.raises(UsageError, match=r"one trial needs about [\d,]+ bytes a step, got 1,024; give more"):
        swept(memory=1024)
