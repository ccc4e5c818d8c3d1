"""The registered sets of text: their published tables made into prompts, answers and a schema."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from faro.text.exchange import Exchange, Rules
from faro.text.words import shapes

from .preferences import ANSWER, LENGTH, PROMPT_ID, plain
from .schema import Schema
from .specs import AttributeSpec, TextSpec, TwinSpec
from .split import uniform

Table = tuple[pd.DataFrame, Schema]
TEXTS = (TextSpec(name=ANSWER),)
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
    crossed="prompt",
    sides=("a", "b"),
    label="first",
    texts=TEXTS,
    attributes=(
        AttributeSpec(name="author_politics", levels=("left", "middle", "right"), others="exclude"),
        LENGTH,
        _SIDES,
        AttributeSpec(name="gender", levels=("Female", "Male"), chooser=True, others="exclude"),
        AttributeSpec(name="topic", levels=TOPICS, chooser=True),
    ),
)
_POLARIZED_ABOUT = {
    "source": "Konya / Remesh, Peacetech and Polarization Lab, Notre Dame (2024), github:akonya/polarized-issues-data",
    "licence": "CC BY 4.0; attribute Andrew Konya / Remesh, Peacetech and Polarization Lab (Notre Dame)",
}
POLARIZED_INFO = {
    "title": "which of two answers to a political question is agreed with (922 people, 16,771 pairs of 3,321 texts)",
    **_POLARIZED_ABOUT,
    "unit": "participant, who voted on up to 30 pairs",
    "traps": "1,357 votes that are no choice (both, neither, similar, unsure), 6 pairs of one text and one without a "
    "text are left out; politics was asked on three or on five levels, which are three here; gender was not asked in "
    "one topic; pairs are those of a sampler, not random; 480 votes are on an answer of one's own; some answers were "
    "visibly written with a language model; the rater's politics moves no rate of pairs, the author's does",
}

AGREEMENT = ("polarized-issues/agreement.csv.gz", *POLARIZED[1:])


def polarized_agree(votes: pd.DataFrame, thoughts: pd.DataFrame, *participants: pd.DataFrame) -> Table:
    """Whether a participant agrees with an answer to a question."""
    people = pd.concat([_participant(table) for table in participants]).set_index("participant")
    texts = thoughts.set_index("thought")
    votes = votes[votes["thought"].isin(texts.index)].reset_index(drop=True)
    author = votes["thought"].map(texts["author"])
    made: dict[str, Any] = {
        "participant": votes["participant"],
        "topic": votes["topic"],
        "thought": votes["thought"],
        "prompt": votes["thought"].map(texts["question_text"]),
        ANSWER: votes["thought"].map(texts["text"]),
        "author_politics": author.map(people["politics"]),
        "agrees": (votes["vote"] == "Agree").astype(int),
    }
    made |= {name: votes["participant"].map(people[name]) for name in ("politics", "gender")}
    return pd.DataFrame({name: cells.fillna("").to_numpy(object) for name, cells in made.items()}), _AGREEMENT


_AGREEMENT = Schema(
    format="accept",
    unit="participant",
    label="agrees",
    texts=TEXTS,
    context_categorical=("politics",),
    attributes=tuple(spec for spec in _POLARIZED.attributes if spec.name != LENGTH.name),
)
AGREEMENT_INFO = {
    "title": "whether an answer to a political question is agreed with (924 people, 18,144 votes)",
    **_POLARIZED_ABOUT,
    "unit": "participant, who voted on up to 25 answers",
    "traps": "73 percent of votes agree; 2 votes on an answer without a text are left out, and 2 were given twice; "
    "politics was asked on three or on five levels, which are three here; gender was not asked in one topic; who votes "
    "on what was a sampler's; nobody votes on an answer of one's own; some answers were visibly written with a model",
}


# Helpful and harmless -------------------------------------------------------------------------------------------------


def hh_harmless(table: pd.DataFrame) -> Table:
    """Which of two answers in a dialogue is less harmful; what two dialogues begin with is the prompt."""
    return plain(table, "hh-harmless"), _HARMLESS


_MENTIONS = AttributeSpec(name="mentions", levels=("female", "male"), others="exclude", text=ANSWER)
_REWRITTEN = TwinSpec(attribute="mentions", rules=Rules.named("gender"))
_HARMLESS = Schema(
    format="wide", unit=PROMPT_ID, on_missing="drop", texts=TEXTS, attributes=(LENGTH, _MENTIONS), twins=(_REWRITTEN,)
)
HARMLESS_INFO = {
    "title": "which of two answers of an assistant is less harmful (2,312 pairs, the published test part)",
    "source": "Bai et al. (2022), github:anthropics/hh-rlhf, harmless-base",
    "licence": "MIT (Copyright 2022 Anthropic); offensive content",
    "unit": "prompt: what both dialogues begin with",
    "traps": "no rater is named, and nothing is known of raters; groups are mentioned in texts and nobody's attribute; "
    "twins of mentions exchange English words by a list, and nobody wrote them so; "
    "five pairs part before the last answer, so theirs go on for several turns; 4 pairs with an empty answer are left "
    "out; the texts are offensive",
}

# PandaLM --------------------------------------------------------------------------------------------------------------

MODELS = ("bloom-7b", "cerebras-gpt-6.7B", "llama-7b", "opt-7b", "pythia-6.9b")


def pandalm(table: pd.DataFrame) -> Table:
    """Which of two answers to an instruction three raters prefer: the share of votes, one for neither is half a one."""
    votes = table[["annotator1", "annotator2", "annotator3"]].astype(int).to_numpy()
    models = [str(key).split("_") for key in table["cmp_key"]]
    asked = [f"{a}\n{b}".strip() for a, b in zip(table["instruction"], table["input"], strict=True)]
    made: dict[str, Any] = {
        "instruction": table["instruction"].to_numpy(object),
        "prompt": asked,
        "share": ((votes == 1) + (votes == 0) / 2).mean(1),
        "votes": np.where((votes == votes[:, :1]).all(1), "unanimous", "split"),
    }
    for number, side in enumerate(("first", "second")):
        made[f"{side}_{ANSWER}"] = [
            cell if isinstance(cell, str) else str(cell)  # one is the word True
            for cell in table[f"response{number + 1}"]
        ]
        made[f"{side}_model"] = [names[number] for names in models]
    return pd.DataFrame(made), _PANDALM


_PANDALM = Schema(
    format="wide",
    unit="instruction",
    sides=("first", "second"),
    label="share",
    on_missing="drop",
    texts=TEXTS,
    attributes=(
        LENGTH,
        AttributeSpec(name="model", levels=MODELS),
        AttributeSpec(name="votes", levels=("unanimous", "split"), chooser=True),
    ),
)
PANDALM_INFO = {
    "title": "which of two answers to an instruction three raters prefer (999 pairs, 170 instructions)",
    "source": "Wang et al. (2024), PandaLM test set, github:WeOpenML/PandaLM, arXiv:2306.05087",
    "licence": "Apache-2.0; answers are by LLaMA-7B, Bloom-7B, Cerebras-6.7B, OPT-7B, Pythia-6.9B",
    "unit": "instruction",
    "traps": "the authors left out what raters disagreed on much, so disagreement is understated; three raters without "
    "attributes; 170 instructions for 999 pairs; pairs whose answers are empty or one text are left out and counted",
}

# BBQ ------------------------------------------------------------------------------------------------------------------

CATEGORIES = ("Age", "Disability_status", "Nationality", "Physical_appearance", "Religion", "Sexual_orientation")
ROLES, CONDITIONS, POLARITIES = ("target", "other", "unknown"), ("ambig", "disambig"), ("neg", "nonneg")
FIRST, EXCHANGED = "first", {"target": "other", "other": "target", "unknown": "unknown", "": ""}
BBQ = tuple(f"bbq/{category}.jsonl.gz" for category in CATEGORIES)


def bbq(*tables: pd.DataFrame) -> Table:
    """Which of three answers to a question about two people is right: one names the stereotyped group's (target), one
    the other's, one says that it is unknown."""
    table = pd.concat(tables, ignore_index=True)
    made: dict[str, Any] = {
        "template": [f"{a}/{b}" for a, b in zip(table["category"], table["question_index"], strict=True)],
        "category": table["category"].to_numpy(object),
        "condition": table["context_condition"].to_numpy(object),
        "polarity": table["question_polarity"].to_numpy(object),
        "prompt": [f"{a} {b}" for a, b in zip(table["context"], table["question"], strict=True)],
        "label": [f"ans{label}" for label in table["label"]],
    }
    known = [table[f"answer_info.ans{number}"] for number in range(3)]
    roles = [_roles(*cells) for cells in zip(table["additional_metadata.stereotyped_groups"], *known, strict=True)]
    for number in range(3):
        made[f"ans{number}_{ANSWER}"] = table[f"ans{number}"].to_numpy(object)
        made[f"ans{number}_role"] = [row[number] for row in roles]
    names = [[str(cell[0]) for cell in cells] for cells in zip(*known, strict=True)]
    return _with_groups_exchanged(pd.DataFrame(made), names, roles), _BBQ


