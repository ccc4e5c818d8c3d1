"""Names of the release before, for one release: `import faro.streaming` finds `faro.training.streaming`."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

MOVED = {
    "checkpoint": "runtime.checkpoint",
    "devices": "runtime.devices",
    "dominance": "evaluate.pareto",
    "envelopes": "exact.of_run",
    "estimator": "integrations.sklearn_classifier",
    "judge": "evaluate.trials",
    "newton": "training.unconstrained",
    "notions": "registry",
    "points": "certify.frontier",
    "pytest_plugin": "integrations.pytest_plugin",
    "settings": "training.settings",
    "solutions": "training.returned",
    "solved": "sweep.exact_path",
    "spelling": "units",
    "streaming": "training.streaming",
    "trained": "store.model",
    "uncertainty": "evaluate.bootstrap",
}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module by its old name, and says where it is now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return importlib.machinery.ModuleSpec(fullname, self) if package == "faro" and name in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """An empty module that answers for the one that moved, so that the latter keeps its own name."""
        now = f"faro.{MOVED[spec.name.partition('.')[2]]}"
        warnings.warn(f"{spec.name} is {now} now; the old name goes with the next release", FutureWarning, stacklevel=2)
        module = types.ModuleType(spec.name, f"The old name of `{now}`.")
        moved = importlib.import_module(now)
        module.__dict__.update({name: value for name, value in vars(moved).items() if not name.startswith("__")})
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is left to run."""


def old_name(module: str, name: str, renamed: Mapping[str, Any]) -> Any:
    """What an old name in a module stands for, with a `FutureWarning`; `AttributeError` for any other name.

    renamed: old name -> the object, which knows its new one
    """
    if name not in renamed:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    now = renamed[name].__name__
    message = f"{module}.{name} is {module}.{now} now; the old name goes with the next release"
    warnings.warn(message, FutureWarning, stacklevel=3)
    return renamed[name]


def find_old_names() -> None:
    """From now on modules are found by their old names too."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
