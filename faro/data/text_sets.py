"""The registered sets of text: their published tables made into prompts, answers and a schema."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .preferences import LENGTH
from .schema import AttributeSpec, Schema, TextSpec

Table = tuple[pd.DataFrame, Schema]
TOPICS = ("campus_protests", "foreign_intervention", "right_to_assemble")
POLARIZED = tuple(
    f"polarized-issues/{name}.csv.gz" for name in ("preferences", "thoughts", *(f"participants_{t}" for t in TOPICS))
)
POLITICS = {
    "Democrat": "left", "Very liberal": "left", "Slightly liberal": "left",
    "Independent/Other": "middle", "Other/Independent": "middle", "Moderate": "middle",
    "Republican": "right", "Slightly conservative": "right", "Very conservative": "right",
}  # fmt: skip
VOTES = {"Thought A": "1", "Thought B": "0"}


def polarized_issues(votes: pd.DataFrame, thoughts: pd.DataFrame, *participants: pd.DataFrame) -> Table:
    """Which of two answers to a question a participant agrees with more; votes that are no choice are left out."""
    people = pd.concat([_participant(table) for table in participants]).set_index("participant")
    texts = thoughts.set_index("thought")
    votes = votes[
        votes["vote"].isin(VOTES) & votes["thought_a"].isin(texts.index) & votes["thought_b"].isin(texts.index)
    ]
    made: dict[str, Any] = {
        "participant": votes["participant"].to_numpy(object),
        "topic": votes["topic"].to_numpy(object),
        "prompt": votes["question"].map(thoughts.drop_duplicates("question").set_index("question")["question_text"]),
        "first": votes["vote"].map(VOTES).to_numpy(object),
    }
    for name in ("politics", "gender"):
        made[name] = votes["participant"].map(people[name]).fillna("").to_numpy(object)
    for side in ("a", "b"):
        named = votes[f"thought_{side}"]
        author = named.map(texts["author"])
        made[f"{side}_thought"] = named.to_numpy(object)
        made[f"{side}_answer"] = named.map(texts["text"]).to_numpy(object)
        made[f"{side}_author_politics"] = author.map(people["politics"]).fillna("").to_numpy(object)
        made[f"{side}_own"] = (author == votes["participant"]).map({True: "yes", False: "no"}).to_numpy(object)
    made["prompt"] = made["prompt"].to_numpy(object)
    table = pd.DataFrame(made)
    return table[table["a_answer"] != table["b_answer"]].reset_index(drop=True), _POLARIZED


def _participant(table: pd.DataFrame) -> pd.DataFrame:
    """Participant, politics on three levels and gender, "" where it was not asked or not told."""
    columns = {str(column).lower(): column for column in table.columns}
    politics = next(column for name, column in columns.items() if "political" in name)
    gender = next((column for name, column in columns.items() if "gender" in name), None)
    genders = table[gender].where(table[gender].isin(["Female", "Male"]), "") if gender else ""
    return pd.DataFrame(
        {"participant": table["participant"], "politics": table[politics].map(POLITICS), "gender": genders}
    )


_SIDES = AttributeSpec(name="politics", levels=("left", "middle", "right"), chooser=True)
_POLARIZED = Schema(
    format="wide",
    unit="participant",
    sides=("a", "b"),
    label="first",
    texts=(TextSpec(name="answer"),),
    attributes=(
        AttributeSpec(name="author_politics", levels=("left", "middle", "right"), others="exclude"),
        LENGTH,
        _SIDES,
        AttributeSpec(name="gender", levels=("Female", "Male"), chooser=True, others="exclude"),
        AttributeSpec(name="topic", levels=TOPICS, chooser=True),
    ),
)
POLARIZED_INFO = {
    "title": "which of two answers to a political question is agreed with (922 people, 16,771 pairs of 3,321 texts)",
    "source": "Konya / Remesh, Peacetech and Polarization Lab, Notre Dame (2024), github:akonya/polarized-issues-data",
    "licence": "CC BY 4.0; attribute Andrew Konya / Remesh, Peacetech and Polarization Lab (Notre Dame)",
    "unit": "participant, who voted on up to 30 pairs",
    "traps": "1,357 votes that are no choice (both, neither, similar, unsure) and 7 pairs of one text are left out; "
    "politics was asked on three or on five levels, which are three here; gender was not asked in one topic; pairs are "
    "those of a sampler, not random; 480 votes are on an answer of one's own; some answers were visibly written with a "
    "language model; the rater's politics moves no rate of pairs, the author's does",
}
