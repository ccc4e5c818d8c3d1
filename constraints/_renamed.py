"""Names of the release before, for one release: `constraints.Hard` is `constraints.Argmax`."""

from __future__ import annotations

import warnings
from typing import Any

from . import _outcome


def read(reading: _outcome.DecisionRule, *args: Any, **named: Any) -> _outcome.Outcome:
    """The old name of `constraints.decide`, whose rule was called a reading."""
    return _outcome.decide(reading, *args, **named)


OLD: dict[str, tuple[str, Any]] = {
    "Soft": ("Softmax", _outcome.Softmax),
    "Hard": ("Argmax", _outcome.Argmax),
    "Policy": ("KLTilted", _outcome.KLTilted),
    "Reading": ("DecisionRule", _outcome.DecisionRule),
    "read": ("decide", read),
}


def old_name(name: str) -> Any:
    """What an old name stands for, with a `FutureWarning` that says the new one; `AttributeError` for any other."""
    if name not in OLD:
        raise AttributeError(f"module 'constraints' has no attribute {name!r}")
    new, found = OLD[name]
    message = f"constraints.{name} is constraints.{new} now; the old name goes with the next release"
    warnings.warn(message, FutureWarning, stacklevel=3)
    return found
