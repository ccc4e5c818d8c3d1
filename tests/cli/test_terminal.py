"""Tables at 80 columns: names are folded, digits never lost."""

import pytest

from faro.cli.terminal import show_certificate, show_description, show_model

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
        "rewritten": [],
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


def test_the_gaps_of_a_stack_are_a_table_of_every_part(capsys):
    names = ["demographic_parity(sex)", "demographic_parity(sex&race, within=education_and_more)"]
    figures = {}
    for at, part in enumerate(("train", "selection", "dev")):
        figures |= {f"{part}_n": 12_345, f"{part}_accuracy": 0.8, f"{part}_nll": 0.3, f"{part}_ece": 0.01}
        figures |= {f"{part}_gap[{name}]": 0.1 * (at + 1) + 0.01 * i for i, name in enumerate(names)}
    about = {"bound": [0.05, 0.05], "status": "FEASIBLE", "constraint": " + ".join(names), "data": "adult"}
    show_model(about | {"figures": figures})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["demographic_parity(sex)", "0.1000", "0.2000", "0.3000"] in lines
    assert any(line[-3:] == ["0.1100", "0.2100", "0.3100"] for line in lines)
    assert any(line[:2] == ["selection", "(used)"] for line in lines)
