"""What pages tell a newcomer to type runs as it is printed, block after block, in a clean clone.

The clone holds the tracked files and nothing else. Its `.venv` is the Python of the tests, in place of an installation;
what is changed of a command besides is in `STAND_INS`, and the table of one's own is a longer one of the printed form.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.data.sets import SETS

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/index.md", "docs/choosing.md")
BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.M | re.S)
FETCHES = (
    "faro data fetch"  # the network: with FARO_DATA alone, where the table is in the cache and its content is checked
)
STAND_INS = {  # a command as it is printed -> what runs
    "make test ": "make test ARGS=tests/test_metrics.py ",  # these tests are among them
    "benchmarks choose -- --count 670": "benchmarks choose -- --help",  # an hour
}
OF_MAKE = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "PYTHON", "DATA", "OUT", "ARGS")


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of a page that are in this language, in order."""
    return [match[2] for match in BLOCK.finditer(Path(ROOT, page).read_text("utf-8")) if match[1].strip() == kind]


def clean_clone(place: Path) -> Path:
    """The tracked files, as they are in the working tree, with an environment that counts as installed."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if Path(ROOT, name).is_file():
            Path(place, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(ROOT, name), place / name)
    commands = place / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, words in {"python": "", "faro": "-m faro", "pip": str(commands / "checks_extras.py")}.items():
        Path(commands, name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        Path(commands, name).chmod(0o755)
    (commands / "checks_extras.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.repository.test_printed import installable\ninstallable(sys.argv[1:])\n"
    )
    (place / ".venv" / ".installed").touch()
    return place


def installable(words: list[str]) -> None:
    """In place of pip: that these words install the package of this folder, with an extra that it has."""
    config = ConfigParser()
    config.read("setup.cfg")
    target = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[-1])
    extras = (target[1] or "").split(",") if target else []
    if words[:-1] != ["install", "-e"] or target is None:
        sys.exit(f"not known: pip {' '.join(words)}")
    if missing := set(filter(None, extras)) - set(config["options.extras_require"]):
        sys.exit(f"no such extra: {missing}")


def environment(clone: Path) -> dict[str, str]:
    """That of somebody who has just cloned: no data folder, no cache, no variable of the make that runs these tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in (*OF_MAKE, "FARO_DATA", "JAX_COMPILATION_CACHE_DIR") and not name.startswith("PYTEST_")
    }
    path = f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(clone), "FARO_CACHE": str(clone.parent / "cache"), "COLUMNS": "80"}


def as_run(block: str) -> str:
    """The block with its stand-ins."""
    for printed, stand_in in STAND_INS.items():
        block = block.replace(printed, stand_in)
    return block


def run_block(block: str, clone: Path) -> None:
    """Every command of the block ends with 0."""
    done = subprocess.run(
        ["bash", "-e", "-u", "-x", "-o", "pipefail", "-c", as_run(block)],
        cwd=clone, env=environment(clone), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"ended with {done.returncode}:\n{block}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr


def own_table(page: str, clone: Path) -> None:
    """`pairs.toml` as printed, and a `pairs.csv` that goes on as it begins in print: 4,000 raters of three pairs."""
    (printed,), (schema, *_) = blocks(page, "csv"), blocks(page, "toml")
    assert tomllib.loads(schema)["unit"] == "rater"
    (clone / "pairs.toml").write_text(schema)
    rng = np.random.default_rng(0)
    n = 12_000
    clarity, dialect = rng.normal(size=(n, 2)), rng.integers(2, size=(n, 2))
    utility = 1.5 * clarity - 0.4 * dialect + rng.gumbel(size=(n, 2))
    best = utility.argmax(axis=1)[:, None]
    sides = {"chosen": best, "rejected": 1 - best}
    values = {"clarity": clarity.round(2), "dialect": np.array(["A", "B"])[dialect]}
    rows = pd.DataFrame(
        {"rater": [f"r{i // 3}" for i in range(n)]}
        | {
            f"{side}_{name}": np.take_along_axis(value, at, 1)[:, 0]
            for name, value in values.items()
            for side, at in sides.items()
        }
    )
    head = printed.splitlines()
    assert list(rows.columns) == head[0].split(",")
    (clone / "pairs.csv").write_text("\n".join([*head, *rows.to_csv(index=False, header=False).splitlines(), ""]))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page, tmp_path):
    clone = clean_clone(tmp_path / "clone")
    if blocks(page, "csv"):
        own_table(page, clone)
    for block in blocks(page, "sh"):
        if FETCHES not in block:
            run_block(block, clone)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("page", [page for page in PAGES if FETCHES in Path(ROOT, page).read_text("utf-8")])
def test_every_block_that_fetches_runs(page, tmp_path, real_data):
    """The published tables lie in the cache already, so that fetching them checks their content and asks nobody."""
    clone = clean_clone(tmp_path / "clone")
    for block in blocks(page, "sh"):
        for name in re.findall(rf"{FETCHES} (\w+)", block):
            for file in SETS[name].files:
                target = tmp_path / "cache" / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(real_data / file, target)
        if FETCHES in block:
            run_block(block, clone)


def test_stand_ins_stand_for_something():
    printed = "".join(block for page in PAGES for block in blocks(page, "sh"))
    assert all(printed.count(command) == 1 for command in STAND_INS)
    assert len(blocks("README.md", "sh")) >= 5


@pytest.mark.parametrize("words", [["install", "-e", ".[nothing]"], ["install", "-e", "faro"], ["install", "."]])
def test_what_cannot_be_installed_is_found(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    installable(["install", "-e", ".[sklearn]"])
    with pytest.raises(SystemExit):
        installable(words)


def test_a_block_that_fails_is_found(tmp_path):
    with pytest.raises(AssertionError, match="ended with 3"):
        run_block("true\n(exit 3)\ntrue\n", tmp_path)
