"""Preference data as it ships (TRL's formats) as plain tables: prompt and answers in columns of their own.

    prompt, chosen, rejected         a pair; without a prompt two whole dialogues, which begin alike
    prompt, completion, label        an answer that was accepted or not
    prompt, completions, ranks       several answers and their ranks (1 is the best) or ratings (more is better)

Cells are texts, or lists of messages `{role, content}`. All further columns stay.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from faro.errors import DataError
from faro.text import dialogue

from .checks import RESERVED
from .schema import Schema
from .specs import AttributeSpec, TextSpec

ANSWERS = ("completions", "responses", "answers", "candidates")
ORDERS = {"ranks": 1, "ranking": 1, "ratings": -1, "scores": -1}  # 1: the smallest is the best
ANSWER, PROMPT_ID, CHOICE = "answer", "prompt_id", "choice_id"
FEW = 12  # levels at most of a further column that is an attribute
LENGTH = AttributeSpec(name="length", column=f"{ANSWER}_length", levels=("shorter", "longer"), others="exclude")
BY_PROMPT = "rows that share a prompt are one unit, for no column was named as the unit (the rater)"
BY_ROW = "every row is a unit, for there is no prompt and no column was named as the unit (the rater)"


class Recognised(NamedTuple):
    """A table of a known format: as a plain one, with a schema, and what to know of it."""

    frame: pd.DataFrame
    schema: Schema
    notes: tuple[str, ...]


def kind(frame: pd.DataFrame, labels: bool = True) -> str:
    """Which of the formats a table is in: "pairs", "unpaired", "ranked", or "".

    frame: with the columns as they ship
    labels: whether it says what was preferred; answers that are to be scored need not
    """
    columns = {*map(str, frame.columns)}
    if {"chosen", "rejected"} <= columns:
        return "pairs"
    if {"prompt", "completion"} <= columns and not (labels and "label" not in columns):
        return "unpaired"
    if "prompt" not in columns or not (names := _answers(frame)):
        return ""
    listed = isinstance(frame[names].iloc[0], list | np.ndarray)
    return "ranked" if _order(frame) or (listed and not labels) else ""


def labelled(frame: pd.DataFrame, label: str) -> bool:
    """Whether a table says what was preferred, in the column `label` or by ranks, which such a column is made of.

    frame: with the columns as they ship
    label: of a schema
    """
    return label in frame.columns or (label == "label" and kind(frame) == "ranked")


def _answers(frame: pd.DataFrame) -> str:
    return next((name for name in ANSWERS if name in frame.columns and CHOICE not in frame.columns), "")


def _order(frame: pd.DataFrame) -> str:
    return next((name for name in ORDERS if name in frame.columns), "")


def plain(frame: pd.DataFrame, where: str, labels: bool = True) -> pd.DataFrame:
    """The table with the columns `prompt`, `prompt_id` (a hash of it) and `answer` (of a pair `chosen_answer`,
    `rejected_answer`); one of no known format, or already so, is itself.

    frame: with the columns as they ship
    where: what messages call it
    labels: whether it says what was preferred

    `DataError` naming the row whose dialogue is none, or whose roles are out of order.
    """
    of = kind(frame, labels)
    if of == "pairs" and f"chosen_{ANSWER}" not in frame.columns:
        return _pairs(frame, where)
    if of == "unpaired" and ANSWER not in frame.columns:
        return _unpaired(frame, where)
    return _ranked(frame, where) if of == "ranked" else frame


def recognise(frame: pd.DataFrame, where: str) -> Recognised | None:
    """A table in one of the formats with the schema that its columns say, None for any other.

    frame: with the columns as they ship
    where: what messages call it

    The answer's text is the feature. Further columns of few levels are attributes, those of a side the alternative's,
    all others the chooser's; the length of an answer beside the other's is one too. The unit is the prompt.
    """
    of = kind(frame)
    if not of:
        return None
    frame = plain(frame, where)
    unit, note = (PROMPT_ID, BY_PROMPT) if PROMPT_ID in frame.columns else ("row", BY_ROW)
    texts = (TextSpec(name=ANSWER),)
    own = {
        "prompt",
        "chosen",
        "rejected",
        "completion",
        "label",
        "available",
        "margin",
        "weight",
        CHOICE,
        PROMPT_ID,
        ANSWER,
    }
    attributes = _attributes(frame, own | {*ANSWERS, *ORDERS}, sided=of == "pairs")
    named: dict[str, Any] = {"unit": unit, "texts": texts, "weight": "weight" if "weight" in frame.columns else ""}
    if of == "unpaired":
        schema = Schema(format="accept", label="label", attributes=attributes, **named)
    elif of == "pairs":
        margin = "margin" if "margin" in frame.columns else ""
        schema = Schema(format="wide", margin=margin, attributes=(LENGTH, *attributes), **named)
    else:
        named |= {"choice": (CHOICE,), "label": "label", "available": "available"}
        schema = Schema(format="long", attributes=(LENGTH, *attributes), **named)
    return Recognised(frame, schema, (note,))


def _attributes(frame: pd.DataFrame, own: set[str], sided: bool) -> tuple[AttributeSpec, ...]:
    """Further columns of two to FEW levels."""
    found: dict[str, tuple[bool, set[str]]] = {}
    for column in map(str, frame.columns):
        if column in own or column in RESERVED or ":" in column:
            continue
        name = column
        for mark in ("_", "."):
            for side in ("chosen", "rejected") if sided else ():
                name = name.removeprefix(side + mark).removesuffix(mark + side)
        of_side = name != column
        if name in (ANSWER, LENGTH.name) or (of_side and (name in own or name in RESERVED)):
            continue
        cells = frame[column].dropna()
        if cells.map(lambda cell: isinstance(cell, str | bool | np.bool_)).all() and cells.astype(str).nunique() <= FEW:
            levels = {str(cell).strip() for cell in cells} - {""}
            chooser, known = found.get(name, (not of_side, set()))
            found[name] = chooser, known | levels
    return tuple(
        AttributeSpec(name=name, levels=tuple(sorted(levels)), chooser=chooser, others="exclude")
        for name, (chooser, levels) in found.items()
        if 2 <= len(levels) <= FEW and all(len(level) <= 60 for level in levels)
    )


def _prompt_ids(prompts: list[dialogue.Side]) -> list[str]:
    texts = [dialogue.identity(dialogue.brief(prompt)) for prompt in prompts]
    return [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16] for text in texts]


def _with_prompts(frame: pd.DataFrame, prompts: list[dialogue.Side], **columns: list[Any]) -> pd.DataFrame:
    made: dict[str, list[Any]] = dict(columns)
    if any(map(bool, prompts)):
        made |= {"prompt": [dialogue.brief(prompt) for prompt in prompts], PROMPT_ID: _prompt_ids(prompts)}
    return frame.assign(**{name: pd.Series(cells, frame.index, object) for name, cells in made.items()})


def _pairs(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    prompts, chosen, rejected = [], [], []
    explicit = "prompt" in frame.columns
    for row, cells in enumerate(zip(frame["chosen"], frame["rejected"], strict=True), 1):
        at = f"{where}: row {row}"
        first, second = (
            dialogue.side(cell, f"{at}, {name}") for cell, name in zip(cells, ("chosen", "rejected"), strict=True)
        )
        if explicit:
            prompt = dialogue.side(frame["prompt"].iloc[row - 1], f"{at}, prompt")
        else:
            prompt, first, second = dialogue.separated(first, second, at)
        dialogue.checked(prompt, first, f"{at}, chosen")
        dialogue.checked(prompt, second, f"{at}, rejected")
        prompts.append(prompt)
        chosen.append(dialogue.brief(first))
        rejected.append(dialogue.brief(second))
    return _with_prompts(frame, prompts, **{f"chosen_{ANSWER}": chosen, f"rejected_{ANSWER}": rejected})


def _unpaired(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    prompts, answers = [], []
    for row, (asked, said) in enumerate(zip(frame["prompt"], frame["completion"], strict=True), 1):
        at = f"{where}: row {row}"
        prompt, answer = dialogue.side(asked, f"{at}, prompt"), dialogue.side(said, f"{at}, completion")
        dialogue.checked(prompt, answer, f"{at}, completion")
        prompts.append(prompt)
        answers.append(dialogue.brief(answer))
    columns: dict[str, list[Any]] = {ANSWER: answers}
    if "label" in frame.columns:
        columns["label"] = [int(cell) if isinstance(cell, bool | np.bool_) else cell for cell in frame["label"]]
    return _with_prompts(frame, prompts, **columns)


def _ranked(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """A row for every answer of every choice: who is ranked first among all, then among the rest, and so on. Those of
    one rank share their choice. Without ranks the answers of a row are one choice, and nobody knows which."""
    names, order = _answers(frame), _order(frame)
    if unranked := not order:
        order = next(iter(ORDERS))
        equal = [[1] * len(said) if isinstance(said, list | np.ndarray) else None for said in frame[names]]
        frame = frame.assign(**{order: pd.Series(equal, frame.index, object)})
    records: list[dict[str, Any]] = []
    kept = [name for name in frame.columns if name not in (names, order, "prompt")]
    for row, (asked, said, ranks) in enumerate(zip(frame["prompt"], frame[names], frame[order], strict=True), 1):
        at = f"{where}: row {row}"
        prompt = dialogue.side(asked, f"{at}, prompt")
        if not all(isinstance(cell, list | np.ndarray) for cell in (said, ranks)) or len(said) != len(ranks):
            raise DataError(f"{at}: expected as many {order} as {names}, each a list")
        answers = [dialogue.side(answer, f"{at}, {names}") for answer in said]
        for answer in answers:
            dialogue.checked(prompt, answer, f"{at}, {names}")
        try:
            places = np.asarray(ranks, float) * ORDERS[order]
        except (ValueError, TypeError):
            places = np.full(len(answers), np.nan)
        if not np.isfinite(places).all():
            raise DataError(f"{at}: expected {order} as numbers, got {ascii(list(ranks))[:40]}")
        for step, best in enumerate(np.unique(places)[: None if unranked else -1], 1):
            winners = places == best
            for number, answer in enumerate(answers):
                records.append(
                    {name: frame[name].iloc[row - 1] for name in kept}
                    | {"prompt": dialogue.brief(prompt), PROMPT_ID: _prompt_ids([prompt])[0]}
                    | {CHOICE: f"{row}/{step}", ANSWER: dialogue.brief(answer)}
                    | {"label": winners[number] / winners.sum(), "available": int(places[number] >= best)}
                )
    if not records:
        raise DataError(f"{where}: no row has two answers of different {order}")
    kept = [name for name in records[0] if not (unranked and name == "label")]
    return pd.DataFrame({name: pd.Series([record[name] for record in records], dtype=object) for name in kept})
