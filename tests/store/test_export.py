"""`faro export --to hf`: the layers of the folder give the rewards of the scored table."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import faro as package
from faro.errors import DataError, NotIndependentError, UsageError
from faro.files import sha256_of
from faro.store.export import export_hf
from faro.store.model import model_files
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
    paper.write_text(json.dumps({"model_sha256": "0" * 64}))
    with pytest.raises(NotIndependentError, match="a certificate of another model"):
        export_hf(path, tmp_path / "again", [paper])
    paper.write_text("{}")
    with pytest.raises(DataError, match="not a certificate"):
        export_hf(path, tmp_path / "again", [paper])
    assert not (tmp_path / "again").exists()


def test_what_layers_cannot_give_is_refused(tmp_path, cache):
    with_length = {"format": "wide", "unit": "prompt_id", "numeric": ["answer_tokens"], "texts": [{"name": "answer"}]}
    after = {"format": "wide", "unit": "prompt_id", "texts": [{"name": "answer", "after": "prompt"}]}
    for schema, reason in (
        (with_length, "expected one text as the only feature, got answer_tokens, answer"),
        (after, "reads two texts together"),
    ):
        with pytest.raises(UsageError, match=reason):
            export_hf(saved(tmp_path, schema)[1], tmp_path / "out")
    _, path = saved(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists; name a folder that does not"):
        export_hf(path, tmp_path / "there")
    bert.write(cache / "encoders" / "minilm", seed=1)
    with pytest.raises(DataError, match="the text was read by encoder"):
        export_hf(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
