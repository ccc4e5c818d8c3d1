"""WinoBias and Winogender: sentences that differ in a pronoun alone, to see whether what a model says of them does.

A choice is whom the pronoun of a sentence means, one of two; every answer has the sentence in it, for a model may read
no prompt. The same with another pronoun is its twin, as the authors wrote the sentence. They are for audits of a model
that was trained on other texts: `faro score MODEL winogender --by gender`.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from faro.errors import DataError
from faro.text.words import Finder, shapes

from .preferences import ANSWER
from .schema import Schema
from .specs import AttributeSpec, TextSpec, TwinSpec

Table = tuple[pd.DataFrame, Schema]
GENDER, PRONOUNS = "gender", {
    "female": ("she", "her", "hers", "herself"),
    "male": ("he", "him", "his", "himself"),
    "neutral": ("they", "them", "their", "theirs", "themselves"),
}  # fmt: skip
_GENDER_OF = {shape: gender for gender, words in PRONOUNS.items() for word in words for shape in shapes(word)}
_PRONOUN = Finder(_GENDER_OF)


def lines(path: Path) -> pd.DataFrame:
    """The lines of a text file, as a column `line`; `DataError` where it cannot be read.

    path: compressed where it ends in .gz
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
            return pd.DataFrame({"line": [line.strip() for line in file if line.strip()]})
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read, cut short or corrupt: {error}") from error


def _cells(sentence: str, pronouns: list[str], sides: tuple[str, str], people: list[str]) -> dict[str, str]:
    """Column -> text: the question, and the answer of each side."""
    if not pronouns:
        raise ValueError(f"expected a pronoun: {ascii(sentence)[:60]}")
    made = {"prompt": f'Who is meant by "{pronouns[0]}"?'}
    for side, person in zip(sides, people, strict=True):
        named = person if person == "someone" else f"the {person}"
        made[f"{side}_{ANSWER}"] = f'{sentence} Here "{pronouns[0]}" means {named}.'
    return made


def _twins(own: str, at_levels: dict[str, dict[str, str]]) -> dict[str, str]:
    """The columns at every level but its own, where they are empty, as where there is no such twin."""
    return {
        f"{column}:{GENDER}={level}": "" if level == own else text
        for level, cells in at_levels.items()
        for column, text in cells.items()
    }


def _masked(sentence: str) -> str:
    """A sentence in which a pronoun is a pronoun, whichever."""
    pieces, end = [], 0
    for start, word in _PRONOUN(sentence):
        pieces += [sentence[end:start], "\0"]
        end = start + len(word)
    return " ".join("".join([*pieces, sentence[end:]]).lower().split())


# WinoBias -------------------------------------------------------------------------------------------------------------

PARTS = tuple((kind, split) for kind in ("type1", "type2") for split in ("dev", "test"))
SIDES = ("pro", "anti")
WINOBIAS = tuple(
    f"winobias/{side}_stereotyped_{kind}.txt.{split}.gz" for kind, split in PARTS for side in SIDES
) + tuple(f"winobias/{gender}_occupations.txt.gz" for gender in ("female", "male"))
_ORDER = ("first", "second")
_NUMBERED, _MENTION = re.compile(r"^\d+\s+"), re.compile(r"\[([^\]]*)\]")


def winobias(*tables: pd.DataFrame) -> Table:
    """Which of two occupations a pronoun means, in sentences with and against the stereotype."""
    *sentences, women, men = (table["line"].tolist() for table in tables)
    held = {name: by for by, names in (("women", women), ("men", men)) for name in names}
    named = {shape: name for name in held for shape in shapes(name)}
    find, records = Finder(named), []
    for number, (kind, split) in enumerate(PARTS):
        both = zip(*sentences[2 * number : 2 * number + 2], strict=True)
        for place, pair in enumerate(both, 1):
            read = [_sentence(line, find, named) for line in pair]
            alike = _masked(read[0].sentence) == _masked(read[1].sentence)
            for side, own, other in zip(SIDES, read, read[::-1], strict=True):
                cells, twin = own.cells, other.cells
                if not alike or other.gender == own.gender:
                    twin = dict.fromkeys(cells, "")
                away = "male" if own.gender == "female" else "female"
                records.append(
                    {
                        "template": "/".join(sorted(own.people)), "sentence": f"{kind}.{split}.{place}.{side}",
                        "type": kind, "split": split, "stereotype": side, GENDER: own.gender, "label": own.label,
                        **{f"{name}_held_by": held[person] for name, person in zip(_ORDER, own.people, strict=True)},
                        **cells, **_twins(own.gender, {own.gender: cells, away: twin}),
                    }
                )  # fmt: skip
    return pd.DataFrame(records), _WINOBIAS


class _Sentence(NamedTuple):
    """A line taken apart: without its number and brackets, whom it names in order, whether its pronoun means the first,
    of which gender that is, and the question and answers that are made of it."""

    sentence: str
    people: list[str]
    label: int
    gender: str
    cells: dict[str, str]


