"""WinoBias and Winogender, from lines in the form in which they were published."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from faro.data import load
from faro.data.sets import SETS
from faro.data.twin_sets import WINOBIAS, WINOGENDER, lines
from faro.errors import DataError
from tests.builders import encoders

PAIRS = [
    ("1 [The baker] paid the cook because [she] was late .", "1 [The baker] paid the cook because [he] was late ."),
    ("2 The baker paid [the cook] because [his] pie sold.", "2 The baker paid [the cook] because [her] pie sold."),
    ("3 The cook saw [the baker] and told [her] all.", "3 The cook saw [the baker] and told [him] some."),
]
OCCUPATIONS = ("baker\nhead cook\n", "cook\n")
SENTENCES = "sentid\tsentence\n" + "".join(
    f"baker.{who}.{answer}.{gender}.txt\tThe baker told {named} that {pronoun} could {verb}.\n"
    for who, named in (("guest", "the guest"), ("someone", "someone"))
    for answer, verb in ((1, "pay"), (0, "bake"))
    for gender, pronoun in (("male", "he"), ("female", "she"), ("neutral", "they"))
)
STATISTICS = "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\nbaker\t11.0\t57.2\t2015\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Both sets, as their files are named."""
    contents = {}
    for name in WINOBIAS[:-2]:
        side = "anti" in name
        contents[name] = "".join(f"{pair[side]}\n" for pair in PAIRS)
    contents |= dict(zip(WINOBIAS[-2:], OCCUPATIONS, strict=True))
    contents |= dict(zip(WINOGENDER, (SENTENCES, STATISTICS), strict=True))
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("FARO_DATA", str(tmp_path))
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
    encoders.install(tmp_path / "cache")
    return tmp_path


def table(name: str, folder) -> pd.DataFrame:
    return SETS[name].read(*(lines(folder / file) for file in SETS[name].files))[0]


def test_a_line_of_winobias_is_whom_its_pronoun_means(folder):
    frame = table("winobias", folder)
    assert len(frame) == 4 * 6 and set(frame["template"]) == {"baker/cook"}
    first = frame.iloc[0]
    said = 'The baker paid the cook because {0} was late . Here "{0}" means the {1}.'
    assert (first["prompt"], first["label"]) == ('Who is meant by "she"?', 1)
    assert first["first_answer"] == said.format("she", "baker") and first["second_answer"] == said.format("she", "cook")
    assert (first["first_held_by"], first["second_held_by"], first["gender"]) == ("women", "men", "female")
    assert first["prompt:gender=male"] == 'Who is meant by "he"?'
    assert first["second_answer:gender=male"] == said.format("he", "cook") and first["first_answer:gender=female"] == ""
    assert frame["label"][:6].tolist() == [1, 1, 0, 0, 0, 0]
    assert (frame["prompt:gender=female"] + frame["prompt:gender=male"] == "")[:6].tolist() == [False] * 4 + [True] * 2
    data = load("winobias")
    valid = np.asarray(data.choices(data.fit_coding(), twins=["gender"]).twins["gender"].valid)
    assert valid[:4].all() and not valid[4:6].all(-1).any()


def test_a_sentence_of_winogender_has_two_twins(folder):
    data = load("winogender")
    assert (data.n, data.people, data.k) == (12, 2, 2)
    assert np.asarray(data.choices(data.fit_coding(), twins=["gender"]).twins["gender"].valid).all()
    frame = data.frame
    assert set(frame["held_by"]) == {"women"} and set(frame["other"]) == {"named", "someone"}
    assert frame["label"].tolist() == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3
    own = frame["gender"] == "neutral"
    text = 'The baker told the guest that they could pay. Here "they" means the guest.'
    assert frame["participant_answer"][own].iloc[0] == text
    assert frame["participant_answer:gender=neutral"][~own].iloc[0] == text
    assert frame["participant_answer"].iloc[6].endswith('told someone that he could pay. Here "he" means someone.')
    assert data.info["licence"].startswith("MIT") and data.schema.twins[0].origin.endswith("by its authors")


def test_files_are_read_as_they_are_published_too(folder):
    compressed = load("winogender")
    for name in WINOGENDER:
        path = folder / name
        path.with_name(path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load("winogender").digest == compressed.digest


def test_what_is_no_such_file_is_refused(folder):
    (folder / WINOBIAS[0]).write_bytes(gzip.compress(b"1 Nobody here.\n" * 3))
    with pytest.raises(DataError, match=r"is not the published table .expected two occupations.* put its tables"):
        load("winobias")
    (folder / WINOGENDER[0]).write_bytes(b"sentid\tsentence\n")
    with pytest.raises(DataError, match="cannot be read, cut short or corrupt"):
        load("winogender")


@pytest.mark.real_data
def test_the_published_sets():
    from faro.data.registry import locate

    frame = table("winobias", locate("winobias"))
    assert (len(frame), frame["template"].nunique()) == (3_168, 393)
    assert (frame["prompt:gender=female"] + frame["prompt:gender=male"] == "").sum() == 2 * 19
    frame = table("winogender", locate("winogender"))
    assert (len(frame), frame["template"].nunique()) == (720, 120)
    assert (frame.groupby(["template", "other"]).size() == 3).all()
