"""What can go wrong, each with the exit code that the `faro` command ends with. One line: expected, got, what to do.

`beside` keeps the errors of what only helps a reader away from a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")
# what code meets in a file that was written by it and changed since, where it relies on what it wrote
DAMAGE = (TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError, RecursionError)


class FaroError(Exception):
    """Base of every error that faro raises on purpose. `exit_code` is the command's."""

    exit_code = 70


class UsageError(FaroError, ValueError):
    """What was asked for cannot be: unknown name, impossible bound, immovable constraint. Exit code 2."""

    exit_code = 2


class DataError(FaroError, ValueError):
    """The data break a promise: missing column, unknown level, NaN, one group only, absent file. Exit code 5."""

    exit_code = 5


class NoProofError(FaroError, ArithmeticError):
    """A solver gave neither a result nor a reason why there is none; never a pass. Exit code 7."""

    exit_code = 7


class NotIndependentError(FaroError, ValueError):
    """The audit is not independent of training, of itself, or of earlier answers: leak, duplicate row, ledger. Exit
    code 6."""

    exit_code = 6


class UnprovedError(FaroError, ValueError):
    """A certificate that the checker cannot prove. Exit code 4."""

    exit_code = 4


class RefusedError(FaroError, ValueError):
    """What the stand-alone checker refuses, with the exit code that it gives."""

    def __init__(self, code: int, reason: object):
        super().__init__(f"refused ({code}): {reason}")
        self.exit_code = code


def beside(make: Callable[[], Made], otherwise: Callable[[str], Made]) -> Made:
    """What `make` gives, or what `otherwise` makes of the reason why it failed: for advice, notes, pictures and pages,
    which stand beside a result and never break it. A file that cannot be written is no advice: `OSError` is raised."""
    try:
        return make()
    except OSError:
        raise
    except Exception as error:
        return otherwise(str(error) if isinstance(error, FaroError) else f"{type(error).__name__}: {error}")
