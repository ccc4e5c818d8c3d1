"""Names of the release before, for one release: `constraints.Hard` is `constraints.Argmax`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from . import _outcome

OLD = {
    "Soft": "Softmax",
    "Hard": "Argmax",
    "Policy": "KLTilted",
    "Reading": "DecisionRule",
    "read": "decide",
    "reach": "attainable_range",
    "Reach": "AttainableRange",
    "SMALL": "FEW_UNITS",
    "pieces": "statistics_of_parts",
}
METHODS = {"evidence": "certifiable_as", "slots": "events_of_cells", "decided": "decision_values"}  # of constraints


def read(reading: _outcome.DecisionRule, *args: Any, **named: Any) -> _outcome.Outcome:
    """The old name of `constraints.decide`, whose rule was called a reading."""
    return _outcome.decide(reading, *args, **named)


def old_name(name: str) -> Any:
    """What an old name stands for, with a `FutureWarning` that says the new one; `AttributeError` for any other."""
    if name not in OLD:
        raise AttributeError(f"module 'constraints' has no attribute {name!r}")
    _warn(f"constraints.{name}", f"constraints.{OLD[name]}")
    return read if name == "read" else getattr(sys.modules[__package__], OLD[name])


def old_method(old: str) -> Callable[..., Any]:
    """A method of an old name, which does what the new one does of the first class that has it by the new name."""
    new = METHODS[old]

    def method(self: Any, *args: Any) -> Any:
        _warn(f"{type(self).__name__}.{old}", new)
        kinds = (vars(kind) for kind in type(self).__mro__)
        return next(kind[new] for kind in kinds if new in kind and kind[new] is not kind.get(old))(self, *args)

    method.__name__, method.__doc__ = old, f"The old name of `{new}`.\n\nargs: as of the new one\n"
    return method


def take_old_methods(kind: type) -> None:
    """What a constraint of somebody's own says by old names of methods is said by the new ones too."""
    for old, new in METHODS.items():
        if old in vars(kind) and new not in vars(kind):
            _warn(f"{kind.__name__}.{old}", new)
            setattr(kind, new, vars(kind)[old])


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is {new} now; the old name goes with the next release", FutureWarning, stacklevel=4)
