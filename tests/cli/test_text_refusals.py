"""Bad input of texts, encoders and arrays, as a user of the command meets it: one line that says why, the documented
exit code, and nothing written."""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from tests.builders import encoders
from tests.oracles import bert

RECORDS = encoders.pairs(60)
TEXTS = 'format = "wide"\nunit = "prompt_id"\n[[texts]]\nname = "answer"\n'
ARRAYS = 'format = "accept"\nunit = "who"\nlabel = "took"\n[[arrays]]\nname = "emb"\nfile = "emb.npy"\n'
VECTORS = 'format = "accept"\nunit = "who"\nlabel = "took"\nvectors = ["emb"]\n'
Words = tuple[object, ...]


def lines(folder: Path, records: list[dict], name: str = "pairs.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def first(**changes: object) -> list[dict]:
    """The pairs, the first of them with other cells."""
    return [{**RECORDS[0], **changes}, *RECORDS[1:]]


def turns(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": f"the cat {role}"} for role in roles]


def pairs(**changes: object) -> Callable[[Path], Words]:
    return lambda folder: ("--data", lines(folder, first(**changes)))


def raw(content: bytes, name: str = "pairs.jsonl") -> Callable[[Path], Words]:
    def made(folder: Path) -> Words:
        (folder / name).write_bytes(content)
        return "--data", folder / name

    return made


def with_schema(schema: str, records: list[dict] = RECORDS) -> Callable[[Path], Words]:
    def made(folder: Path) -> Words:
        (folder / "schema.toml").write_text(schema, encoding="utf-8")
        return "--data", lines(folder, records), "--schema", folder / "schema.toml"

    return made


def people(**columns: list) -> pd.DataFrame:
    return pd.DataFrame({"who": [f"p{row}" for row in range(60)], "took": [row % 2 for row in range(60)], **columns})


def array(values: np.ndarray) -> Callable[[Path], Words]:
    def made(folder: Path) -> Words:
        np.save(folder / "emb.npy", values)
        people().to_csv(folder / "people.csv", index=False)
        (folder / "schema.toml").write_text(ARRAYS, encoding="utf-8")
        return "--data", folder / "people.csv", "--schema", folder / "schema.toml"

    return made


def lists(cells: list[list[float]]) -> Callable[[Path], Words]:
    def made(folder: Path) -> Words:
        people(emb=cells).to_parquet(folder / "people.parquet")
        (folder / "schema.toml").write_text(VECTORS, encoding="utf-8")
        return "--data", folder / "people.parquet", "--schema", folder / "schema.toml"

    return made


def encoder(change: Callable[[Path], None]) -> Callable[[Path], Words]:
    """The pairs, read by an encoder whose files are at odds."""

    def made(folder: Path) -> Words:
        change(bert.write(folder / "encoder"))
        schema = f'{TEXTS}encoder = "{folder / "encoder"}"\n'
        return with_schema(schema)(folder)

    return made


def narrower(folder: Path) -> None:
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    name = next(name for name in weights if "query.weight" in name)
    safetensors.numpy.save_file({**weights, name: weights[name][:, :-1].copy()}, folder / "model.safetensors")


def fewer_words(folder: Path) -> None:
    """The tokenizer of an encoder that knows more words than this one."""
    config = json.loads((folder / "config.json").read_text())
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    name = next(name for name in weights if "word_embeddings" in name)
    safetensors.numpy.save_file({**weights, name: weights[name][:-3].copy()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": config["vocab_size"] - 3}))


CASES = {
    "an empty text": (pairs(chosen=""), 5, "column 'chosen_answer', row 1: expected a text, got none"),
    "no text at all": (pairs(chosen=None), 5, "row 1, chosen: expected a text or a list of messages, got nothing"),
    "a text without tokens": (pairs(chosen="\u200b\u200b"), 5, "row 1: expected a text, got one without tokens"),
    "no room for tokens": (with_schema(f"{TEXTS}limit = 2\n"), 2, "a limit of 2 tokens leaves none for the text"),
    "chosen is rejected": (pairs(chosen="the cat", rejected="the cat"), 5, "row 1: chosen and rejected are one text"),
    "alike once cut": (
        with_schema(f"{TEXTS}limit = 4\n", first(chosen="the cat sat", rejected="the cat ran")),
        5,
        "row 1: chosen and rejected are alike in all 4 tokens read",
    ),
    "no turn of the assistant": (pairs(chosen=turns("user")), 5, "row 1, chosen: no turn of the assistant"),
    "roles out of order": (
        pairs(prompt=turns("user"), chosen=turns("assistant", "assistant")),
        5,
        "row 1, chosen: roles out of order: assistant after assistant",
    ),
    "a role that is none": (pairs(chosen=turns("robot")), 5, "row 1, chosen: message 1: expected role (one of system,"),
    "no chat template": (
        pairs(chosen=turns("assistant", "user", "assistant")),
        5,
        "no chat template, which a dialogue",
    ),
    "bytes that are no UTF-8": (
        raw(b'{"chosen": "\xff", "rejected": "a"}\n'),
        5,
        "cannot be read, cut short or corrupt",
    ),
    "half a character": (raw(b'{"chosen": "\\ud800", "rejected": "a"}\n'), 5, "half of a character"),
    "a csv that is no UTF-8": (
        raw(b"chosen,rejected\n\xff,a\n", "pairs.csv"),
        5,
        "cannot be read, cut short or corrupt",
    ),
    "a gzip cut short": (
        raw(gzip.compress("".join(json.dumps(r) + "\n" for r in RECORDS).encode())[:-20], "pairs.jsonl.gz"),
        5,
        "cut short",
    ),
    "weights of another shape": (encoder(narrower), 5, "model.safetensors"),
    "a tokenizer of another vocabulary": (encoder(fewer_words), 5, "not its tokenizer"),
    "weights that are none": (
        encoder(lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99) and None),
        5,
        "damaged, or no safetensors file",
    ),
    "a config that is no object": (
        encoder(lambda folder: (folder / "config.json").write_text("[]") and None),
        5,
        "config.json: expected an object, got []",
    ),
    "modules that are no list": (
        encoder(lambda folder: (folder / "modules.json").write_text("{}") and None),
        5,
        "modules.json: expected a list, got {}",
    ),
    "an encoder that lacks a file": (
        encoder(lambda folder: (folder / "tokenizer.json").unlink()),
        5,
        "no file tokenizer.json",
    ),
    "lists of ragged length": (
        lists([[1.0, 2.0]] * 59 + [[1.0]]),
        5,
        "column 'emb', row 60: expected a vector of length 2, got 1",
    ),
    "lists of nothing": (lists([[]] * 60), 5, "column 'emb', row 1: expected a list of numbers, got '[]'"),
    "NaN in an array": (array(np.full((60, 3), np.nan)), 5, "row 1: expected finite numbers"),
    "an array of fewer rows": (array(np.zeros((59, 3))), 5, "emb.npy: expected 60 rows, got 59"),
    "an array of words": (array(np.full((60, 3), "x")), 5, "emb.npy: expected numbers"),
    "an array of objects": (array(np.array([[None]] * 60)), 5, "emb.npy: expected numbers in little-endian order"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(faro, tmp_path, cache, case):
    make, code, reason = CASES[case]
    (tmp_path / "given").mkdir()
    words = make(tmp_path / "given")
    before = sorted(tmp_path.rglob("*"))
    got, out, err = faro("train", *words, "--out", tmp_path / "out" / "model.json", "--bound", 1, "--set", "steps=2")
    said = [line for line in err.splitlines() if " note: " not in line]
    assert (got, out) == (code, "") and len(said) == 1 and said[0].startswith("faro: ") and reason in said[0], err
    assert sorted(tmp_path.rglob("*")) == before


def test_vectors_of_other_weights_are_refused(faro, tmp_path, cache):
    path, own = lines(tmp_path, RECORDS), tmp_path / "vectors"
    assert faro("embed", path, "--out", own)[0] == 0
    before = {file: file.read_bytes() for file in own.iterdir()}
    bert.write(cache / "encoders" / "minilm", seed=1)
    code, out, err = faro("embed", path, "--out", own)
    assert code == 5 and not out and err.count("\n") == 1 and "holds vectors of minilm" in err
    assert {file: file.read_bytes() for file in own.iterdir()} == before


def test_a_full_disk_ends_the_embedding_and_the_next_run_goes_on(faro, tmp_path, cache, monkeypatch):
    path = lines(tmp_path, RECORDS)
    monkeypatch.setattr("faro.text.cache.SHARD", 16)
    monkeypatch.setattr("faro.text.encoder.AT_ONCE", 128)
    write, written = Path.write_bytes, []

    def full(self: Path, content: bytes) -> int:
        if "safetensors" in self.name and written:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        written.append(self)
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    code, out, err = faro("train", "--data", path, "--out", tmp_path / "model.json", "--bound", 1)
    said = [line for line in err.splitlines() if " note: " not in line]
    assert code == 5 and not out and len(said) == 1 and "No space left on device" in said[0] and "make room" in said[0]
    assert not (tmp_path / "model.json").exists() and not [*cache.rglob("*.part*")]
    monkeypatch.setattr(Path, "write_bytes", write)
    code, out, _ = faro("embed", path, "--json")
    different = len({record[side] for record in RECORDS for side in ("chosen", "rejected")})
    assert code == 0 and 0 < json.loads(out)["new"] < different
