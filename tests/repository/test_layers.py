"""Arrows between rooms point down only: imports are parsed, never run, so a lazy import counts as well.

The rooms and their levels are the table of docs/design.md. Rooms of level `any` may be imported by all of faro and
import the standard library alone; `alone` is imported by those who check certificates only; the package's `__init__`
may import everything, while nothing below imports it back (but for `__version__`).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.oracles.imports import imports

ROOT = Path(__file__).parents[2]


def rooms(page: str) -> dict[str, str]:
    """Room -> level, of the table under the heading Layers."""
    table = page.split("\n## Layers\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \|", table, re.M)
    return {room: level for level, names in rows for room in re.findall(r"`([\w.]+)`", names)}


ROOMS = rooms((ROOT / "docs" / "design.md").read_text("utf-8"))
LAYERS = {room: int(level) for room, level in ROOMS.items() if level.isdecimal()} | {"faro.__main__": 98, "faro": 99}
COMMON = tuple(room for room, level in ROOMS.items() if level == "any")
(ALONE,) = (room for room, level in ROOMS.items() if level == "alone")
CHECKERS = ("faro.cli", "faro.integrations")  # may import it
PRIVATE = "faro._moved"  # of the package's `__init__`

# Third-party packages that only these modules may import; every other package is free.
ONLY = {
    "cvxpy": {"faro.exact", "faro.certify"},
    "optax": {"faro.models", "faro.lagrangian", "faro.training", "faro.baselines", "faro.policies"},
    "matplotlib": {"faro.report"},
}
NEVER_REACHED_BY_REPORT = {"jax", "jaxlib", "cvxpy", "optax", "flax", "constraints"}


def unit(name: str) -> str:
    """The unit of the layering that a dotted name belongs to: `constraints`, `faro.<module>`, `faro`, or a package."""
    head, _, rest = name.partition(".")
    if head != "faro" or not rest:
        return head
    child = f"faro.{rest.split('.')[0]}"
    known = child in LAYERS or child in (*COMMON, ALONE)
    return child if known or (ROOT / "faro" / rest.split(".")[0]).with_suffix(".py").exists() else "faro"


def complaints(sources: dict[str, str]) -> list[str]:
    """What is wrong with the arrows between these sources, path relative to the root -> text."""
    wrong, reached = [], {}
    for path, source in sources.items():
        parts = Path(path).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        own = module if module == "faro" else "constraints" if parts[0] == "constraints" else f"faro.{parts[1]}"
        if own not in (*LAYERS, *COMMON, ALONE, PRIVATE):
            wrong.append(f"{path}: new room, give it a level in the table of docs/design.md")
            continue
        names = imports(source, module, is_package) - {"faro.__version__"}
        targets = {unit(name) for name in names} - {own, "__future__"}
        reached[module] = names
        for target in sorted(targets):
            if own in (*COMMON, ALONE, PRIVATE):
                if target not in sys.stdlib_module_names:
                    wrong.append(f"{path}: {own} may import the standard library only, not {target}")
            elif target in ONLY and own not in ONLY[target]:
                wrong.append(f"{path}: {target} belongs in {', '.join(sorted(ONLY[target]))}, not in {own}")
            elif target == ALONE and own not in CHECKERS:
                wrong.append(f"{path}: {ALONE} is a stranger to all but {', '.join(CHECKERS)}")
            elif target in LAYERS and LAYERS[target] >= LAYERS[own]:
                way = "sideways" if LAYERS[target] == LAYERS[own] else "upward"
                wrong.append(f"{path}: {way} arrow {own} -> {target}")
            elif own == "constraints" and target in (*COMMON, ALONE):
                wrong.append(f"{path}: constraints never imports faro")
    return wrong + [f"faro.report reaches {name}" for name in sorted(_closure(reached) & NEVER_REACHED_BY_REPORT)]


def _closure(reached: dict[str, set[str]]) -> set[str]:
    """Everything that modules of the report import, directly or through modules of ours: these, and other packages."""
    seen: set[str] = set()
    waiting = {module for module in reached if module.split(".")[:2] == ["faro", "report"]}
    while waiting:
        steps = [name.split(".") for name in reached.get(waiting.pop(), ())]
        prefixes = {".".join(path[:length]) for path in steps for length in range(1, len(path) + 1)} - {"faro"}
        targets = {name for name in prefixes if name in reached or "." not in name} - seen
        seen |= targets
        waiting |= targets
    return seen


def test_arrows_point_down():
    files = [file for folder in ("constraints", "faro") for file in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    assert not complaints({str(file.relative_to(ROOT)): file.read_text() for file in files})


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("constraints/_rate.py", "from faro.errors import DataError", "constraints never imports faro"),
        ("constraints/_rate.py", "def f():\n    import cvxpy", "cvxpy belongs in"),
        ("faro/data/table.py", "from ..models import linear", "sideways arrow faro.data -> faro.models"),
        ("faro/data/table.py", "from faro import train", "upward arrow faro.data -> faro"),
        ("faro/data/table.py", "import importlib\nimportlib.import_module('faro.sweep')", "upward arrow"),
        ("faro/exact/head.py", "from .. import training", "upward arrow faro.exact -> faro.training"),
        ("faro/certify/cells.py", "if TYPE_CHECKING:\n    from ..exact import mix", "sideways"),
        ("faro/report/_run.py", "import jax", "faro.report reaches jax"),
        ("faro/report/_page.py", "from ..metrics import ece\n", "faro.report reaches jax"),
        ("faro/verify.py", "import numpy", "standard library only"),
        ("faro/verify.py", "from .errors import DataError", "standard library only"),
        ("faro/errors.py", "import numpy", "standard library only"),
        ("faro/sweep/run.py", "from ..verify import check", "stranger to all"),
        ("faro/novelty.py", "", "new room, give it a level"),
    ],
)
def test_planted_arrow_is_found(path, source, expected):
    planted = {"faro/metrics.py": "import jax", path: source}
    assert any(expected in text for text in complaints(planted)), complaints(planted)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("faro/data/table.py", "from ..errors import DataError\nfrom constraints import Choices\nfrom . import schema"),
        ("faro/sweep/run.py", "from .. import training, exact, certify\nfrom faro import __version__, data"),
        ("faro/cli/outputs.py", "import faro.verify\nfrom ..report import write_report"),
        ("faro/__init__.py", "from .training import train as train"),
        ("faro/report/_plots.py", "import matplotlib\nfrom ..errors import DataError"),
    ],
)
def test_allowed_arrow_passes(path, source):
    assert not complaints({path: source})
