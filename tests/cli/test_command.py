"""The whole command, as processes: what it imports, and that a later one is not traced and writes the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.processes import environment

UNASKED = ("cvxpy", "orbax", "flax", "sklearn", "fairlearn", "torch", "grain", "pooch", "requests", "scipy.stats",
           "scipy.optimize")  # fmt: skip
FRONTIER = ["frontier", "--data", "demo", "--bounds", "2", "--seeds", "2", "--set", "steps=10"]


def whole(folder: Path, *words: str) -> tuple[str, set[str]]:
    """Stdout of a command in a process of its own, and which of `UNASKED` it imported."""
    program = "import sys, faro.cli; code = faro.cli.main()\n"
    program += f"print(*[name for name in {UNASKED} if name in sys.modules], sep=',', file=sys.stderr); sys.exit(code)"
    variables = environment(FARO_CACHE=str(folder / "cache"))
    variables.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, env=variables, capture_output=True, text=True, check=True
    )
    return done.stdout, set(done.stderr.strip().split("\n")[-1].split(",")) - {""}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two processes with one cache: the first compiles, the second finds everything."""
    folder = tmp_path_factory.mktemp("command")
    return folder, [whole(folder, *FRONTIER, "--out", name)[1] for name in ("cold", "warm")]


@pytest.mark.slow
def test_a_frontier_imports_nothing_that_it_does_not_need(runs):
    assert runs[1] == [set(), set()]


@pytest.mark.slow
def test_a_later_frontier_is_not_traced_and_is_the_same_to_the_byte(runs):
    folder, _ = runs
    manifests = [json.loads((folder / name / "manifest.json").read_text()) for name in ("cold", "warm")]
    assert [own["traced"] for own in manifests] == [{"start": 1, "advance": 1}, {"start": 0, "advance": 0}]
    files = [path.relative_to(folder / "cold") for path in (folder / "cold").rglob("*") if path.is_file()]
    same = [path for path in files if path.name not in ("manifest.json", "report.html")]
    assert len(same) > 10
    for path in same:
        assert (folder / "cold" / path).read_bytes() == (folder / "warm" / path).read_bytes(), path


@pytest.mark.slow
def test_a_score_imports_no_more_than_it_needs(runs):
    scored, unasked = whole(runs[0], "score", "cold/models/bound00-seed0.json", "demo", "--part", "dev")
    assert scored.startswith("unit,choice,alternative") and not unasked
