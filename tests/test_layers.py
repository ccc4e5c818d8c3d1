"""Arrows between modules point down only: imports are parsed, never run, so a lazy import counts as well.

    5  cli        estimator    pytest_plugin
       api        show
    4  report                          plain records in; no jax, no cvxpy
       streaming
    3  sweep      policy      uncertainty, then baselines
       judge
    2  training   exact     certify    trained; strangers to each other
    1  data       models    lagrangian    metrics    notions    checkpoint
       devices
    0  constraints                     never imports faro

`errors`, `files` and `spelling` may be imported by all of faro; `verify` imports the standard library alone; the
package's `__init__` may import everything, while nothing below imports it back (but for `__version__`).
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = {  # a half is a step between two levels
    "constraints": 0, "faro.locks": 0.25, "faro.devices": 0.5, "faro.parquet": 0.5,
    "faro.data": 1, "faro.models": 1, "faro.lagrangian": 1, "faro.metrics": 1, "faro.notions": 1, "faro.checkpoint": 1,
    "faro.titles": 1, "faro.specification": 1.25,
    "faro.settings": 1, "faro.newton": 1.5, "faro.notes": 1,
    "faro.training": 2, "faro.exact": 2, "faro.certify": 2, "faro.trained": 2, "faro.judge": 2.5,
    "faro.solved": 2.5, "faro.solutions": 2.25, "faro.dominance": 1, "faro.uncertainty": 3, "faro.baselines": 3.25,
    "faro.sweep": 3, "faro.policy": 3, "faro.streaming": 3.5,
    "faro.scored": 2.5, "faro.statements": 1, "faro.drafts": 3, "faro.masses": 1.5,
    "faro.report": 4, "faro.points": 3, "faro.rescored": 3, "faro.envelopes": 3, "faro.api": 4.5, "faro.show": 4.5,
    "faro.cli": 5, "faro.estimator": 5, "faro.pytest_plugin": 5, "faro.__main__": 6,
    "faro": 7,
}  # fmt: skip
COMMON = ("faro.errors", "faro.files", "faro.spelling")
ALONE = "faro.verify"
CHECKERS = ("faro.cli", "faro.pytest_plugin")  # may import it

# Third-party packages that only these modules may import; every other package is free.
ONLY = {
    "cvxpy": {"faro.exact", "faro.certify"},
    "optax": {
        "faro.models",
        "faro.lagrangian",
        "faro.training",
        "faro.sweep",
        "faro.policy",
        "faro.estimator",
        "faro.baselines",
    },
    "matplotlib": {"faro.report"},
}
NEVER_REACHED_BY_REPORT = {"jax", "jaxlib", "cvxpy", "optax", "flax", "orbax", "constraints"}


def imports(source: str, module: str, is_package: bool) -> set[str]:
    """Absolute dotted names that the source imports; `from a import b` gives a.b, `import_module("a")` gives a."""
    found = set()
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            stem = ".".join([*base, *(node.module.split(".") if node.module else [])])
            found |= {f"{stem}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


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
        if own not in LAYERS and own not in (*COMMON, ALONE):
            wrong.append(f"{path}: new module, give it a layer in tests/test_layers.py")
            continue
        names = imports(source, module, is_package) - {"faro.__version__"}
        targets = {unit(name) for name in names} - {own, "__future__"}
        reached.setdefault(own, set()).update(targets)
        for target in sorted(targets):
            if own in (*COMMON, ALONE):
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
    """Everything that the report imports, directly or through modules of ours."""
    seen: set[str] = set()
    waiting = {"faro.report"}
    while waiting:
        targets = reached.get(waiting.pop(), set()) - seen
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
        ("faro/training.py", "from . import exact", "sideways arrow faro.training -> faro.exact"),
        ("faro/certify.py", "if TYPE_CHECKING:\n    from .training import train", "sideways"),
        ("faro/report.py", "import jax", "faro.report reaches jax"),
        ("faro/report/page.py", "from ..metrics import ece\n", "faro.report reaches jax"),
        ("faro/verify.py", "import numpy", "standard library only"),
        ("faro/verify.py", "from .errors import DataError", "standard library only"),
        ("faro/errors.py", "import numpy", "standard library only"),
        ("faro/sweep.py", "from .verify import check", "stranger to all"),
        ("faro/novelty.py", "", "new module, give it a layer"),
    ],
)
def test_planted_arrow_is_found(path, source, expected):
    planted = {"faro/metrics.py": "import jax", path: source}
    assert any(expected in text for text in complaints(planted)), complaints(planted)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("faro/data/table.py", "from ..errors import DataError\nfrom constraints import Choices\nfrom . import schema"),
        ("faro/sweep.py", "from . import training, exact, certify\nfrom faro import __version__, data"),
        ("faro/cli.py", "import faro.verify\nfrom .report import write_report"),
        ("faro/__init__.py", "from .training import train as train"),
        ("faro/report.py", "import matplotlib\nfrom .errors import DataError"),
    ],
)
def test_allowed_arrow_passes(path, source):
    assert not complaints({path: source})
