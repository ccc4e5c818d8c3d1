"""What stands beside a result never breaks it: an exception is planted in every advice, note, picture and page, and
bounds that are met exactly end in a verdict."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from faro import cli
from faro.certify import claims, overlap, repair, sample_size
from faro.certify.combine import Verdict
from faro.certify.policy import read_policy
from faro.cli import outputs
from faro.cli.verdicts import described
from faro.errors import NoProofError, beside
from tests.builders.certificates import make
from tests.builders.claims import CASES, accepted, claim
from tests.builders.outputs import Command
from tests.oracles import verify_by_hand as hand


@pytest.fixture
def faro(tmp_path, capsys, monkeypatch):
    return Command(tmp_path, capsys, monkeypatch)


def fails(*args, **named):
    raise ZeroDivisionError("planted")


def people(groups):
    return [
        {"unit": f"{g}{i}", "choice": f"{g}{i}", "reward": 1.0 if i < k else -1.0, "g": g, "label": 1.0, "part": "dev"}
        for g, (n, k) in groups.items()
        for i in range(n)
    ]


def test_a_reason_is_given_and_a_file_that_cannot_be_written_is_no_advice():
    def unproved():
        raise NoProofError("no proof")

    assert beside(lambda: 3, len) == 3
    assert beside(unproved, "said: {}".format) == "said: no proof"
    assert beside(fails, "said: {}".format) == "said: ZeroDivisionError: planted"
    with pytest.raises(OSError, match="full"):
        beside(lambda: (_ for _ in ()).throw(OSError("full")), str)


def test_rates_whose_repair_found_no_proof_are_certified_and_advised(faro):
    code, files = faro("certify", rows=people({"A": (71, 36), "B": (287, 197)}), bound=0.05)
    assert code == 3
    assert "it: repair: A 0.507 -> " in " ".join(faro.shown.out.split())
    assert "was counted, above 0.05" in files["html"]


PLANTED = [
    (sample_size, "_words", "it: no advice: ZeroDivisionError: planted"),
    (sample_size, "times_as_many", "it: no advice: ZeroDivisionError: planted"),
    (repair, "repair_rates", "it: repair: no advice: ZeroDivisionError: planted"),
    (overlap, "sharing_content", ""),
]


@pytest.mark.parametrize(("module", "name", "said"), PLANTED, ids=[name for _, name, _ in PLANTED])
def test_no_advice_breaks_a_verdict(module, name, said, faro, monkeypatch):
    wide = (
        people({"A": (200, 100), "B": (200, 120)}) if module is repair else people({"A": (200, 100), "B": (200, 101)})
    )
    whole, _ = faro("certify", "--json", rows=wide, bound=0.08)
    record = json.loads(faro.shown.out)
    monkeypatch.setattr(module, name, fails)
    code, _ = faro("certify", "--json", rows=wide, bound=0.08)
    assert (code, json.loads(faro.shown.out)["claims"]) == (whole, record["claims"])
    faro("certify", rows=wide, bound=0.08)
    assert said in " ".join(faro.shown.out.split())


@pytest.mark.parametrize("planted", ["certificate_page", "junit_xml", "sarif", "markdown"])
def test_a_page_that_cannot_be_made_leaves_the_verdict(planted, faro, tmp_path, monkeypatch):
    from faro.report.certificate import _write

    code, _ = faro("certify", bound=0.2)
    kind = next(kind for kind, writer in _write.WRITERS.items() if writer.__name__ == planted)
    monkeypatch.setitem(_write.WRITERS, kind, fails)
    monkeypatch.setattr(_write, "markdown", fails)
    monkeypatch.setattr(_write, "github_annotations", fails)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    assert faro("certify", bound=0.2)[0] == code == 0
    for what in (kind, "summary", "annotations"):
        assert f"faro: note: no {what}: ZeroDivisionError: planted" in faro.shown.err


def test_a_breakdown_radius_that_is_not_found_is_none(tmp_path, monkeypatch):
    rules, rows = next((rules, rows) for rules, rows in CASES if rules["claim"][0].get("ball") == "tv")
    whole, _ = make(tmp_path, rules, rows)
    monkeypatch.setattr(claims.shift, "breakdown", fails)
    found, _ = make(tmp_path, rules, rows)
    assert found.record["claims"]["it"] == whole.record["claims"]["it"] | {"breakdown": None}
    assert found.verdict is whole.verdict is Verdict.CERTIFIED


def counted(record):
    return record.findings["it"].counted


@pytest.mark.slow
def test_a_bound_that_is_met_exactly_ends_in_a_verdict(tmp_path):
    """For every kind of claim: the bound is what was counted, as a float prints it."""
    seen = 0
    for rules, rows in CASES:
        found, _ = make(tmp_path, rules, rows)
        if counted(found) is None or not 0 <= counted(found) < 1:
            continue
        met = rules | {"claim": [rules["claim"][0] | {"bound": f"{Decimal(repr(counted(found))):f}"}]}
        found, _ = make(tmp_path, met, rows)
        policy = read_policy(tmp_path / "faro.toml")
        assert found.verdict in (Verdict.INCONCLUSIVE, Verdict.CERTIFIED)
        notes = [*described(found, policy)[1], *outputs.described(found, policy)["needed"].values()]
        assert not [note for note in notes if "no advice" in note]
        seen += 1
    assert seen > 25


@pytest.mark.parametrize(
    ("constraint", "method", "bound", "groups"),
    [("rate_cap", "clopper-pearson", "0.3", {"A": (100, 30), "B": (100, 20)}),
     ("rate_floor", "clopper-pearson", "0.7", {"A": (100, 30), "B": (100, 40)}),
     ("group_error", "clopper-pearson", "0.7", {"A": (100, 30), "B": (100, 40)}),
     ("demographic_parity", "exact2", "0.1", {"A": (100, 30), "B": (100, 20)}),
     ("demographic_parity", "clopper-pearson", "0.1", {"A": (10, 3), "B": (10, 2)}),
     ("equal_opportunity", "exact2", "0.1", {"A": (10, 7), "B": (10, 6)}),
     ("demographic_parity", "unit-ratio", "0.3", {"A": (10, 3), "B": (10, 0)}),
     ("demographic_parity", "block-pair", "0.3", {"A": (10, 9), "B": (10, 6)})],
)  # fmt: skip
def test_a_counted_share_that_is_the_bound_is_said_to_be(constraint, method, bound, groups, tmp_path, capsys):
    (tmp_path / "faro.toml").write_text(hand.toml(accepted(claim(constraint, method, bound))))
    hand.write_csv(tmp_path / "audit.csv", people(groups))
    code = cli.main(["certify", str(tmp_path / "audit.csv"), "--policy", str(tmp_path / "faro.toml")])
    shown = capsys.readouterr()
    assert (code, shown.err) == (3, "")
    assert f"was counted, the bound itself, {bound}" in " ".join(shown.out.split())


def test_numbers_of_units_are_one_number_wherever_they_stand(faro):
    """On the terminal, in the page, and by hand: what was added to the gap falls with the root of the number."""
    rows = people({"A": (200, 100), "B": (200, 102)})
    code, files = faro("certify", "--json", rows=rows, bound=0.08)
    assert code == 3
    found = json.loads(faro.shown.out)["claims"]["it"]
    counted, ucb = 0.01, float(found["ucb"])
    times = ((ucb - counted) / (0.08 - counted)) ** 2
    words = f"about {times:.2g} times as many units ({times * 400:,.0f}) would have an even chance to show 0.08"
    assert words[1:] in files["html"]  # where it begins a sentence
    faro("certify", rows=rows, bound=0.08)
    assert words in " ".join(faro.shown.out.split())
    assert sample_size.times_as_many(Decimal(found["ucb"]), counted, Decimal("0.08")) == pytest.approx(times)
    assert sample_size.times_as_many(0.1, 0.0, Decimal("0.05")) == pytest.approx(4)
    assert sample_size.more(4.0, "prompts") == "about 4 times as many prompts"
    assert sample_size.more(1.01, "prompts") == "hardly more prompts"