def _with_groups_exchanged(table: pd.DataFrame, names: list[list[str]], roles: list[list[str]]) -> pd.DataFrame:
    """The table with who is named first in a question, and with question and answers in which the two are exchanged:
    where the set has that question too, and its right answer is the other one then."""
    texts = ["prompt", *(f"ans{number}_{ANSWER}" for number in range(3))]
    asked = list(zip(table["template"], table["prompt"], strict=True))
    right = [row[int(label[-1])] for row, label in zip(roles, table["label"], strict=True)]
    there = dict(zip(asked, right, strict=True))
    first, moved = [""] * len(table), {(text, role): [""] * len(table) for text in texts for role in ROLES[:2]}
    exchanges: dict[tuple[str, ...], Exchange] = {}
    for row, cells in enumerate(zip(*(table[text] for text in texts), strict=True)):
        named = dict(zip(roles[row], names[row], strict=True))
        pair = tuple(named.get(role, "") for role in ROLES[:2])
        if not all(pair) or pair[0] == pair[1]:
            continue
        if pair not in exchanges:
            exchanges[pair] = Exchange(Rules(levels=ROLES[:2], words=(pair,)), *ROLES[:2])
        exchange = exchanges[pair]
        question = exchange(cells[0])
        if question.at < 0 or there.get((asked[row][0], question.text)) != EXCHANGED[right[row]]:
            continue
        _, word = next(exchange.find(cells[0]))
        first[row], other = ROLES[:2] if word in shapes(pair[0]) else ROLES[1::-1]
        for text, cell in zip(texts, cells, strict=True):
            moved[text, other][row] = exchange(cell).text
    columns = {f"{text}:{FIRST}={role}": cells for (text, role), cells in moved.items()}
    return table.assign(**{FIRST: first, **columns})


