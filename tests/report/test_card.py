"""The model card of a point."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import yaml

from faro.errors import DataError, UsageError
from faro.report import Run, point, read_run, write_card
from tests.builders.invented import Invented, certify


def card(run: Run, row: int, tmp_path: Path) -> tuple[dict, str]:
    """Front matter as YAML, and the rest."""
    text = write_card(run, row, tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    start, front, rest = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(front), rest


def test_the_card_of_a_point(folder, tmp_path):
    run = read_run(folder)
    row = point(run, 0.1, 1)
    member = run.trials.iloc[row]
    assert (member["bound"], member["seed"]) == (0.1, 1)
    front, text = card(run, row, tmp_path)
    (entry,) = front["model-index"]
    (result,) = entry["results"]  # no certificate, so the development part alone
    assert entry["name"] == "invented, demographic parity (sex), bound 0.1, seed 1"
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {"accuracy": member["dev_accuracy"], "gap": member["dev_gap"]}  # every digit
    assert set(result) == {"task", "dataset", "metrics"}
    assert front["library_name"] == "faro" and "license" not in front
    for column in ("accuracy", "gap", "nll", "ece"):
        row_of = next(line for line in text.splitlines() if line.startswith(f"| {column}"))
        for part in ("dev", "train", "selection"):
            assert f"| {member[f'{part}_{column}']:.4f} " in row_of
        some = run.trials.loc[run.trials["bound"] == 0.1, f"dev_{column}"]
        assert f"| {some.mean():.4f} ({some.min():.4f}-{some.max():.4f}) |" in row_of
    rates = [member["dev_rate[sex=2]"], member["train_rate[sex=2]"]]
    assert f"| sex=2 | {rates[0]:.4f} | {rates[1]:.4f} |" in text
    for part in ("none needed", "1,396 people", "0" * 64, "python: 3.11.7", "pairs within one group count too"):
        assert part in text
    assert "```sh\nfaro frontier --data invented --out again\n```" in text
    assert "```sh\nfaro train --data invented --bound 0.1 --seed 1 --out bound03-seed1\n```" in text
    assert "## Certificate\n\nNone: nobody has shown anything" in text
    assert not re.search(r"\b(fair|unbiased|guaranteed|debiased)\b", text)


def test_which_point_a_card_is_about(folder, tmp_path):
    run = read_run(folder)
    assert point(run) == run.at(0.1)[0]  # the bound of the headline
    assert point(run, 0.15) == run.at(0.1)[0]  # within a tighter bound is within this one
    assert point(run, math.inf, 2) == run.at(math.inf)[2]
    for bound, seed, words in ((0.001, None, r"no bound of at most 0\.001; its bounds are 0\.02, 0\.05"),
                               (0.1, 7, "seed 7; its seeds are 0, 1, 2"), (math.nan, None, "nan")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            point(run, bound, seed)
    none = read_run(Invented(diverged=(0, 1, 2)).write(tmp_path / "none"))
    with pytest.raises(DataError, match="DIVERGED"):
        write_card(none, 0, tmp_path / "card.md")
    infeasible = read_run(Invented(status="INFEASIBLE", seeds=1).write(tmp_path / "infeasible"))
    _, text = card(infeasible, point(infeasible), tmp_path)
    assert "this model is INFEASIBLE" in text and "nothing is known of the spread over seeds" in text


@pytest.mark.parametrize(
    "evil",
    ["</script><script>alert(1)</script>", "a: b # c\n- d", '"\\"', "---", "| a | b |", "[x](javascript:alert(1))",
     "{a: 1}", "*b* _c_ `d` ```", "\u2028\x85\ud7ff\ufeff\U0001f600", "~a~ $x$ &lt;b&gt;", "yes"],
)  # fmt: skip
def test_no_name_breaks_a_card(evil, tmp_path):
    run = read_run(
        Invented(name=evil, parts=(f"parity({evil})",), cell=evil.translate({123: "(", 125: ")"}) + "{}").write(
            tmp_path
        )
    )
    front, text = card(run, point(run), tmp_path)
    result = front["model-index"][0]["results"][0]
    assert result["dataset"]["type"] == evil
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(javascript", text)
    prose = re.sub(r"^(`{3,})\w+\n.*?^\1$", "", text, flags=re.M | re.S)
    table = [line for line in prose.splitlines() if line.startswith("|") and "0." in line]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} <= {6, 7}
    assert len(re.findall(r"^## ", prose, re.M)) == 8


def test_a_certificate_that_says_something_else_is_refused(folder, tmp_path):
    run = certify(folder)
    row = run.at(0.1)[0]
    front, text = card(run, row, tmp_path)
    tuned, audited = front["model-index"][0]["results"]
    assert [tuned["dataset"]["split"], audited["dataset"]["split"]] == ["development", "gate"]
    assert [metric["value"] for metric in audited["metrics"]] == [run.certified[row]]
    assert "is not beside this run" in text
    record = {
        "result": {"verdict": "CERTIFIED"},
        "data": {"units": 1234},
        "sha256": "f" * 64,
        "policy_sha256": "a" * 64,
    }
    place = folder / "certificates" / "bound03-seed0.json"
    place.parent.mkdir()
    place.write_text(json.dumps(record | {"claims": {"parity": {"ucb": repr(float(run.certified[row]))}}}))
    _, text = card(run, row, tmp_path)
    assert "Audited units: 1,234" in text and "sha256 ffff" in text and "Its policy is not beside this run" in text
    for wrong in ({"claims": {"parity": {"ucb": "0.001"}}}, {"result": {"verdict": "REFUTED"}}):
        place.write_text(json.dumps(record | {"claims": {"parity": {"ucb": repr(float(run.certified[row]))}}} | wrong))
        with pytest.raises(DataError, match="files of different runs"):
            write_card(run, row, tmp_path / "card.md")
    place.write_text("{}")
    with pytest.raises(DataError, match="not a certificate"):
        write_card(run, row, tmp_path / "card.md")
