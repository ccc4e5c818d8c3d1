"""Several devices and several processes: the result of one, files by one, and an end when one of them is killed.

The devices are pieces of this CPU, in processes of their own: their number is fixed when jax starts.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from faro import sweep
from faro.data import Dataset
from faro.data import demo as demonstration
from faro.errors import UsageError
from faro.registry import make_constraint
from faro.runtime import devices
from faro.store.frontier import Frontier
from faro.sweep import batched
from faro.sweep.run import Evaluator, _Run
from faro.training import Settings
from tests.builders.processes import environment

SETTINGS = Settings(steps=10, every=1, batch=64)
BOUNDS = [0.05, 0.1, 0.2]


def small() -> tuple:
    data = Dataset.from_table(demonstration.generate(40, seed=3), demonstration.SCHEMA, name="small")
    defaults = {name: demonstration.DEFAULTS[name] for name in ("constraint", "attribute", "of")}
    return data, make_constraint(data.attributes, **defaults)


def started(folder: Path, code: str, **more: str) -> subprocess.Popen:
    """A process that runs `code` with everything of this file in reach."""
    command = [sys.executable, "-c", f"from tests.runtime.test_devices import *\n{code}"]
    with open(folder / f"log{more.get(devices.PROCESS, '')}", "w") as log:
        variables = environment(folder / "programs", **more)
        return subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)


# One process, eight devices -------------------------------------------------------------------------------------------


def trained(mesh: jax.sharding.Mesh) -> list:
    """Parameters and all other figures of every member and look, unconstrained ones included."""
    data, constraint = small()
    run = _Run(data, constraint, lambda gap: [constraint.at(b) for b in BOUNDS], [4], None, SETTINGS, None)
    run.mesh = mesh
    found = []

    def keep(evaluator, constraints, best, solution, trace, keeper, held):
        assert jax.tree.leaves(best.params)[0].shape[:2] == (1, 4)  # padding is dropped
        found.append(jax.tree.leaves((best, trace)))
        raise StopIteration

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StopIteration):
        patch.setattr(Evaluator, "frontier", keep)
        programs, one = [], sweep.Batched
        patch.setattr(batched, "_kept", lambda *given: programs.append(one(*given)) or programs[-1])
        run.result(None, False, "", lambda done, total: None)
    assert programs[0].traced == {"start": 1, "advance": 1}
    return found[0]


MESHES = ["sweep=8", "data=4,sweep=2"]


def compare_meshes() -> None:
    """In the process with eight devices, in double precision: Adam turns rounding into steps where nothing pulls."""
    assert len(jax.devices()) == 8
    alone = trained(jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), (devices.SWEEP, devices.DATA)))
    for asked in MESHES:
        for one, same in zip(alone, trained(devices.mesh(3, asked)), strict=True):
            np.testing.assert_allclose(same, one, rtol=1e-5, atol=1e-5, err_msg=asked)


@pytest.mark.slow
def test_eight_devices_give_the_result_of_one(tmp_path):
    """The sweep axis, and both; minibatches; three bounds and an odd number of choices."""
    flags = f"--xla_force_host_platform_device_count=8 {os.environ.get('XLA_FLAGS', '')}"
    process = started(tmp_path, "compare_meshes()", XLA_FLAGS=flags, JAX_ENABLE_X64="1")
    assert process.wait(300) == 0, (tmp_path / "log").read_text()


@pytest.mark.parametrize("asked", ["data=3", "data=4,sweep=3", "rows=8", "data", "data=0,sweep=8", "", "data=8,data=8"])
def test_a_mesh_that_cannot_be_is_refused(asked, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 8)
    with pytest.raises(UsageError, match="number of devices"):
        devices.mesh(3, asked)


@pytest.mark.parametrize(
    ("members", "asked", "shape"),
    [(20, None, (8, 1)), (3, None, (2, 4)), (1, None, (1, 8)), (20, "data=2", (4, 2)), (1, "data=4, sweep=2", (2, 4))],
)
def test_the_sweep_axis_comes_first(members, asked, shape, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 8)
    monkeypatch.setattr(devices, "Mesh", lambda array, names: (array.shape, names))
    assert devices.mesh(members, asked) == (shape, (devices.SWEEP, devices.DATA))


# Two processes --------------------------------------------------------------------------------------------------------


def sweep_together() -> None:
    """What both processes run: one member each side by side, then the files."""
    devices.join(heartbeat=20)
    run = sweep.frontier(*small(), bounds=[0.05, 0.2], seeds=1, settings=SETTINGS, mesh="data=2", folder="out")
    assert run.manifest["resumed"] or run.manifest["traced"] == {"start": 1, "advance": 1}


def pair(folder: Path) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = {devices.COORDINATOR: address, devices.PROCESSES: "2", "JAX_ENABLE_X64": "1"}
    return [started(folder, "sweep_together()", **shared, **{devices.PROCESS: str(i)}) for i in range(2)]


@pytest.mark.slow
def test_two_processes_give_the_frontier_of_one_also_after_a_kill(tmp_path, x64):
    """One is killed in the middle: the other ends with an error, and the same commands go on to the same frontier."""
    out, both = tmp_path / "out", pair(tmp_path)
    while not (out / ".progress" / "chunk3").exists() and both[1].poll() is None:
        time.sleep(0.01)
    both[1].send_signal(signal.SIGKILL)
    assert both[1].wait() == -signal.SIGKILL, (tmp_path / "log1").read_text()
    assert both[0].wait(90) not in (0, -signal.SIGKILL)
    assert not (out / "manifest.json").exists()

    both = pair(tmp_path)
    for i, process in enumerate(both):
        assert process.wait(120) == 0, (tmp_path / f"log{i}").read_text()
    run = Frontier.load(out)
    assert run.manifest["resumed"][:4] == ["seed0.ridge", "start", "chunk0", "chunk1"]
    assert {path.name for path in out.iterdir()} == {"frontier.csv", "traces.npz", "manifest.json", "models"}
    alone = sweep.frontier(*small(), bounds=[0.05, 0.2], seeds=1, settings=SETTINGS)
    pd.testing.assert_frame_equal(run.table, alone.table, rtol=0, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("given", [{}, {devices.PROCESSES: "2"}, {devices.PROCESSES: "2", devices.PROCESS: "2"}])
def test_half_of_the_environment_is_refused(given, monkeypatch):
    for name, value in {devices.COORDINATOR: "127.0.0.1:1", **given}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="JAX_NUM_PROCESSES"):
        devices.join()
