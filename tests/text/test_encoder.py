"""Encoders against the same written again in numpy; what a folder lacks or contradicts is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy

from faro.errors import DataError, UsageError
from faro.text import encoder as encoders
from faro.text.encoder import Encoder, Pooling, bucket
from tests.oracles import bert

TEXTS = [
    "The cat sat on a mat.",
    "dog",
    "A dog ran unhappyly on the mat, ask the tree? tell the dog the cat sat on the tree.",
    "ask",
    "un happy xyz",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bert.write(tmp_path_factory.mktemp("encoder"))


def expected(encoder: Encoder, text, pooling: str = "mean", normalised: bool = True) -> np.ndarray:
    """The vector of one text, tokens taken from the encoder."""
    (tokens,) = encoder.tokenizer([text], encoder.limit)
    config = json.loads((encoder.folder / "config.json").read_text())
    weights = safetensors.numpy.load_file(encoder.folder / "model.safetensors")
    vectors = bert.forward(config, weights, tokens.ids.tolist(), tokens.types.tolist())
    pooled = {"mean": vectors.mean(0), "cls": vectors[0], "lasttoken": vectors[-1]}[pooling]
    return pooled / np.linalg.norm(pooled) if normalised else pooled


@pytest.mark.parametrize(
    ("family", "pooling", "normalised"),
    [("bert", "mean", True), ("roberta", "cls", False), ("distilbert", "lasttoken", True)],
)
def test_vectors_are_those_of_the_paper_written_again(tmp_path, family, pooling, normalised):
    encoder = Encoder.read(bert.write(tmp_path, family, pooling, normalised))
    texts = [*TEXTS, ("ask the dog?", "the cat ran.")]
    wanted = [expected(encoder, text, pooling, normalised) for text in texts]
    np.testing.assert_allclose(encoder.encode(texts), wanted, atol=1e-5)


def test_a_vector_does_not_depend_on_batch_bucket_or_padding(folder, monkeypatch):
    encoder = Encoder.read(folder)
    together = encoder.encode(TEXTS)
    monkeypatch.setattr(encoders, "AT_ONCE", 32)
    monkeypatch.setattr(encoders, "BUCKETS", (32,))
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], together, atol=1e-5)


def test_the_longest_text_has_places_for_all_of_its_padding(folder):
    encoder = Encoder.read(folder)
    text = "the cat sat on a mat " * 7
    assert len(encoder.tokenizer([text], encoder.limit)[0].ids) == encoder.limit == 40 < bucket(40)
    np.testing.assert_allclose(encoder.encode([text])[0], expected(encoder, text), atol=1e-5)


def test_lengths_are_few():
    assert [bucket(length) for length in (1, 16, 17, 500, 512, 513, 1200)] == [16, 16, 24, 512, 512, 1024, 1536]


def test_the_padding_and_truncation_of_the_file_are_not_used(folder):
    short, long = Encoder.read(folder).tokenizer([TEXTS[1], TEXTS[2]], 40)
    assert len(short.ids) == 3 and not short.truncated  # [CLS] dog [SEP], where the file pads to 30
    assert len(long.ids) == long.full > 5  # and cuts at 5


def test_the_limit_cuts_the_end_of_a_text_and_the_beginning_of_what_comes_before(folder):
    tokenizer = Encoder.read(folder).tokenizer
    words = dict(enumerate((*bert.SPECIAL, *bert.WORDS)))

    def shown(text, limit):
        (tokens,) = tokenizer([text], limit)
        return " ".join(words[number] for number in tokens.ids), tokens.full, tokens.own, tokens.truncated

    assert shown("the cat sat", 4) == ("[CLS] the cat [SEP]", 5, 2, True)
    assert shown(("the cat sat", "dog ran"), 7) == ("[CLS] cat sat [SEP] dog ran [SEP]", 8, 2, True)
    assert shown(("the cat", "dog ran on"), 5) == ("[CLS] [SEP] dog ran [SEP]", 8, 2, True)
    assert shown("", 4) == ("[CLS] [SEP]", 2, 0, False)
    with pytest.raises(UsageError, match="a limit of 2 tokens leaves none"):
        tokenizer(["the"], 2)


def test_one_digest_of_all_that_decides_a_vector(folder, tmp_path):
    def digest(name, **options):
        return Encoder.read(bert.write(tmp_path / name, **options)).digest

    first = Encoder.read(folder)
    assert digest("same") == first.digest
    others = [digest("seed", seed=1), digest("pooling", pooling="cls"), digest("plain", normalised=False)]
    others += [Encoder.read(folder, limit=20).digest]
    assert len({first.digest, *others}) == 5


def test_a_folder_without_modules_has_a_plain_mean(tmp_path):
    bert.write(tmp_path)
    (tmp_path / "modules.json").unlink()
    assert Pooling.of_folder(tmp_path) == Pooling("mean", False)


def changed(file, **values):
    def change(folder):
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def reshaped(folder):
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.1.output.dense.weight"] = weights["bert.encoder.layer.1.output.dense.weight"][
        :, 1:
    ].copy()
    safetensors.numpy.save_file(weights, folder / "model.safetensors")


def without(name):
    def change(folder):
        weights = safetensors.numpy.load_file(folder / "model.safetensors")
        del weights[name]
        safetensors.numpy.save_file(weights, folder / "model.safetensors")

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no file config.json; an encoder is a folder of"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no file model.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no file tokenizer.json"),
        (lambda folder: (folder / "1_Pooling" / "config.json").unlink(), "1_Pooling/config.json: cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: not JSON"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json: not a tokenizer"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"123"), "damaged, or no safetensors file"),
        (changed("config.json", model_type="gpt2"), "expected model_type bert, roberta, .*, got 'gpt2'"),
        (changed("config.json", hidden_size="12"), "expected hidden_size as a whole number above 0, got '12'"),
        (changed("config.json", num_attention_heads=5), "5 heads do not divide a width of 12"),
        (changed("config.json", hidden_act="swish9"), "got 'absolute' and 'swish9'"),
        (changed("config.json", vocab_size=10), "its last token is 19, and the encoder knows 10: not its tokenizer"),
        (changed("1_Pooling/config.json", pooling_mode_cls_token=True), "expected one pooling of .*, got cls, mean"),
        (reshaped, r"'bert.encoder.layer.1.output.dense.weight': expected \(12, 20\) by config.json, got \(12, 19\)"),
        (
            without("bert.embeddings.LayerNorm.bias"),
            "no tensor 'bert.embeddings.LayerNorm.bias'; is it a bert encoder?",
        ),
        (lambda folder: (folder / "modules.json").write_text('[{"type": "x.Dense"}]'), "Normalize, got 'Dense'"),
    ],
)
def test_what_a_folder_lacks_or_contradicts_is_said_on_one_line(tmp_path, change, reason):
    change(bert.write(tmp_path))
    with pytest.raises(DataError, match=reason) as raised:
        Encoder.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_without_the_extra_one_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"needs the package tokenizers: pip install 'faro-fairness\[text\]'"):
        Encoder.read(folder)


@pytest.mark.encoder
@pytest.mark.slow
def test_minilm_gives_what_sentence_transformers_gave(minilm, monkeypatch):
    """Figures of sentence-transformers 6.2.0 (torch 2.13.0), float32: the first four numbers of each vector."""
    monkeypatch.setattr(encoders, "AT_ONCE", 256)
    encoder = Encoder.read(minilm)
    assert (encoder.limit, encoder.width, encoder.pooling) == (256, 384, Pooling("mean", True))
    got = encoder.encode(["Protests should be allowed on campus.", "word " * 300])
    np.testing.assert_allclose(got[:, :4], REFERENCE, atol=1e-5)
    assert encoder.tokenizer(["word " * 300], 256)[0].truncated


REFERENCE = [[-0.00619907, 0.01005151, 0.04508182, -0.11409196], [-0.00812368, -0.09558596, -0.03867312, 0.04966193]]
