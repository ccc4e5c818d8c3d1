"""`faro transfer` on a model of the demo: bounds above gaps, sets of beta and n, refusals in a line."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from faro.cli import main


@pytest.mark.slow
def test_bounds_lie_above_what_is_measured(tmp_path, capsys):
    model = str(tmp_path / "model")
    assert main(["train", "--data", "demo", "--bound", "0.05", "--set", "steps=30", "--out", model]) == 0
    capsys.readouterr()
    assert main(["transfer", model]) == 2
    assert "--candidates enumerated" in capsys.readouterr().err
    words = ["transfer", model, "--candidates", "enumerated", "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "out" / "transfer.csv")
    assert (tmp_path / "out" / "transfer.png").stat().st_size > 10_000
    by_beta = table[table["axis"] == "beta"]
    assert (by_beta["gap"] <= by_beta["tanh"] + 1e-9).all() and (by_beta["gap"] <= by_beta["wasserstein"] + 1e-9).all()
    assert by_beta["tanh"].is_monotonic_increasing and found["reference"] < 1e-9
    assert table[table["rule"] == "best_of(n=1)"]["gap"].iloc[0] == pytest.approx(found["reference"], abs=1e-9)
    assert (table["low"] <= table["high"]).all() and (table["kl"] >= -1e-12).all()
    assert found["n"]["kept"][0][0] == 1 and found["n"]["end"] == found["n"]["kept"][0][1]
    for wrong in (["--betas", "1,0"], ["--betas", "x"], ["--most", "0"], ["--candidates", "sampled"]):
        given = [*words[:2], "--candidates", "enumerated", *wrong]
        assert main(given) == (0 if "sampled" in wrong else 2), wrong
