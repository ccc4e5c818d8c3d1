"""Display names of constraints, "rate_cap(sex, of=mode=bus, within=age) + ...": models and runs of format 1 store no
more. A name has no options of the notion (scale, form, thresholds): what is read from it has the defaults.
"""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
ARGUMENTS = re.compile(r"(?P<attribute>.*?)(?:(?:^|, )of=(?P<of>.*?))?(?:(?:^|, )within=(?P<within>.*))?", re.DOTALL)


def read_title(title: str) -> list[dict[str, Any]]:
    """Of every part of a stack what its name says: `constraint`, and where it is named `attribute`, `of`, `within`."""
    return [_part(name) for name in re.split(r"(?<=\)) \+ (?=\w)|(?<=\w) \+ (?=\w+(?:\(|$))", title)]


def _part(name: str) -> dict[str, Any]:
    whole = NAME.fullmatch(name)
    if whole is None:
        return {"constraint": name}
    notion, tail = whole[1].removesuffix("_tail"), whole[1].endswith("_tail")
    arguments = ARGUMENTS.fullmatch(whole[2])
    assert arguments is not None  # every text is an attribute's name
    named = {key: value for key, value in arguments.groupdict().items() if value}
    return {"constraint": f"{notion}(tail=True)" if tail else notion, **named}
