"""Which methods are compared, and which of them are simpler than others: names of models."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from .. import models
from ..errors import UsageError
from ..registry import find, make
from .names import AGGREGATE, CONSTANTS

MODEL_OF = {AGGREGATE: "linear"}
DEFAULT = (AGGREGATE, CONSTANTS, "mixed_logit")


def listed(names: Sequence[str] | None) -> list[str]:
    """The names of the methods, the simplest first: whatever is asked for, the aggregate is beside it.

    names: of models; "aggregate" is the linear one without anything of people. None: `DEFAULT`

    `UsageError` for one that stands twice.
    """
    asked = [AGGREGATE if name == MODEL_OF[AGGREGATE] else name for name in (DEFAULT if names is None else names)]
    if len(set(asked)) < len(asked):
        raise UsageError(f"models: one stands twice: {', '.join(asked)}")
    simple = [name for name in (AGGREGATE, CONSTANTS) if name in asked or name == AGGREGATE]
    return simple + [name for name in asked if name not in simple]


def simpler(name: str, names: Sequence[str]) -> list[str]:
    """Those that a method has to beat: the aggregate, and person constants.

    name: of the method
    names: of all
    """
    below = [other for other in (AGGREGATE, CONSTANTS) if other in names]
    return below[: below.index(name)] if name in below else below


def file_name(name: str) -> str:
    """What the folder of a method is called.

    name: of the method
    """
    return re.sub(r"[^\w.=]+", "-", name).strip("-.")


def model_of(name: str, support: int) -> models.Model:
    """The model of a method.

    name: of the method
    support: choices of a person that a model which reads any is given

    `UsageError` for a name that no package declares.
    """
    text = MODEL_OF.get(name, name)
    takes = inspect.signature(find("model", text.partition("(")[0])).parameters
    if "support" in takes and "support=" not in text:
        text = f"{text.removesuffix(')')}, support={support})" if "(" in text else f"{text}(support={support})"
    made = make("model", text)
    if not isinstance(made, models.Model):
        raise UsageError(f"model {name!r}: expected a faro.models.Model, got {type(made).__name__}")
    return made
