"""Any text as Markdown or YAML that shows it and does nothing else: no markup, no HTML, no second line."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any


def plain(value: Any) -> str:
    """Text of one line; web addresses stay links."""
    words = str(value).split()
    return " ".join(word if re.fullmatch(r"https?://[\w./%=~-]+", word) else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    return html.escape(re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", word), quote=False)


def quoted(value: Any) -> str:
    """A scalar of YAML: JSON's double quotes, with everything escaped that YAML does not print."""
    text = json.dumps(str(value), ensure_ascii=False)
    return "".join(character if character.isprintable() else f"\\U{ord(character):08x}" for character in text)


def fenced(text: str, kind: str) -> str:
    """A block of code whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def grid(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [[plain(cell) for cell in line] for line in (head, *rows)]
    marks = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], marks, *lines[1:]))


def listed(lines: Iterable[str]) -> str:
    """A list, a line each."""
    return "\n".join(f"- {plain(line)}" for line in lines)


def pairs(facts: dict[str, Any]) -> str:
    """A list of names with their values, without those that have none."""
    return listed(f"{name}: {value}" for name, value in facts.items() if value)
