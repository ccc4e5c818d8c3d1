"""A folder to work in, and a sweep that is finished in it."""

from __future__ import annotations

import io
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import jax
import pytest

from faro import cli
from tests.builders.swept import SWEEP, lay


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with the table and its schema, and no data set but the demo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARO_DATA", str(tmp_path / "no data"))
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "no cache"))
    lay(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished sweep, made once a process; (folder, how the command ended)."""
    folder = tmp_path_factory.mktemp("finished")
    lay(folder)
    out, err = io.StringIO(), io.StringIO()
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("NO_COLOR", "1")
        code = cli.main(list(SWEEP))
    return folder, subprocess.CompletedProcess(SWEEP, code, out.getvalue(), err.getvalue())


@pytest.fixture
def run(place, finished):
    """A copy of the finished sweep, in the working folder as `out`."""
    shutil.copytree(finished[0] / "out", "out")
    return Path("out")