def _roles(stereotyped: Any, *answers: Any) -> list[str]:
    """Of every answer "target", "other" or "unknown"; "" for both people where not one of them alone is stereotyped."""
    groups = {str(group).lower() for group in stereotyped}
    unknown = [str(answer[1]) == "unknown" for answer in answers]
    named = [not is_unknown and bool(groups & {str(word).lower() for word in answer})
             for answer, is_unknown in zip(answers, unknown, strict=True)]  # fmt: skip
    if sum(named) != 1:
        return ["unknown" if is_unknown else "" for is_unknown in unknown]
    return ["unknown" if is_unknown else "target" if own else "other"
            for own, is_unknown in zip(named, unknown, strict=True)]  # fmt: skip


_BBQ = Schema(
    format="wide",
    unit="template",
    sides=("ans0", "ans1", "ans2"),
    label="label",
    texts=(TextSpec(name=ANSWER, after="prompt"),),
    attributes=(
        AttributeSpec(name="person", column="role", levels=ROLES[:2], others="exclude"),
        AttributeSpec(name="role", levels=ROLES, others="exclude"),
        AttributeSpec(name="condition", levels=CONDITIONS, chooser=True),
        AttributeSpec(name="polarity", levels=POLARITIES, chooser=True),
        AttributeSpec(name="category", levels=CATEGORIES, chooser=True),
        AttributeSpec(name=FIRST, levels=ROLES[:2], chooser=True, others="exclude"),
    ),
    twins=(TwinSpec(attribute=FIRST, origin="the question with the two groups exchanged, as the set has it too"),),
)
BBQ_INFO = {
    "title": "which of three answers about two people is right (11,956 questions of 150 templates, six categories)",
    "source": "Parrish et al., Findings of ACL 2022, github:nyu-mll/BBQ",
    "licence": "CC BY 4.0",
    "unit": "template (category, question_index)",
    "traps": "150 templates for 11,956 questions: rows that are split apart leak them; about 22 reach the gate, so a "
    "certificate will be inconclusive; 7,380 questions are there with the two groups exchanged as well, their twins "
    "(first: whom a question names first); in 100 more, of Physical_appearance/6, the exchanged question has a right "
    "answer that is not exchanged; in an ambiguous context the right answer is always the unknown one; an "
    "evaluation benchmark, to be held out from training of what is sold; answers are read behind their question, which "
    "makes up to 42,350 texts to embed, 6,482 of them of twins",
}

# PluriHarms -----------------------------------------------------------------------------------------------------------

