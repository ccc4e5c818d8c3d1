"""Outputs in one piece and one writer at a time, beside killed writers, a full disk and each other."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import faro.data.demo as demo
from faro import api, files, models
from faro.certify.audit import audit_of
from faro.certify.policy import read_policy
from faro.cli import main
from faro.data import Dataset, Seen, write_table
from faro.data.fetch import scratch
from faro.errors import DataError, UsageError
from faro.evaluate import trials
from faro.runtime import devices, locks
from faro.runtime.checkpoint import Keeper
from faro.store.model import TrainedModel, load_model
from tests.builders.claims import accepted, claim
from tests.oracles import verify_by_hand as hand

SOURCE = Path(__file__).parent.parent
FULL = "No space left|File too large"


def other(folder: Path, program: str, *words: object) -> subprocess.Popen:
    """Another process; it says a line on stdout when it is where the program says so."""
    words_ = [
        sys.executable,
        "-c",
        f"import os, sys, time\nfrom faro import files\nfrom faro.runtime import locks\n{program}",
        *map(str, words),
    ]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(words_, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def waiting(folder: Path, program: str):
    """Another process that is in the middle of `program`, a context, until the block ends; then it is killed."""
    with other(folder, f"with {program}:\n    print('there', flush=True)\n    time.sleep(600)") as process:
        try:
            assert process.stdout.readline() == "there\n"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def full(size: int = 500):
    """A disk on which no file gets larger than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def model(size: int = 3) -> TrainedModel:
    data = Dataset.from_table(demo.generate(20, seed=1), demo.SCHEMA)
    about = {"digest": data.digest, "seed": 0, "size": size}
    params = {"items": np.full(size, float(size))}
    return TrainedModel(models.Linear(), params, data.fit_coding(), demo.SCHEMA, about, Seen(data.units))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# In one piece ---------------------------------------------------------------------------------------------------------


