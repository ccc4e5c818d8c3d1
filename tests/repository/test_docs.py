"""The documentation is tried out: Python runs, commands parse, schemas read their tables, links resolve, no big claims.

Blocks ```python of one page run in order and share a namespace; ```python no-run needs a first line `# not run: why`.
A ```toml block with a `unit` is a schema; a ```csv block right before it is a table that it must read.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
import types
from pathlib import Path

import pytest

from faro import cli
from faro.data import Dataset, Schema
from tests.builders import encoders
from tests.builders.drawn import draw

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PROSE = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.M | re.S)
MACHINE = re.compile(
    r"(?<![\w./~$-])/(?:work|tmp|home|root|mnt|opt|srv|Users|private|usr/local)/|\bfile://|\blocalhost\b"
)
CLAIMS = re.compile(r"(?<![\w-])(fair|fairer|fairly|unbiased|de-?biased|guarantee[sd]?|bias-free)(?![\w-])", re.I)
QUOTED = re.compile(r'"[^"\n]{0,30}"')  # the words themselves, as those not to use
DRAWN = ("models", "losses")  # pages on how plug-ins are written: end_to_end/test_package.py trains such ones
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """(line, info string, text) of the fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [(text.count("\n", 0, m.start()) + 2, m[1].strip(), m[2]) for m in BLOCK.finditer(text)]


def commands(page: Path) -> list[tuple[int, list[str]]]:
    """(line, words) of every command in ```console and ```sh blocks, without prompts, variables and redirections."""
    found = []
    for line, info, text in blocks(page):
        if info.split()[:1] not in (["console"], ["sh"]):
            continue
        for offset, command in enumerate(text.replace("\\\n", "  ").splitlines()):
            words = shlex.split(command.removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            end = next((i for i, word in enumerate(words) if word in (">", "|", "&&", ";")), len(words))
            if words:
                found.append((line + offset, words[:end]))
    return found


def claims(text: str) -> list[str]:
    """Words that claim more than was measured; the words in quotation marks are talked about, not claimed."""
    return [match[0] for match in CLAIMS.finditer(QUOTED.sub('""', text))]


def headings(page: Path) -> set[str]:
    """Anchors of a page."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ +(.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_there_is_something_to_try():
    kinds = [info for page in PAGES for _, info, _ in blocks(page)]
    assert len(PAGES) >= 8
    assert kinds.count("python") >= 10
    assert sum(len(commands(page)) for page in PAGES) >= 10


@pytest.mark.slow
@each_page
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType(f"docs_{page.stem.lower()}")  # importable, so that classes of the page can be pickled
    monkeypatch.setitem(sys.modules, module.__name__, module)
    if page.stem in DRAWN:
        draw(monkeypatch)
    for line, info, text in blocks(page):
        if info == "python no-run":
            assert text.startswith("# not run: "), f"{page.name}:{line}: say why it is not run"
        elif info.startswith("python"):
            assert info == "python", f"{page.name}:{line}: unknown marker {info!r}"
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), module.__dict__)


@each_page
def test_commands_parse(page, capsys):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for line, (name, *words) in commands(page):
        where = f"{page.name}:{line}"
        if name == "make":
            goals = [word for word in words if "=" not in word]
            assert set(goals) <= targets, f"{where}: no target {goals}"
            assert {word.split("=")[0] for word in words if "=" in word} <= {"PYTHON", "DATA", "OUT", "ARGS"}, where
        elif name == "faro":
            try:
                cli._parser().parse_args(words)
            except SystemExit as end:
                assert not end.code, f"{where}: {capsys.readouterr().err}"


@each_page
def test_schemas_read_their_tables(page, tmp_path, monkeypatch):
    monkeypatch.setenv("FARO_CACHE", str(tmp_path))  # texts are read by an encoder of random weights
    encoders.install(tmp_path)
    before = ""
    for line, info, text in blocks(page):
        if info == "toml" and "unit" in (values := tomllib.loads(text)):
            schema = Schema.from_dict(values)
            if before:
                (tmp_path / "table.csv").write_text(before, "utf-8")
                assert Dataset.from_table(tmp_path / "table.csv", schema).n > 0, f"{page.name}:{line}"
        before = text if info == "csv" else ""


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_links_resolve(page):
    text = BLOCK.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{page.name}: no {target}"
        assert ROOT in (place, *place.parents), f"{page.name}: {target} leaves the repository"
        if anchor:
            assert anchor in headings(place), f"{page.name}: no heading {target}"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_house_language(page):
    text = page.read_text("utf-8")
    assert not claims(text), f"{page.name}: claims {claims(text)}; say what was measured, on whom"
    assert not (found := MACHINE.findall(text)), f"{page.name}: a path of one machine: {found}"
    named = os.environ.get("FARO_DATA", "")
    assert not (named.startswith("/") and named in text), f"{page.name}: names this machine's data folder"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("This model is fair.", ["fair"]),
        ("an unbiased reward, guaranteed", ["unbiased", "guaranteed"]),
        ("a debiased or de-biased model", ["debiased", "de-biased"]),
        ('never "fair", "unbiased" or "guaranteed"', []),
        ("the accuracy-fairness frontier against fairlearn", []),
        ("biased annotators penalise a dialect", []),
    ],
)
def test_claims_are_found(text, found):
    assert claims(text) == found


def test_a_wrong_command_is_found():
    with pytest.raises(SystemExit):
        cli._parser().parse_args(["frontier", "--dta", "demo"])