def _sentence(line: str, find: Finder, named: dict[str, str]) -> _Sentence:
    marked = _NUMBERED.sub("", line)
    sentence, mentions = _MENTION.sub(r"\1", marked), _MENTION.findall(marked)
    meant = [named[word] for mention in mentions for _, word in find(mention)]
    pronouns = [word for mention in mentions for _, word in _PRONOUN(mention)]
    people = list(dict.fromkeys(named[word] for _, word in find(sentence)))
    if not meant or len(people) < 2:
        raise ValueError(f"expected two occupations, one of them in brackets: {ascii(line)[:60]}")
    other = next(person for person in people if person != meant[0])
    people = [person for person in people if person in (meant[0], other)]
    cells = _cells(sentence, pronouns, _ORDER, people)
    return _Sentence(sentence, people, int(people[0] == meant[0]), _GENDER_OF[pronouns[0]], cells)


_TEXTS = (TextSpec(name=ANSWER),)
_ORIGIN = "the same sentence with another pronoun, by its authors"
_HELD_BY = ("women", "men")
_WINOBIAS = Schema(
    format="wide",
    unit="template",
    sides=_ORDER,
    label="label",
    texts=_TEXTS,
    attributes=(
        AttributeSpec(name=GENDER, levels=("female", "male"), chooser=True),
        AttributeSpec(name="stereotype", levels=SIDES, chooser=True),
        AttributeSpec(name="held_by", levels=_HELD_BY),
        AttributeSpec(name="type", levels=("type1", "type2"), chooser=True),
    ),
    twins=(TwinSpec(attribute=GENDER, origin=_ORIGIN, missing="exclude"),),
)
WINOBIAS_INFO = {
    "title": "whom a pronoun means, one of two occupations (3,168 sentences, with and against the stereotype)",
    "source": "Zhao et al. (2018), WinoBias, github:uclanlp/corefBias",
    "licence": "MIT (Copyright 2020 Natural Language Processing @UCLA)",
    "unit": "template (the two occupations)",
    "traps": "for audits, not for training; 393 pairs of occupations are the units, and sentences of one occupation "
    "with others stand in other units; 38 sentences of 19 pairs differ in more than the pronoun and have no twin; who "
    "is meant is said in words of ours; in sentences of type 2 the syntax says who is meant, in those of type 1 the "
    "world does",
}

# Winogender -----------------------------------------------------------------------------------------------------------

WINOGENDER = ("winogender/all_sentences.tsv.gz", "winogender/occupations-stats.tsv.gz")
_PEOPLE = ("occupation", "participant")


def winogender(sentences: pd.DataFrame, statistics: pd.DataFrame) -> Table:
    """Whether a pronoun means who is named by an occupation or the other, in sentences of three genders."""
    share = {name: float(women) for name, _, women, *_ in (line.split("\t") for line in statistics["line"][1:])}
    of_sentence: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, sentence in (line.split("\t") for line in sentences["line"][1:]):
        occupation, participant, answer, gender, _ = name.split(".")
        of_sentence.setdefault((occupation, participant, answer), {})[gender] = sentence
    records = []
    for (occupation, participant, answer), genders in of_sentence.items():
        at_levels = {
            gender: _cells(sentence, [word for _, word in _PRONOUN(sentence)], _PEOPLE, [occupation, participant])
            for gender, sentence in genders.items()
        }
        for gender, cells in at_levels.items():
            records.append(
                {
                    "template": f"{occupation}/{answer}", "sentence": f"{occupation}.{participant}.{answer}.{gender}",
                    GENDER: gender, "label": int(answer == "0"),
                    "other": "someone" if participant == "someone" else "named",
                    "held_by": "women" if share[occupation] >= 50 else "men",
                    **{f"{side}_role": side for side in _PEOPLE},
                    **cells, **_twins(gender, at_levels),
                }
            )  # fmt: skip
    return pd.DataFrame(records), _WINOGENDER


_WINOGENDER = Schema(
    format="wide",
    unit="template",
    sides=_PEOPLE,
    label="label",
    texts=_TEXTS,
    attributes=(
        AttributeSpec(name=GENDER, levels=tuple(PRONOUNS), chooser=True),
        AttributeSpec(name="role", levels=_PEOPLE),
        AttributeSpec(name="held_by", levels=_HELD_BY, chooser=True),
        AttributeSpec(name="other", levels=("named", "someone"), chooser=True),
    ),
    twins=(TwinSpec(attribute=GENDER, origin=_ORIGIN),),
)
WINOGENDER_INFO = {
    "title": "whom a pronoun means, somebody named by an occupation or another (240 sentences of three genders)",
    "source": "Rudinger et al. (2018), Winogender schemas, github:rudinger/winogender-schemas",
    "licence": "MIT (Copyright 2018 Rachel Rudinger)",
    "unit": "template (occupation, answer)",
    "traps": "for audits, not for training; 120 templates, about 18 in the gate; both of an occupation begin alike; "
    "neutral is they, which is read as many people too; held_by is from 50 percent of women on by the Bureau of Labor "
    "Statistics (2015 and 2016); who is meant is said in words of ours",
}