def test_two_writers_of_one_file_never_meet(tmp_path):
    target = tmp_path / "t.json"
    with files.replacing(target) as one, files.replacing(target) as two:
        one.write_text("one")
        two.write_text("two")
        assert one != two and one.suffix == two.suffix == ".json"
    assert target.read_text() == "one" and names(tmp_path) == {"t.json"}
    program = "for i in range(100): files.write_text('t.json', sys.argv[1] * 5000)"
    with other(tmp_path, program, "a") as first, other(tmp_path, program, "b") as second:
        seen = set()
        while first.poll() is None or second.poll() is None:
            seen.add(target.read_text())
    assert (first.returncode, second.returncode) == (0, 0)
    assert seen <= {"one", "a" * 5000, "b" * 5000} and names(tmp_path) == {"t.json"}


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / ".mine.part").write_text("not ours")
    program = """
import random, signal
random.seed(int(sys.argv[1]))
real = os.replace
def replace(*given):
    if random.random() < 0.5: os.kill(os.getpid(), 9)
    real(*given)
os.replace = replace
while True: files.write_text('t.txt', str(random.random()) * 1000)
"""
    for seed in range(8):
        with other(tmp_path, program, seed) as process:
            assert process.wait() == -signal.SIGKILL
    assert len([name for name in names(tmp_path) if name.endswith(".part.txt")]) == 1  # of the last one
    with waiting(tmp_path, "files.scratch('.')"):
        (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
        (folder / "deep").mkdir()
    with waiting(tmp_path, "files.replacing('alive.csv')"):
        files.write_text(tmp_path / "other.json", "")
        (alive,) = names(tmp_path) - {".mine.part", "other.json", "t.txt"}
        assert alive.endswith(".part.csv")
        with scratch(tmp_path) as here:  # nor does another kind of writer
            assert {here.name, alive} <= names(tmp_path)
    files.write_text(tmp_path / "other.json", "")
    assert names(tmp_path) - {"t.txt"} == {".mine.part", "other.json"}


def test_without_locks_outputs_are_still_whole(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(files.fcntl, "flock", none)
    left = tmp_path / f".{'0' * 16}.part.txt"
    left.touch()
    files.write_text(tmp_path / "t.txt", "x")
    assert names(tmp_path) == {"t.txt", left.name}  # nobody knows whose it is
    with pytest.raises(UsageError, match="flock"), locks.alone(tmp_path / "run", folder=True):
        pass
    assert not (tmp_path / "run").exists()


def test_a_model_is_of_one_training(tmp_path, monkeypatch):
    path = model(3).save(tmp_path / "m.json")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    real, count = os.replace, []
    for fails in range(3):  # killed between two of its three files
        count.clear()

        def replace(*given, fails=fails):
            count.append(given)
            if len(count) > fails:
                raise KeyboardInterrupt
            real(*given)

        with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
            broken.setattr(files.os, "replace", replace)
            model(4).save(path)
        with pytest.raises(DataError, match="no model at"):
            load_model(path)
        assert names(tmp_path) == {"m.safetensors", "m.units.txt"}
        model(3).save(path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


# A full disk ----------------------------------------------------------------------------------------------------------


class Program:
    """What a `Keeper` runs: 100,000 random numbers."""

    def __call__(self, *_):
        return {"a": jax.random.uniform(jax.random.key(0), (100_000,))}

    eval_shape = None


def test_a_full_disk_in_a_checkpoint_is_one_error_and_leaves_nothing(tmp_path, caplog):
    keeper = Keeper(tmp_path / "p", "x")
    for _ in range(2):
        with full(20_000), pytest.raises(OSError, match=FULL) as error:
            keeper.once("start", Program(), ())
        assert error.value.filename == str(tmp_path / "p/start")
        assert names(tmp_path / "p") == {"fingerprint.json"}
    assert not caplog.records
    keeper.once("start", Program(), ())  # there is room now
    assert Keeper(tmp_path / "p", "x").stored("start")


def test_steps_are_read_as_they_were_and_those_of_an_older_format_go(tmp_path):
    """Of every kind of array that a state holds: bytes, types and keys; half-written ones are no step."""
    state = {
        "a": jnp.arange(6.0).reshape(2, 3), "half": jnp.asarray([1.5, -2], jnp.bfloat16), "key": jax.random.key(7),
        "flag": jnp.asarray(True), "none": jnp.zeros((0, 4)), "host": np.arange(3, dtype=np.float32),
    }  # fmt: skip
    keeper = Keeper(tmp_path, "x")
    for position in (1, 2):
        keeper.keep("game", position, state)
    assert names(tmp_path) == {"fingerprint.json", "game-2"}
    place = devices.on(devices.mesh(1))
    position, found = Keeper(tmp_path, "x").newest("game", state, place)
    assert position == 2
    for one, same in zip(*map(jax.tree.leaves, (state, found)), strict=True):
        assert one.dtype == same.dtype
    assert jax.random.uniform(found.pop("key")) == jax.random.uniform(state.pop("key"))
    for one, same in zip(*map(jax.tree.leaves, (state, found)), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(same))
    (tmp_path / "fingerprint.json").write_text('"x"')  # as folders of orbax had it
    assert Keeper(tmp_path, "x").newest("game", state)[0] == 0 and names(tmp_path) == {"fingerprint.json"}


@pytest.mark.parametrize("kind", ["text", "model", "run", ".csv", ".csv.gz", ".parquet", ".jsonl"])
def test_a_full_disk_leaves_what_was_there(kind, tmp_path):
    table = pd.DataFrame({"x": np.random.default_rng(0).random(500)})
    small = table.iloc[:1]

    def write(size):
        rows = table if size == "large" else small
        if kind == "text":
            files.write_text(tmp_path / "t.txt", rows.to_csv())
        elif kind == "model":
            model(3 if size == "small" else 5000).save(tmp_path / "m")
        elif kind == "run":
            traces = {"loss": rows["x"].to_numpy()}
            trials.Frontier(pd.DataFrame({"model": []}), [], traces, {}).save(tmp_path)
        else:
            write_table(rows, tmp_path / f"t{kind}")

    write("small")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full(4000 if kind == "model" else 2500), pytest.raises(OSError, match=FULL) as error:
        write("large")
    assert Path(error.value.filename).name in before
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("command", ["train", "frontier"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_the_command_says_so_on_one_line(command, number, tmp_path, monkeypatch, capsys):
    def no_room(*_, **__):
        raise OSError(number, os.strerror(number), "out/.progress/start")

    monkeypatch.setattr(api, command, no_room)
    monkeypatch.chdir(tmp_path)
    assert main([command, "--out", "out"]) == 5
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "out/.progress/start; make room there, then give the same command again" in err
    assert not names(tmp_path)


# One writer at a time -------------------------------------------------------------------------------------------------


def test_who_is_second_ends_at_once_and_a_killed_first_frees_the_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, folder in (("out/run", True), ("out/m", False)):
        with waiting(tmp_path, f"locks.alone({path!r}, folder={folder})") as first:
            for name in (path, tmp_path / path, f"out/../{path}"):
                match = f"process {first.pid} on .* is writing there; wait"
                with pytest.raises(UsageError, match=match), locks.alone(name, folder=folder):
                    pass
        with locks.alone(path, folder=folder):  # killed
            with locks.alone(path, folder=folder), locks.alone(f"{path}/models/m"):  # who has the folder has these
                pass
            if folder:
                (tmp_path / "linked").symlink_to(tmp_path / path)
                with locks.alone("linked", folder=True):
                    pass
        assert {each.name for each in (tmp_path / "out").rglob("*")} == {"run"}  # no lock; the killed one made a folder
    with locks.alone("deep/er/run", folder=True):
        assert (tmp_path / "deep/er/run/.lock").exists()
    assert names(tmp_path) == {"out", "linked"}  # none of the folders that were made for it


def test_threads_are_kept_apart_as_well(tmp_path):
    found = []

    def second():
        try:
            with locks.alone(tmp_path / "run", folder=True):
                found.append("both")
        except UsageError as error:
            found.append(str(error))

    with locks.alone(tmp_path / "run", folder=True):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in found[0]
    second()
    assert found[1:] == ["both"]


def test_locks_that_come_and_go_are_held_by_one_at_a_time(tmp_path):
    """Each adds one to a number, not in one piece: none is lost, and at the end no lock is left."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/number").write_text("0")
    program = """
from faro.errors import UsageError
done = 0
while done < 100:
    try:
        with locks.alone('run', folder=True):
            number = int(open('run/number').read()); time.sleep(0.0005); open('run/number', 'w').write(str(number + 1))
            done += 1
    except UsageError: time.sleep(0.0002)
"""
    several = [other(tmp_path, program) for _ in range(3)]
    assert [process.wait(60) for process in several] == [0, 0, 0]
    for process in several:
        process.stdout.close()
    assert (tmp_path / "run/number").read_text() == "300"
    assert names(tmp_path / "run") == {"number"}


def test_a_place_where_nothing_can_be_written_needs_no_lock(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(locks.os, "open", read_only)
    with locks.alone(tmp_path / "run", folder=True):
        pass


def test_commands_that_meet_in_one_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for path, folder, words in (
        ("run", True, ["frontier", "--bounds", "2", "--seeds", "1", "--out", "run"]),
        ("run", True, ["report", "run"]),
        ("m", False, ["train", "--out", "m.json"]),
        ("m", False, ["train", "--out", "m"]),
        ("s.csv", False, ["score", "m.json", "demo", "--out", "s.csv"]),
    ):
        if words[0] == "report":
            monkeypatch.setattr("faro.report.read_run", lambda _: SimpleNamespace(notes=[]))
        with waiting(tmp_path, f"locks.alone({path!r}, folder={folder})") as first:
            assert main(words) == 2, words
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1) and f"process {first.pid} on " in err
            assert names(tmp_path) == {"run", *([] if folder else [f".{path}.lock"])}
        (tmp_path / f".{path}.lock").unlink(missing_ok=True)


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1e308, 1e37])
def test_weights_that_overflow_are_refused_before_training(weight):
    table = demo.generate(20, seed=1).assign(w=weight)
    schema = demo.SCHEMA.from_dict(demo.SCHEMA.to_dict() | {"weight": "w"})
    with pytest.raises(DataError, match="overflow when they are added up"):
        Dataset.from_table(table, schema)
    assert Dataset.from_table(table.assign(w=1e30), schema).parsed.weight.sum() > 0


def test_weights_that_overflow_are_refused_before_a_bound(tmp_path):
    """1e308 twice in one unit: its share of the weight would be 0, and the table a smaller one without a word."""
    rules = accepted(claim(method="unit-ratio"), estimand="unit")
    (tmp_path / "faro.toml").write_text(hand.toml(rules))
    rows = [row | {"weight": 1.0} for row in hand.applicants(400, {"A": 0.5, "B": 0.5}, seed=1)]
    columns = {name: [str(row[name]) for row in rows] for name in rows[0]}
    policy = read_policy(tmp_path / "faro.toml")
    assert audit_of(columns, policy).units == 400
    for weight in ("1e308", "1e306"):
        columns["weight"] = [weight] * len(rows)
        with pytest.raises(DataError, match="'weight': weights up to"):
            audit_of(columns, policy)


def test_a_folder_in_place_of_a_file_is_told_which_of_its_files_may_be_meant(tmp_path, capsys):
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    asked = str(tmp_path), "--policy", str(tmp_path / "faro.toml")
    hand_rules = hand.policy2(claim())
    (tmp_path / "faro.toml").write_text(hand.toml(hand_rules))
    assert main(["gate", *asked]) == 5
    assert capsys.readouterr().err.endswith(f"{tmp_path}: a folder; expected a scored table, of faro score\n")
    hand.write_csv(tmp_path / "scores.csv", hand.applicants(4, {"A": 0.3, "B": 0.3}))
    assert main(["gate", *asked]) == 5
    assert f"as {tmp_path / 'scores.csv'} seems to be" in capsys.readouterr().err
    (tmp_path / "cert.json").write_text('{"schema": "faro-certificate/3"}')
    assert main(["verify", str(tmp_path), str(tmp_path / "scores.csv"), *asked[1:]]) == 2
    assert f"expected a certificate, as {tmp_path / 'cert.json'} seems to be" in capsys.readouterr().err
    (tmp_path / "frontier.csv").write_text("")
    assert main(["certify", *asked]) == 2 and "a run; say --disclose" in capsys.readouterr().err
    assert main(["gate", str(tmp_path / "absent.csv"), *asked[1:]]) == 5
    assert "no such file; expected a scored table" in capsys.readouterr().err
