"""`faro export --to hf`: the layers of the folder give the rewards of the scored table."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json

import jax
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import faro as package
from faro.errors import DataError, NotIndependentError, UsageError
from faro.files import sha256_of
from faro.models import MLP, EncoderLayers
from faro.store.export import export_hf
from faro.store.saved import model_files
from faro.text.encoder import Encoder, Pooling
from tests.builders import encoders
from tests.oracles import bert

RECORDS = encoders.pairs(160)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def saved(tmp_path, schema=None, change=lambda model: model):
    model = change(encoders.untrained(package.load(pd.DataFrame(RECORDS), schema)))
    return model, model.save(tmp_path / "model")


@pytest.mark.parametrize("scaling", ["joint", "each", "none"])
def test_the_layers_give_the_rewards(tmp_path, scaling):
    schema = {"format": "wide", "unit": "prompt_id", "texts": [{"name": "answer", "scaling": scaling}]}
    model, path = saved(tmp_path, schema)
    folder = export_hf(path, tmp_path / "out")
    modules = json.loads((folder / "modules.json").read_text())
    assert [module["type"].rsplit(".", 1)[-1] for module in modules] == ["Transformer", "Pooling", "Normalize", "Dense"]
    dense = folder / modules[-1]["path"]
    config = json.loads((dense / "config.json").read_text())
    assert (config["in_features"], config["out_features"], config["bias"]) == (12, 1, True)
    layer = safetensors.numpy.load_file(dense / "model.safetensors")
    (folder / "modules.json").write_text(json.dumps(modules[:-1]))  # what faro reads of the folder itself
    encoder = Encoder.read(folder)
    assert encoder.pooling == Pooling("mean", True) and encoder.limit == 40
    vectors = encoder.encode([record["rejected"] for record in RECORDS])
    rewards = vectors @ layer["linear.weight"][0] + layer["linear.bias"][0]
    np.testing.assert_allclose(rewards, model.rewards(pd.DataFrame(RECORDS))[:, 1], atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "tanh"])
def test_an_mlp_is_one_dense_layer_after_another(tmp_path, activation):
    schema = {"format": "wide", "unit": "prompt_id", "texts": [{"name": "answer"}]}
    of_torch = {"Identity": lambda x: x, "GELU": lambda x: x * (1 + bert.erf(x / np.sqrt(2))) / 2, "Tanh": np.tanh,
                "ReLU": lambda x: np.maximum(x, 0), "SiLU": lambda x: x / (1 + np.exp(-x))}  # fmt: skip
    data = package.load(pd.DataFrame(RECORDS), schema)
    model = encoders.untrained(data, model=MLP((5, 3), activation))
    folder = export_hf(model.save(tmp_path / "model"), tmp_path / "out")
    modules = json.loads((folder / "modules.json").read_text())
    assert [module["path"] for module in modules[3:]] == ["3_Dense", "4_Dense", "5_Dense"]
    rewards = data.arrays["answer"].read(slice(None)).astype(np.float64)
    for module in modules[3:]:
        layer = safetensors.numpy.load_file(folder / module["path"] / "model.safetensors")
        config = json.loads((folder / module["path"] / "config.json").read_text())
        assert layer["linear.weight"].shape == (config["out_features"], config["in_features"])
        unit = of_torch[config["activation_function"].rsplit(".", 1)[-1]]
        rewards = unit(rewards @ layer["linear.weight"].T + layer["linear.bias"])
    rows = data.frame["rejected_answer:row"].astype(int)
    np.testing.assert_allclose(rewards[rows, 0], model.rewards(data)[:, 1], atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_layers_that_were_trained_are_those_of_the_folder(tmp_path, cache, family):
    bert.write(cache / "encoders" / "minilm", family)
    data = package.load(pd.DataFrame(RECORDS)).before_layers(1)
    plain = encoders.untrained(data, model=EncoderLayers(1).of_schema(data.schema))
    moved = jax.tree.map(lambda leaf: leaf * 1.5, plain.params["layers"])
    model = dataclasses.replace(plain, params={**plain.params, "layers": moved})
    folder = export_hf(model.save(tmp_path / "model"), tmp_path / "out")
    modules = json.loads((folder / "modules.json").read_text())
    layer = safetensors.numpy.load_file(folder / modules[-1]["path"] / "model.safetensors")
    (folder / "modules.json").write_text(json.dumps(modules[:-1]))
    vectors = Encoder.read(folder).encode([record["rejected"] for record in RECORDS])
    rewards = vectors @ layer["linear.weight"][0] + layer["linear.bias"][0]
    np.testing.assert_allclose(rewards, model.rewards(data)[:, 1], atol=1e-5)
    assert np.abs(rewards - plain.rewards(data)[:, 1]).max() > 1e-2  # a control: the layers matter


def test_certificates_of_the_model_go_along(tmp_path, faro):
    _, path = saved(tmp_path)
    digests = sorted(sha256_of(file) for file in model_files(path))
    paper = tmp_path / "certificate.json"
    paper.write_text(json.dumps({"model_sha256": hashlib.sha256("".join(digests).encode()).hexdigest()}))
    code, out, _ = faro("export", path, tmp_path / "out", "--to", "hf", "--certificate", paper)
    assert code == 0 and out.strip() == str(tmp_path / "out")
    assert (tmp_path / "out" / "certificates" / paper.name).read_bytes() == paper.read_bytes()
    assert json.loads((tmp_path / "out" / "faro.json").read_text())["model_files_sha256"] == digests
    assert sorted(sha256_of(file) for file in (tmp_path / "out" / "faro").iterdir()) == digests
    alone = hashlib.sha256(sha256_of(model_files(path)[0]).encode()).hexdigest()  # as --model MODEL.json has it
    paper.write_text(json.dumps({"model_sha256": alone}))
    assert (export_hf(path, tmp_path / "alone", [paper]) / "certificates" / paper.name).exists()
    for named, why in (("0" * 64, "a certificate of another model"), (hashlib.sha256().hexdigest(), "names no model")):
        paper.write_text(json.dumps({"model_sha256": named}))
        with pytest.raises(NotIndependentError, match=why):
            export_hf(path, tmp_path / "again", [paper])
    paper.write_text("{}")
    with pytest.raises(DataError, match="not a certificate"):
        export_hf(path, tmp_path / "again", [paper])
    assert not (tmp_path / "again").exists()


def test_a_full_disk_is_that_of_the_folder(tmp_path, monkeypatch):
    _, path = saved(tmp_path)

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left") as caught:
        export_hf(path, tmp_path / "out")
    assert caught.value.filename == str(tmp_path / "out") and not [*tmp_path.glob(".*.part*")]


def test_what_layers_cannot_give_is_refused(tmp_path, cache):
    with_length = {"format": "wide", "unit": "prompt_id", "numeric": ["answer_tokens"], "texts": [{"name": "answer"}]}
    after = {"format": "wide", "unit": "prompt_id", "texts": [{"name": "answer", "after": "prompt"}]}
    for schema, reason in (
        (with_length, "expected one text as the only feature, got answer_tokens, answer"),
        (after, "reads two texts together"),
    ):
        with pytest.raises(UsageError, match=reason):
            export_hf(saved(tmp_path, schema)[1], tmp_path / "out")
    path = encoders.untrained(package.load(pd.DataFrame(RECORDS)), model=MLP((4,), "gelu_tanh")).save(tmp_path / "mlp")
    with pytest.raises(UsageError, match="that sentence-transformers loads has units of gelu_tanh"):
        export_hf(path, tmp_path / "out")
    _, path = saved(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists; name a folder that does not"):
        export_hf(path, tmp_path / "there")
    bert.write(cache / "encoders" / "minilm", seed=1)
    with pytest.raises(DataError, match="the text was read by encoder"):
        export_hf(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
