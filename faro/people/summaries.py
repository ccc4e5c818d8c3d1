"""What people chose before, in words: a table in which a text of each person stands in the context of every question.

    summariser   a callable: what one person chose earlier, as plain records -> a text. A language model is one
    table        the questions that support leaves (`faro.data.support`), with the text; what that is of is left out

So any model of texts reads people, under every constraint, and no summary is of a choice that is asked about, or of
another person. Who made the summaries is the column's name and stands in the schema, with a digest of them all: models,
tables and certificates carry it. Source: PLUS, arXiv 2507.13579, where the summariser is a language model that is
trained with the rewards; these are as they come (`faro.models.personal.plus` has one that is trained).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.columns import of_side
from ..data.schema import Schema
from ..data.specs import SummarySpec, TextSpec
from ..data.split import part_codes, uniform
from ..data.support import QUERY, SupportRule, roles, support_rows
from ..data.table import one_line
from ..data.values import absent
from ..errors import DataError, FaroError, UsageError
from ..text.words import WORD

UNWRITTEN = re.compile("[\0\ud800-\udfff]")  # what a text of a table cannot have: NUL, halves of surrogate pairs
NAME, SALT = "summary", "faro shuffled summaries 1"
Earlier = Mapping[str, Any]  # one earlier choice, see `records`
Summariser = Callable[[Sequence[Earlier]], str]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """What the chosen alternatives of a person have that the others have not, without a language model.

        score(trait) = sum over choices of sum over alternatives of (share chosen - 1 / alternatives) [has the trait]

    Traits are words of texts, levels, and "high" or "low" of a number (once a choice, by the sign of its slope). "likes
    cats, high price; not dogs, low price", the surest first; of equal ones the longest, then by the alphabet.

    words: traits that are liked, at most, >= 1
    against: traits that are not, at most, >= 0; vectors of texts hardly hear a "not"
    """

    words: int = 5
    against: int = 0

    def __post_init__(self):
        if self.words < 1 or self.against < 0:
            raise ValueError(f"expected words >= 1 and against >= 0, got {self.words} and {self.against}")

    def __call__(self, earlier: Sequence[Earlier]) -> str:
        scores: dict[str, float] = {}
        for choice in earlier:
            for trait, score in _traits(choice):
                scores[trait] = scores.get(trait, 0.0) + score
        said = []
        for word, sign, most in (("likes", 1, self.words), ("not", -1, self.against)):
            there = {trait: round(sign * score, 9) for trait, score in scores.items() if sign * score > 1e-9}
            order = sorted(there, key=lambda trait, of=there: (-of[trait], -len(trait), trait))  # type: ignore[misc]
            said += [f"{word} {', '.join(order[:most])}"] if order[:most] else []
        return "; ".join(said) or "nothing known"


def _traits(choice: Earlier) -> Iterator[tuple[str, float]]:
    alternatives, shares = choice["alternatives"], choice["chosen"]
    apart = [share - 1 / len(shares) for share in shares]
    for name in dict.fromkeys(name for alternative in alternatives for name in alternative):
        cells = [alternative.get(name) for alternative in alternatives]
        numbers = [cell for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool)]
        if numbers:
            mean = sum(numbers) / len(numbers)
            filled = [cell if isinstance(cell, int | float) else mean for cell in cells]
            slope = sum(weight * (cell - mean) for weight, cell in zip(apart, filled, strict=True))
            sign = math.copysign(1.0, slope) if abs(slope) > 1e-12 else 0.0
            yield f"high {name}", sign
            yield f"low {name}", -sign
            continue
        for cell, weight in zip(cells, apart, strict=True):
            if isinstance(cell, str):
                words = choice["texts"]
                for trait in {word.lower() for word in WORD.findall(cell)} if name in words else [f"{name} {cell}"]:
                    yield trait, weight


@dataclasses.dataclass(frozen=True)
class History:
    """The raw history, one choice after another: what was chosen, and over what. The control that says what a summary
    adds, or loses.

    most: choices at most, the first ones, >= 1
    """

    most: int = 10

    def __post_init__(self):
        if self.most < 1:
            raise ValueError(f"most: expected at least 1, got {self.most}")

    def __call__(self, earlier: Sequence[Earlier]) -> str:
        told = []
        for choice in earlier[: self.most]:
            best = max(range(len(choice["chosen"])), key=lambda at: choice["chosen"][at])
            said = [
                ", ".join(f'"{cell}"' if name in choice["texts"] else f"{name} {cell}" for name, cell in own.items())
                for own in choice["alternatives"]
            ]
            others = " or ".join(own or "nothing" for at, own in enumerate(said) if at != best)
            told.append(f"chose {said[best] or 'nothing'} over {others}")
        return "; ".join(told) or "nothing known"


def called(summariser: Any, place: str = "") -> str:
    """The name by which tables say who made summaries: of a dataclass its class and fields, of a function its place.

    summariser: any callable
    place: by which it was found, with options, for one that says neither

    `UsageError` for one without a name.
    """
    if dataclasses.is_dataclass(summariser) and not isinstance(summariser, type):
        fields = dataclasses.fields(summariser)
        options = ", ".join(f"{field.name}={getattr(summariser, field.name)!r}" for field in fields)
        kind = type(summariser)
        own = kind.__name__.lower() if kind.__module__ == __name__ else f"{kind.__module__}:{kind.__name__}"
        return f"{own}({options})"
    own = getattr(summariser, "__qualname__", "")
    if own and "<" not in own:
        return f"{summariser.__module__}:{own}"
    if not place:
        raise UsageError(
            f"summaries: tables say who made them, and a {type(summariser).__name__} that is neither a dataclass nor a "
            "function of a module has no name: say name=..."
        )
    return place


def records(data: Dataset, rows: Sequence[int]) -> list[dict[str, Any]]:
    """These choices as plain values, for a summariser.

    data: whose choices they are
    rows: indices, in their order

    Of each: `alternatives`, a dict of feature -> cell (numbers and texts as the table has them; {} is the outside
    option); `chosen`, the share of each, adding up to 1; `asked`, a dict of what the context says (the prompt of a text
    is there); `texts`, which features are texts and no levels.
    """
    schema, parsed = data.schema, data.parsed
    texts = [text for text in schema.texts if text.summary is None]
    own = {name: name for name in (*schema.numeric, *schema.categorical)}
    own |= {text.name: text.column or text.name for text in texts if not text.context}
    around = {name: name for name in (*schema.context_numeric, *schema.context_categorical)}
    around |= {text.name: text.column or text.name for text in texts if text.context}
    around |= {column: column for text in texts for column in text.beside}
    sides, levels = (
        schema.sides if schema.format == "wide" else ("",),
        {*schema.categorical, *schema.context_categorical},
    )

    def cells(row: int, side: str, names: Mapping[str, str]) -> dict[str, Any]:
        found = {name: of_side(data.frame, side, column) for name, column in names.items()}
        there = {name: data.frame[columns[0]].iloc[row] for name, columns in found.items() if columns}
        there = {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in there.items()}
        return {name: str(cell) if name in levels else cell for name, cell in there.items() if not absent(cell)}

    made = []
    for choice in rows:
        there = np.flatnonzero(parsed.available[choice])
        source, inside = parsed.source[choice], parsed.inside[choice]
        alternatives = [
            cells(int(source[at]), sides[at % len(sides)], own) if inside[at] else {} for at in there.tolist()
        ]
        chosen = [float(share) for share in parsed.chosen[choice, there]] if parsed.chosen is not None else []
        asked = cells(int(source[source >= 0][0]), "", around)
        of_texts = [text.name for text in texts]
        made.append({"alternatives": alternatives, "chosen": chosen, "asked": asked, "texts": of_texts})
    return made


def summarised(
    data: Dataset,
    summariser: Summariser | None = None,
    *,
    k: int = 5,
    name: str = "",
    shuffled: bool = False,
    form: str = "",
    encoder: str = "minilm",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """The questions that support leaves, with a summary of it, which models of texts read.

    data: whose column names people, and says what was chosen
    summariser: from what one person chose earlier, in order (`records`), to a text; None: `Contrast()`
    k: earlier choices of a person, at most; fewer, or none, where that leaves no question
    name: of the summariser, as tables say it; "": `called`
    shuffled: whether people are given the summary of somebody else, of the gate part or not of it as they are: the
        control that has to fall to what one reward reaches
    form: how a model reads it: "context", as a text of its own; of texts of alternatives also "times", as one whose
        vector theirs is multiplied by, number by number, beside their own, or "after", as what they are read after; "":
        times where there are such texts, else context
    encoder: that reads the summaries, a name or a folder
    progress: called with (done, total) people

    `DataError` for a summariser that fails or gives no text, and a table without people or labels.
    """
    summariser, rule = summariser or Contrast(), SupportRule(k, data.schema.order)
    if k < 1:
        raise UsageError(f"summaries: expected k >= 1, got {k}")
    if data.schema.summaries:
        raise UsageError(f"{data.name}: has summaries already ({', '.join(data.schema.summaries)})")
    made_of_rows = [spec.name for spec in data.schema.arrays if not spec.index]
    if made_of_rows:
        raise UsageError(f"{data.name}: array {made_of_rows[0]!r} is read by row, and rows are left out; give an index")
    by = (name or called(summariser)) + (", shuffled" if shuffled else "")
    column = f"{NAME}:{by}"
    if column in data.frame.columns:
        raise UsageError(f"{data.name}: a column {column!r} is there; leave it out")
    asked, told = roles(data, rule) == QUERY, support_rows(data, rule)
    codes, first = np.unique(data.unit_codes, return_index=True)
    texts: dict[int, str] = {}
    for done, code in enumerate(codes.tolist()):
        person, earlier = data.units[first[done]], records(data, told[code][told[code] >= 0].tolist())
        try:
            made = summariser(earlier)
        except (Exception, SystemExit) as error:  # somebody else's code
            if isinstance(error, FaroError):
                raise
            why = f"{type(error).__name__}: {one_line(error)}"
            raise DataError(f"{data.name}: summaries by {by}: the summariser failed of {person}: {why}") from error
        texts[code] = _text(made, by, data, int(first[done]))
        progress(done + 1, len(codes))
    if shuffled:
        texts = _shuffled(data, codes, first, texts)
    kept = np.flatnonzero(asked)
    source = data.parsed.source[kept]
    owner = np.broadcast_to(data.unit_codes[kept][:, None], source.shape)[source >= 0]
    rows, place = np.unique(source[source >= 0], return_index=True)
    frame = data.frame.iloc[rows].assign(**{column: [texts[code] for code in owner[place].tolist()]})
    frame = frame[[own for own in frame.columns if not own.endswith(":row") and ":row:" not in own]]
    schema = _schema(data, form, column, encoder, SummarySpec(by=by, k=k, order=data.schema.order))
    named = f"{data.name}, summaries by {by}"
    return Dataset.from_table(
        frame, schema, name=named, arrays=data.files, unit_rule=data.unit_rule, defaults=data.defaults, info=data.info
    )


def _schema(data: Dataset, form: str, column: str, encoder: str, summary: SummarySpec) -> Schema:
    given = data.declared or data.schema
    own = [text for text in given.texts if not text.context]
    form = form or ("times" if own else "context")
    if form == "context":
        text = TextSpec(name=NAME, column=column, context=True, encoder=encoder, summary=summary)
        return given.replace(texts=(*given.texts, text))
    if form not in ("times", "after") or not own:
        what = "a text of alternatives, which the table has not" if not own else "context, times or after"
        raise UsageError(f"{data.name}: form {form!r}: expected {what}")
    if form == "times":
        more = [
            dataclasses.replace(
                text, name=f"{text.name} and {NAME}", column=text.column or text.name, after="", times=column,
                without="", layers=0, summary=summary,
            )
            for text in own
        ]  # fmt: skip
        return given.replace(texts=(*given.texts, *more))
    if taken := [text.name for text in own if text.after or text.times]:
        raise UsageError(
            f"{data.name}: text {taken[0]!r} is read with another already; take form = 'context' or 'times'"
        )
    read = {text.name: dataclasses.replace(text, after=column, summary=summary) for text in own}
    return given.replace(texts=tuple(read.get(text.name, text) for text in given.texts))


def _text(said: Any, by: str, data: Dataset, row: int) -> str:
    who = str(data.units[row])[:40]
    if not isinstance(said, str) or not said.strip():
        raise DataError(f"{data.name}: summaries by {by}: expected a text of {who}, got {ascii(said)[:40]}")
    if strange := UNWRITTEN.search(said):
        raise DataError(f"{data.name}: summaries by {by}: the text of {who} has {strange[0]!a}, which no file keeps")
    return said.replace("\r\n", "\n").replace("\r", "\n").strip()  # as every file gives it back


def _shuffled(data: Dataset, codes: np.ndarray, first: np.ndarray, texts: Mapping[int, str]) -> dict[int, str]:
    """Everybody's the next one's, in an order of names by a hash, inside the gate part and outside of it."""
    gate = np.isin(data.parts(0)[first], part_codes("gate"))
    chance = uniform(SALT, [str(data.units[row]) for row in first])
    moved: dict[int, str] = {}
    for which in (gate, ~gate):
        order = codes[which][np.argsort(chance[which], kind="stable")].tolist()
        moved |= {code: texts[other] for code, other in zip(order, [*order[1:], *order[:1]], strict=True)}
    return moved
