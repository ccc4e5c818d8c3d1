"""Tables at 80 columns: names are folded, digits never lost."""

import pytest

from faro.cli.terminal import show_certificate, show_description

PARTS = ("train", "dual", "selection", "dev", "gate")
LEVEL = "Machine-operating inspectors, adm-clerical and others"


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def described(level, count):
    levels = [{"level": level, "count": count, "units": 99, "parts": dict.fromkeys(PARTS, count)}]
    attribute = {"name": "occupation", "of": "chooser", "excluded": 0, "levels": levels}
    sizes = {part: {"choices": count, "units": 267} for part in PARTS}
    words = dict.fromkeys(("title", "source", "licence", "unit", "traps"), "")
    about = {
        "name": "x",
        "rows": count,
        "choices": count,
        "alternatives": 2,
        "units": 267,
        "called": "people",
        "texts": [],
        "notes": [],
        "dropped": 0,
    }
    features = {"items": ["a"], "context": []}
    return {**about, **words, "parts": sizes, "attributes": [attribute], "twins": {}, "features": features}


@pytest.mark.parametrize(("level", "count"), [("Male", 267), (LEVEL, 26_712), (LEVEL, 1_267_267)])
def test_every_digit_of_every_count_is_there(level, count, capsys):
    show_description(described(level, count))
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.split()[-1:] == ["99"] and line.count(f"{count:,}") > 2)
    assert row.count(f"{count:,}") == 1 + len(PARTS)
    assert "…" not in out
    folded = "".join(line[1:].split("  ")[0] for line in out[out.index(row) :].splitlines())
    assert folded.replace(" ", "").startswith(level.replace(" ", ""))


def test_a_claim_with_a_long_name_keeps_its_numbers(capsys):
    row = {"claim": "equal_opportunity(sex) within community", "part": 1, "bound": 0.12345, "gap": 0.12345}
    show_certificate([row | {"upper": 0.34567, "people needed": 1_234_567, "verdict": "PASS"}], [], "ok")
    out = capsys.readouterr().out
    assert all(word in out for word in ("0.1235", "0.3457", "1234567", "PASS"))
    assert max(map(len, out.splitlines())) <= 80
