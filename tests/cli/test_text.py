"""`faro encoder` and `faro embed`: what they print, and what they refuse in one line."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.builders import encoders
from tests.oracles import bert


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return bert.write(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_encoders_are_listed_with_the_way_to_install_them(faro):
    code, out, _ = faro("encoder", "list")
    assert code == 0 and "faro encoder" in out and "Apache-2.0" in out
    code, out, _ = faro("encoder", "list", "--json")
    assert json.loads(out)[0] | {"title": "", "licence": ""} == {
        "name": "minilm", "title": "", "licence": "", "present": False, "where": ""}  # fmt: skip
    assert faro("encoder", "list", "minilm")[0] == 2
    assert faro("encoder", "install")[0] == 2


def test_texts_are_embedded_once_and_truncation_is_said(faro, encoder, tmp_path):
    path = lines(tmp_path / "a.jsonl", {"text": "the cat"}, {"text": "the cat"}, {"text": "the dog sat on a mat"})
    words = ("embed", path, "--column", "text", "--encoder", encoder, "--limit", 5)
    code, out, err = faro(*words)
    assert code == 0 and "2 different texts, 2 of them new, 12 numbers each" in out
    assert "1 of 2 texts have more than 5 tokens; the rest was cut off" in err
    code, out, _ = faro(*words, "--json")
    assert json.loads(out) | {"out": "", "digest": "", "encoder": ""} == {
        "texts": 2, "new": 0, "truncated": 1, "width": 12, "encoder": "", "digest": "", "out": ""}  # fmt: skip
    code, out, _ = faro(*words, "--out", tmp_path / "own", "--dtype", "float16", "--json")
    assert json.loads(out)["new"] == 2 and (tmp_path / "own" / "embeddings.json").exists()
    code, _, err = faro(*words[:-1], 6, "--out", tmp_path / "own", "--dtype", "float16")
    assert code == 5 and "holds vectors of" in err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"text": ""}\n', "column 'text', row 1: expected a text, got nothing"),
        (b'{"text": "the cat"}\n{"other": 1}\n', "column 'text', row 2: expected a text, got nothing"),
        (b'{"text": 3}\n', "column 'text', row 1: expected a text, got 3"),
        (b'{"other": "the cat"}\n', "no column 'text'; columns are: other"),
        (b'{"text": "\xff"}\n', "cannot be read, cut short or corrupt"),
        (b'{"text": "\\ud800"}\n', "expected Unicode text"),
    ],
)
def test_bad_texts_are_refused_in_one_line_and_nothing_is_written(faro, encoder, tmp_path, content, reason):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    code, out, err = faro("embed", path, "--column", "text", "--encoder", encoder)
    assert code == 5 and reason in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "cache").exists()


def test_a_truncated_gzip_is_refused(faro, encoder, tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "the cat"}\n' * 99)[:-9])
    code, _, err = faro("embed", path, "--column", "text", "--encoder", encoder)
    assert code == 5 and "cut short" in err


@pytest.mark.slow
def test_a_file_of_pairs_trains_a_model_without_a_schema(faro, tmp_path):
    encoders.install(tmp_path / "cache")
    path, out = lines(tmp_path / "pairs.jsonl", *encoders.pairs(300)), tmp_path / "model.json"
    code, said, _ = faro("embed", path, "--json")
    assert code == 0 and json.loads(said)["new"] > 200
    code, said, err = faro("train", "--data", path, "--out", out, "--bound", 1, "--set", "steps=5")
    assert code == 0 and "demographic_parity(length)" in said, err
    assert "note: rows that share a prompt are one unit" in err
    code, said, _ = faro("score", out, path)
    assert code == 0 and said.count("\n") == 601
    code, said, _ = faro("data", "describe", path)
    assert code == 0 and "of them embedded by minilm" in said


@pytest.mark.slow
def test_texts_rewritten_by_rules_go_from_a_file_of_words_to_the_report(faro, tmp_path):
    encoders.install(tmp_path / "cache")
    path, run = lines(tmp_path / "pairs.jsonl", *encoders.pairs(400)), tmp_path / "run"
    (tmp_path / "words.toml").write_text('levels = ["cats", "dogs"]\nwords = [["cat", "dog"], ["mat", "tree"]]\n')
    schema = tmp_path / "schema.toml"
    schema.write_text(
        'format = "wide"\nunit = "prompt_id"\n[[texts]]\nname = "answer"\n[[attributes]]\nname = "about"\n'
        'levels = ["cats", "dogs"]\nothers = "exclude"\ntext = "answer"\n[[twins]]\nattribute = "about"\n'
        'rules = "words.toml"\n'
    )
    table = ("--data", path, "--schema", schema, "--constraint", "counterfactual_flip", "--attribute", "about")
    code, _, err = faro("frontier", *table, "--bounds", "0.6", "--seeds", 1, "--set", "steps=20", "--out", run)
    said = "word exchange by rules words.toml: not causal; of "
    assert code in (0, 3) and said in err.replace("\n", " "), err
    assert said in (run / "report.html").read_text(encoding="utf-8")
    (tmp_path / "words.toml").unlink()
    model = next((run / "models").glob("*seed0.json"))
    code, _, err = faro("score", model, path, "--twins", "about", "--out", tmp_path / "scored.csv")
    assert code == 0 and "reward:about=cats" in (tmp_path / "scored.csv").read_text().splitlines()[0], err
    code, out, _ = faro("score", model, path, "--by", "politics", "--json")
    assert code == 0 and 0 < json.loads(out)[-1]["flips:about"] < 1
    code, _, err = faro("data", "describe", path, "--schema", schema)
    assert code == 2 and "words.toml: cannot be read" in err


def test_other_tables_are_embedded_by_the_names_of_their_columns(faro, tmp_path):
    encoders.install(tmp_path / "cache")
    code, _, err = faro("embed", lines(tmp_path / "a.jsonl", {"text": "the cat"}))
    assert code == 2 and "no preference data by its columns; name columns of texts" in err
