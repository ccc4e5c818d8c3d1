"""Preference data as it ships: one content whatever format, further columns kept, faults named with their row."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from faro.data import load, read_table
from faro.data.preferences import BY_PROMPT, BY_ROW, kind, plain, recognise
from faro.errors import DataError, UsageError
from tests.builders import encoders

pytestmark = pytest.mark.usefixtures("small_encoder")


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def messages(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


RECORDS = encoders.pairs()


def in_formats(tmp_path) -> dict[str, object]:
    """One set of pairs in the ways that it may ship."""
    conversational = [
        {**record, "prompt": messages("user", record["prompt"]), "chosen": messages("assistant", record["chosen"]),
         "rejected": messages("assistant", record["rejected"])} for record in RECORDS
    ]  # fmt: skip
    whole = [
        {"politics": record["politics"]} | {side: record["prompt"] + record[side] for side in ("chosen", "rejected")}
        for record in conversational
    ]
    plain_table, talk = pa.Table.from_pylist(RECORDS), pa.Table.from_pylist(conversational)
    plain_table.to_pandas().to_parquet(tmp_path / "pairs.parquet")
    saved = tmp_path / "saved"
    saved.mkdir()
    for number, half in enumerate((talk.slice(0, 70), talk.slice(70))):
        with pa.ipc.new_stream(str(saved / f"data-0000{number}-of-00002.arrow"), half.schema) as writer:
            writer.write_table(half)
    files = [{"filename": f"data-0000{number}-of-00002.arrow"} for number in (0, 1)]
    (saved / "state.json").write_text(json.dumps({"_data_files": files}))
    (saved / "dataset_info.json").write_text("{}")
    return {
        "jsonl": lines(tmp_path / "pairs.jsonl", RECORDS),
        "parquet": tmp_path / "pairs.parquet",
        "conversational": lines(tmp_path / "talk.jsonl", conversational),
        "implicit": lines(tmp_path / "whole.jsonl", whole),
        "saved": saved,
        "frame": pd.DataFrame(RECORDS),
        "arrow": plain_table,
    }


def test_one_content_has_one_digest_and_the_same_parts_in_any_format(tmp_path):
    sets = {name: load(source) for name, source in in_formats(tmp_path).items()}
    first = sets["jsonl"]
    assert first.n == len(RECORDS) and first.people < first.n and first.notes == (BY_PROMPT,)
    assert [spec.name for spec in first.schema.attributes] == ["length", "politics"]
    assert first.schema.attribute("politics").chooser and not first.schema.attribute("length").chooser
    for name, data in sets.items():
        assert data.digest == first.digest, name
        assert (data.units == first.units).all(), name
    codes = first.parsed.attributes["length"]
    tokens = [[len(record[side].split()) for side in ("chosen", "rejected")] for record in RECORDS]
    wanted = [[-1, -1] if one == other else [int(one > other), int(other > one)] for one, other in tokens]
    assert codes.tolist() == wanted
    frame = pd.DataFrame(RECORDS)
    assert load(frame.assign(chosen=frame["rejected"], rejected=frame["chosen"])).digest != first.digest


def test_dialogues_as_strings_have_the_prompt_that_they_share():
    start = "\n\nHuman: the dog?\n\nAssistant:"
    frame = pd.DataFrame({"chosen": [f"{start} the cat"], "rejected": [f"{start} a mat"]})
    made = plain(frame, "here")
    assert made["prompt"].tolist() == [start.strip()]
    assert made[["chosen_answer", "rejected_answer"]].to_numpy().tolist() == [["the cat", "a mat"]]


def test_pairs_without_a_prompt_are_units_by_row():
    frame = pd.DataFrame(RECORDS).drop(columns="prompt")
    assert recognise(frame, "here").notes == (BY_ROW,)
    assert load(frame).unit_origin == "content"


def test_answers_with_labels_are_accepted_or_not():
    records = [
        {"prompt": f"ask {i // 2}", "completion": r["chosen"], "label": bool(i % 2)} for i, r in enumerate(RECORDS)
    ]
    data = load(pd.DataFrame(records))
    assert data.schema.format == "accept" and data.people == len(RECORDS) // 2
    assert data.parsed.chosen[:2].tolist() == [[0, 1], [1, 0]]


def test_a_ranking_is_successive_choices_and_equal_ranks_share_one():
    frame = pd.DataFrame(
        {
            "prompt": ["ask", "tell"],
            "completions": [["the cat", "a dog", "a mat", "the tree"], ["sat", "ran"]],
            "ranks": [[2, 1, 4, 2], [1, 1]],
            "source": ["a", "b"],
        }
    )
    made = plain(frame, "here")
    assert made["choice_id"].tolist() == ["1/1"] * 4 + ["1/2"] * 4
    assert made["label"].tolist() == [0, 1, 0, 0, 0.5, 0, 0, 0.5]
    assert made["available"].tolist() == [1, 1, 1, 1, 1, 0, 1, 1]
    assert made["source"].tolist() == ["a"] * 8
    rated = plain(frame.rename(columns={"ranks": "ratings"}).assign(ratings=[[7, 9, 1, 7], [3, 3]]), "here")
    assert rated.equals(made)


def test_a_ranking_is_read_without_a_schema():
    rng = np.random.default_rng(0)
    records = []
    for number in range(0, len(RECORDS) - 2, 2):
        answers = list(dict.fromkeys(r["chosen"] for r in RECORDS[number : number + 3]))
        records.append(
            {"prompt": f"ask {number}", "responses": answers, "scores": rng.permutation(len(answers)).tolist()}
        )
    data = load(pd.DataFrame(records))
    assert data.k == 3 and data.n == sum(len(record["scores"]) - 1 for record in records)


def test_a_model_reads_its_format_from_a_file_with_ranks_or_labels_and_without(tmp_path):
    """Ranks are a label that the table itself has not; answers to be scored have neither."""
    ranked, single = [], []
    for number in range(0, len(RECORDS) - 2, 2):
        answers = list(dict.fromkeys(r["chosen"] for r in RECORDS[number : number + 3]))
        ranked.append({"prompt": f"ask {number}", "responses": answers, "scores": [*range(len(answers))]})
        single.append({"prompt": f"ask {number}", "completion": answers[0], "label": number % 4})
        single[-1]["label"] //= 2
    for records, said in ((ranked, "scores"), (single, "label")):
        model = encoders.untrained(load(pd.DataFrame(records)))
        read = model.read(lines(tmp_path / "t.jsonl", records))
        np.testing.assert_array_equal(read.parsed.chosen, load(pd.DataFrame(records)).parsed.chosen)
        bare = [{name: cell for name, cell in record.items() if name != said} for record in records]
        scored = model.score(lines(tmp_path / "t.jsonl", bare))
        assert scored["label"].isna().all() and len(scored) == sum(len(r.get("responses", "1")) for r in records)
        first = model.rewards(pd.DataFrame(records))[0]
        np.testing.assert_allclose(scored["reward"][: read.parsed.inside[0].sum()], first[read.parsed.inside[0]])


def test_further_columns_of_many_values_and_numbers_are_no_attributes():
    frame = pd.DataFrame(RECORDS).assign(
        rater=[f"r{i}" for i in range(len(RECORDS))], age=30, chosen_model="m1", rejected_model="m2", subset=None
    )
    attributes = {spec.name: spec for spec in recognise(frame, "here").schema.attributes}
    assert [*attributes] == ["length", "politics", "model"]
    assert not attributes["model"].chooser and attributes["model"].levels == ("m1", "m2")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chosen": ""}, "column 'chosen_answer', row 3: expected a text, got none"),
        ({"chosen": "the cat", "rejected": "the cat"}, "row 3: chosen and rejected are one text; leave it out, or"),
        ({"chosen": None}, "row 3, chosen: expected a text or a list of messages, got nothing"),
        ({"chosen": pd.NA}, "row 3, chosen: expected a text or a list of messages, got nothing"),
        ({"chosen": messages("user", "the cat")}, "row 3, chosen: no turn of the assistant"),
        ({"chosen": messages("assistant", "a") * 2}, "row 3, chosen: roles out of order: assistant after assistant"),
        (
            {"chosen": [*messages("assistant", "a"), *messages("user", "b"), *messages("assistant", "c")]},
            "no chat template, which a dialogue of several messages needs",
        ),
    ],
)
def test_faulty_rows_are_named(changes, reason):
    records = [*RECORDS[:2], {**RECORDS[2], **changes}, *RECORDS[3:]]
    with pytest.raises(DataError, match=reason):
        load(pd.DataFrame(records))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"ranks": [[1, 2, 3]]}, "row 1: expected as many ranks as answers, each a list"),
        ({"ranks": [["a", "b"]]}, "row 1: expected ranks as numbers, got"),
        ({"ranks": [[1, 1]]}, "no row has two answers of different ranks"),
    ],
)
def test_faulty_ranks_are_named(cells, reason):
    frame = pd.DataFrame({"prompt": ["ask"], "answers": [["the cat", "a dog"]], **cells})
    with pytest.raises(DataError, match=reason):
        plain(frame, "here")


def test_other_tables_need_a_schema(tmp_path):
    assert kind(pd.DataFrame({"prompt": [1], "answers": [2]})) == ""
    with pytest.raises(UsageError, match=r"a table needs a schema: .*read without one: prompt, chosen, rejected"):
        load(lines(tmp_path / "a.jsonl", [{"prompt": "a", "answer": "b"}]))


def test_folders_of_several_splits_and_lost_parts_are_said(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match=r"several tables, train, test; name one, as .*train"):
        read_table(tmp_path)
    (tmp_path / "dataset_dict.json").unlink()
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
    with pytest.raises(DataError, match=r"a.arrow: no such file, and .*state.json names it"):
        read_table(tmp_path)
    (tmp_path / "a.arrow").write_bytes(b"\xff\xff\xff\xff\x10\x00")
    with pytest.raises(DataError, match=r"a.arrow: cannot be read, cut short or corrupt"):
        read_table(tmp_path)


def test_a_schema_says_the_rest():
    frame = pd.DataFrame(RECORDS).assign(rater=[f"r{i % 40}" for i in range(len(RECORDS))])
    schema = {"format": "wide", "unit": "rater", "texts": [{"name": "answer"}], "numeric": ["answer_tokens"]}
    data = load(frame, schema)
    assert data.people == 40 and data.notes == ()
    coded = data.choices(data.fit_coding())
    assert coded.items.shape == (len(RECORDS), 2, 13)
    assert dataclasses.asdict(data.schema.texts[0])["digest"]
