"""Vectors on disk: each text computed once, a killed run goes on, vectors of other weights are refused."""

from __future__ import annotations

import errno
import json

import numpy as np
import pytest

from faro import files
from faro.errors import DataError, UsageError
from faro.text import cache
from faro.text.encoder import Encoder
from tests.oracles import bert

TEXTS = [f"the {first} sat on a {second}." for first in bert.WORDS[5:12] for second in bert.WORDS[5:12]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.read(bert.write(tmp_path_factory.mktemp("encoder")))


@pytest.fixture
def counted(monkeypatch):
    """How many texts were computed, call by call."""
    calls, plain = [], Encoder.vectors

    def vectors(self, tokens):
        calls.append(len(tokens))
        return plain(self, tokens)

    monkeypatch.setattr(Encoder, "vectors", vectors)
    return calls


def test_vectors_come_back_in_the_order_that_is_asked_for(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD", 10)
    monkeypatch.setattr("faro.text.encoder.AT_ONCE", 64)
    wanted = encoder.encode(TEXTS)
    made = cache.embed(encoder, [*TEXTS, TEXTS[3]], folder=tmp_path)
    assert made.shape == (len(TEXTS) + 1, 12) and made.new == len(TEXTS) and len(made.shards) > 1
    np.testing.assert_allclose(made[:], [*wanted, wanted[3]], atol=1e-6)
    rows = np.array([[4, 0], [49, 4]])
    np.testing.assert_array_equal(made[rows], made[:][rows])
    np.testing.assert_array_equal(made[2:5], made[:][2:5])
    half = cache.embed(encoder, TEXTS, folder=tmp_path / "half", dtype="float16")
    assert half[:].dtype == np.float16
    np.testing.assert_allclose(half[:], wanted, atol=1e-3)


def test_a_second_set_pays_for_its_new_texts_alone(encoder, tmp_path, counted):
    cache.embed(encoder, TEXTS[:20], folder=tmp_path)
    again = cache.embed(encoder, TEXTS[10:25], folder=tmp_path)
    assert counted == [20, 5] and again.new == 5
    assert cache.count(encoder, TEXTS, folder=tmp_path).there.tolist() == [True] * 25 + [False] * 24
    pair = cache.embed(encoder, [("the cat", "sat")], folder=tmp_path)
    assert pair.new == 1 and pair.keys != cache.embed(encoder, ["sat"], folder=tmp_path).keys


def test_a_killed_run_goes_on_behind_its_last_shard(encoder, tmp_path, monkeypatch, counted):
    monkeypatch.setattr(cache, "SHARD", 8)
    monkeypatch.setattr("faro.text.encoder.AT_ONCE", 64)

    def killed(done, total):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.embed(encoder, TEXTS, folder=tmp_path, progress=killed)
    kept = cache.count(encoder, TEXTS, folder=tmp_path).there.sum()
    assert 8 <= kept < 20
    made = cache.embed(encoder, TEXTS, folder=tmp_path)
    assert counted == [len(TEXTS), len(TEXTS) - kept]
    np.testing.assert_allclose(made[:], encoder.encode(TEXTS), atol=1e-6)


def test_truncation_is_counted(encoder, tmp_path):
    short = Encoder.read(encoder.folder, limit=5)
    made = cache.embed(short, ["the cat", "the cat sat on a mat"], folder=tmp_path)
    before = cache.count(short, ["the cat sat on a mat"], folder=tmp_path / "none")
    assert before.tokens == [8] and before.read == [5] and not before.there.any()
    assert made.truncated == 1 and made.tokens.tolist() == [4, 8] and made.read.tolist() == [4, 5]
    assert cache.embed(short, ["the cat sat on a mat"], folder=tmp_path).truncated == 1


def test_vectors_of_other_weights_are_refused(encoder, tmp_path):
    cache.embed(encoder, TEXTS[:2], folder=tmp_path)
    other = Encoder.read(bert.write(tmp_path.with_name("other"), seed=1))
    with pytest.raises(DataError, match=r"holds vectors of .* in float32, not of other .* in float32"):
        cache.embed(other, TEXTS[:2], folder=tmp_path)
    with pytest.raises(DataError, match=r"in float32, not of .* in float16"):
        cache.embed(encoder, TEXTS[:2], folder=tmp_path, dtype="float16")
    (tmp_path / "embeddings.json").write_text(json.dumps({"format": "faro-embeddings/9"}))
    with pytest.raises(DataError, match=r"embeddings.json: damaged: expected format faro-embeddings/1"):
        cache.embed(encoder, TEXTS[:2], folder=tmp_path)
    (tmp_path / "embeddings.json").unlink()
    with pytest.raises(DataError, match=r"a folder with other files and no embeddings.json"):
        cache.embed(encoder, TEXTS[:2], folder=tmp_path)


def test_a_damaged_shard_is_named(encoder, tmp_path):
    made = cache.embed(encoder, TEXTS[:2], folder=tmp_path)
    made.shards[0].write_bytes(made.shards[0].read_bytes()[:100])
    with pytest.raises(DataError, match=r"\.safetensors: damaged, or gone while in use"):
        made[:]


def test_a_full_disk_keeps_what_was_written(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD", 8)
    monkeypatch.setattr("faro.text.encoder.AT_ONCE", 64)
    plain, written = cache.replacing, []

    def full(path):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return plain(path)

    monkeypatch.setattr(cache, "replacing", full)
    with pytest.raises(OSError, match=r"No space left"):
        cache.embed(encoder, TEXTS, folder=tmp_path)
    monkeypatch.setattr(cache, "replacing", plain)
    assert not [path for path in tmp_path.iterdir() if files.UNFINISHED.fullmatch(path.name)]
    made = cache.embed(encoder, TEXTS, folder=tmp_path)
    assert 0 < made.new < len(TEXTS)


def test_texts_without_tokens_and_unknown_types_are_refused(encoder, tmp_path):
    with pytest.raises(DataError, match=r"a text has no tokens: ' '; leave its row out"):
        cache.embed(encoder, ["the cat", " "], folder=tmp_path)
    with pytest.raises(UsageError, match=r"expected float32 or float16, got 'float8'"):
        cache.embed(encoder, ["the cat"], folder=tmp_path, dtype="float8")
    assert not list(tmp_path.iterdir())