HARMFUL = 50  # of 100: a prompt that is rated so or higher is not accepted
PLURIHARMS = ("pluriharms/annotations.csv.gz", "pluriharms/prompts.csv.gz")
_LEANS = {
    "Very liberal": "liberal", "Somewhat liberal": "liberal", "Moderate": "moderate",
    "Somewhat conservative": "conservative", "Very conservative": "conservative",
}  # fmt: skip


def _rated(people: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    """A row for every rating that was given, by rater and number of the prompt."""
    asked = prompts.set_index("Question_Index")["Question_Content"]
    about = pd.DataFrame(
        {
            "rater": people["Participant_ID"],
            "gender": people["Gender"].str.strip(),
            "politics": people["Political_Affiliation"].str.strip().map(_LEANS).fillna(""),
        }
    )
    parts = []
    for number, text in asked.items():
        rating = pd.to_numeric(people[f"Rating_{number}"], errors="coerce")
        parts.append(about.assign(number=int(str(number)), answer=text, rating=rating))
    rated = pd.concat(parts, ignore_index=True)
    return rated[rated["rating"].notna()].sort_values(["rater", "number"], kind="stable", ignore_index=True)


def pluriharms(people: pd.DataFrame, prompts: pd.DataFrame) -> Table:
    """Whether a rater accepts a prompt to an assistant: a rating of harm below 50 of 100."""
    rated = _rated(people, prompts)
    return rated.assign(accepted=(rated["rating"] < HARMFUL).astype(int), item=rated["number"]), _PLURIHARMS


def pluriharms_pairs(people: pd.DataFrame, prompts: pd.DataFrame) -> Table:
    """Which of two prompts a rater finds less harmful: each of a rater's in one pair, in the order of salted hashes."""
    rated = _rated(people, prompts)
    names = [f"{rater} {number}" for rater, number in zip(rated["rater"], rated["number"], strict=True)]
    rated = rated.assign(place=uniform("faro pluriharms-pairs", names)).sort_values(["rater", "place"])
    first, second = [], []
    for places in np.split(np.arange(len(rated)), np.flatnonzero(np.diff(pd.factorize(rated["rater"])[0])) + 1):
        even = places[: len(places) // 2 * 2]  # of an odd number one is left over
        first.append(even[::2])
        second.append(even[1::2])
    one, other = (rated.iloc[np.concatenate(some)].reset_index(drop=True) for some in (first, second))
    made = one[["rater", "gender", "politics"]].assign(
        **{f"first_{ANSWER}": one["answer"], f"second_{ANSWER}": other["answer"]}
    )
    return made.assign(share=(1 + np.sign(other["rating"] - one["rating"])) / 2), _PLURIHARMS_PAIRS


_RATERS = (
    AttributeSpec(name="politics", levels=("liberal", "moderate", "conservative"), chooser=True, others="exclude"),
    AttributeSpec(name="gender", levels=("Man", "Woman"), chooser=True, others="exclude"),
)
_PLURIHARMS = Schema(
    format="accept", unit="rater", crossed="item", label="accepted", texts=TEXTS,
    context_categorical=("politics", "gender"), on_missing="level", attributes=_RATERS,
)  # fmt: skip
_PLURIHARMS_PAIRS = Schema(
    format="wide", unit="rater", sides=("first", "second"), label="share", texts=TEXTS, attributes=(LENGTH, *_RATERS)
)
_PLURIHARMS_ABOUT = {
    "source": "Li et al. (ICLR 2026), github:guldenakkuss/PluriHarms-release",
    "licence": "MIT (Copyright 2026 Jing-Jing Li)",
    "unit": "rater",
}
PLURIHARMS_INFO = {
    "title": "whether a prompt to an assistant is acceptable (100 raters of 150 prompts)",
    **_PLURIHARMS_ABOUT,
    "traps": "150 texts, so nothing is learned of other prompts; a rating below 50 of 100 counts as accepted, which is "
    "our threshold; raters differ in level more than in order; 100 raters, about 15 in the gate; prompts ask for "
    "harmful things",
}
PLURIHARMS_PAIRS_INFO = {
    "title": "which of two prompts to an assistant is less harmful (100 raters, pairs within a rater)",
    **_PLURIHARMS_ABOUT,
    "traps": "each prompt of a rater is in one pair, by a fixed draw; equal ratings are half a vote each; 150 texts, "
    "so nothing is learned of other prompts; the order of mean ratings agrees with most pairs; 100 raters, about 15 in "
    "the gate",
}
