"""The gate end to end: one bit, a ledger that cannot be got round, and false passes no more often than promised.

The empirical gate, and a gate that shows its numbers, are the controls that must fail.
"""

from __future__ import annotations

import functools
import json
import threading
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from faro.certify import certificate, modes
from faro.certify import ledger as ledgers
from faro.certify.bounds import two_binomials
from faro.certify.bounds.two_binomials import Counts
from faro.certify.policy import read_policy
from faro.cli import main
from faro.errors import NoProofError, NotIndependentError, UsageError
from tests.builders.claims import accepted, claim
from tests.builders.gates import FAIR, Gate, entries, no_ledger, unfair
from tests.oracles import verify_by_hand as hand


def rescored(rows, seed):
    rng = np.random.default_rng(seed)
    return [row | {"reward": row["reward"] + 1e-6 * float(rng.integers(1, 100))} for row in rows]


@pytest.fixture
def gate(tmp_path, capsys):
    return Gate(tmp_path, capsys)


def test_one_bit_leaves_the_gate(gate):
    code, out, err = gate(unfair(), "--out", gate.folder / "cert.json")
    assert (code, out, err) == (1, "no pass\n", "")
    assert not (gate.folder / "cert.json").exists()
    escrow = json.loads((gate.folder / "escrow" / "attempt0001.json").read_text())
    assert escrow["certificate"]["result"]["verdict"] == "REFUTED"
    assert (gate.folder / "escrow" / "attempt0001.json").stat().st_mode & 0o077 == 0

    assert gate(unfair())[:2] == (1, "no pass\n")  # the same scores are the same attempt
    assert entries(gate.folder) == ["init", "attempt"]
    assert gate(FAIR, "--out", gate.folder / "cert.json")[:2] == (0, "pass\n")
    assert entries(gate.folder) == ["init", "attempt", "attempt", "passed"]
    words = [gate.folder / "cert.json", gate.folder / "audit.csv"]
    assert gate.faro("verify", *words)[0] == 0
    record = json.loads((gate.folder / "cert.json").read_text())
    assert Fraction(record["ledger"]["delta"]) == Fraction("0.05") * ledgers.BASEL / 4

    assert gate(FAIR)[:2] == (0, "pass\n")  # what passed still passes
    assert gate(unfair(1))[0] == 6  # but nothing new is looked at
    assert entries(gate.folder) == ["init", "attempt", "attempt", "passed"]


def test_json_and_further_passes_show_no_number_either(gate):
    text = (gate.folder / "faro.toml").read_text().replace("passes = 1", "passes = 2")
    (gate.folder / "faro.toml").write_text(text)
    assert gate(FAIR)[0] == 6  # the ledger is of another policy
    no_ledger(gate.folder)
    gate.faro("ledger", "init", gate.folder / "first.csv")
    code, out, err = gate(FAIR, "--json", "--out", gate.folder / "cert.json")
    assert (code, json.loads(out)) == (0, {"answer": "pass", "too_few": []})
    assert not (gate.folder / "cert.json").exists()
    assert "stays in escrow" in err
    assert gate(rescored(FAIR, 3), "--out", gate.folder / "cert.json")[0] == 0
    assert (gate.folder / "cert.json").exists()


def test_too_few_people_cost_no_attempt(gate):
    few = hand.applicants(60, {"A": 0.5, "B": 0.5})
    hand.write_csv(gate.folder / "few.csv", few)
    no_ledger(gate.folder)
    gate.faro("ledger", "init", gate.folder / "few.csv")
    code, out, _ = gate(few)
    assert code == 3
    assert out.splitlines()[0] == "too few people"
    assert "A: 30 units, the policy asks for 50" in out
    assert entries(gate.folder) == ["init"]


def lines(folder):
    return (folder / "ledger.jsonl").read_text().splitlines(keepends=True)


def test_a_ledger_that_is_missing_shortened_or_forked_is_no_ledger(gate):
    gate(unfair(1))
    gate(unfair(2))
    whole, head = lines(gate.folder), (gate.folder / "ledger.jsonl.head").read_text()
    forged = dict(json.loads(whole[2]), rows_sha256="0" * 64)
    forged["sha256"] = ledgers.digest({k: v for k, v in forged.items() if k != "sha256"})
    for wrong in (
        whole[:1], whole[1:], [*whole, whole[2]], [whole[0], whole[2]], [*whole[:2], json.dumps(forged) + "\n"],
        [*whole[:2], whole[2].replace('"attempt":2', '"attempt":1')], [*whole, "{}\n"], [*whole, "[1]\n"], ["\n"], [],
    ):  # fmt: skip
        (gate.folder / "ledger.jsonl").write_text("".join(wrong))
        code, out, err = gate(unfair(3))
        assert (code, out) == (6, "")
        assert err.count("\n") == 1
        assert lines(gate.folder) == "".join(wrong).splitlines(keepends=True)
    (gate.folder / "ledger.jsonl").write_text("".join(whole))
    (gate.folder / "ledger.jsonl.head").unlink()
    assert gate(unfair(3))[0] == 6
    (gate.folder / "ledger.jsonl.head").write_text(head)
    (gate.folder / "ledger.jsonl").unlink()
    assert gate(unfair(3))[0] == 6
    assert not (gate.folder / "ledger.jsonl").exists()  # it is never made on the way
    (gate.folder / "ledger.jsonl").write_text("".join(whole))
    assert gate(unfair(3))[0] == 1
    assert gate.faro("ledger", "init", gate.folder / "first.csv")[0] == 6  # these people have one


def test_a_writer_that_was_killed_between_ledger_and_head_does_no_harm(gate):
    gate(unfair(1))
    (gate.folder / "ledger.jsonl.head").write_text(json.loads(lines(gate.folder)[0])["sha256"])
    assert gate(unfair(2))[0] == 1
    assert entries(gate.folder) == ["init", "attempt", "attempt"]


def test_another_audit_set_or_bad_scores_leave_the_ledger_as_it_is(gate):
    before = lines(gate.folder)
    assert gate(FAIR[:-1])[0] == 6
    assert gate([row | {"reward": "nan"} for row in FAIR])[0] == 5
    assert gate([*FAIR, FAIR[0]])[0] == 6
    assert gate([row | {"part": "dev"} for row in FAIR])[0] == 6
    assert gate(FAIR, "--train-units", gate.folder / "absent.txt")[0] == 5
    assert lines(gate.folder) == before


def test_disclosure_shows_numbers_once_and_retires_the_set(gate):
    gate(unfair(1))
    table = gate.folder / "first.csv"
    assert gate.faro("certify", table)[0] == 6  # not by the back door
    code, out, _ = gate.faro("certify", table, "--disclose", "--out", gate.folder / "cert.json")
    assert code == 0
    assert "CERTIFIED" in out
    assert entries(gate.folder) == ["init", "attempt", "points", "disclosed"]
    assert gate.faro("verify", gate.folder / "cert.json", table)[0] == 0
    assert gate(unfair(2))[0] == 6
    assert gate.faro("certify", table, "--disclose")[:2] == (0, out)  # what was shown may be shown again
    assert gate.faro("certify", gate.folder / "audit.csv", "--disclose")[0] == 6
    assert len(entries(gate.folder)) == 4
    assert "disclosed" in gate.faro("ledger", "show")[1]


def test_points_share_one_attempt(gate):
    policy = read_policy(gate.folder / "faro.toml")
    cases = []
    gate(unfair(0))
    for seed in range(3):
        hand.write_csv(gate.folder / f"{seed}.csv", unfair(seed))
        cases.append(certificate.prepare(gate.folder / f"{seed}.csv", policy))
    found = modes.disclose(cases, gate.folder / "ledger.jsonl")
    shares = [Fraction(each.record["ledger"]["delta"]) for each in found]
    assert shares == [ledgers.share(Fraction("0.05"), 1, 1), *[ledgers.share(Fraction("0.05"), 2, 1) / 2] * 2]
    for seed, each in enumerate(found):
        (gate.folder / "cert.json").write_text(json.dumps(each.record))
        assert gate.faro("verify", gate.folder / "cert.json", gate.folder / f"{seed}.csv")[0] == 1


@pytest.mark.parametrize("rows", ["0" * 64, [], ["no digest"], None, [1]])
def test_the_checker_refuses_points_that_are_no_list_of_tables(gate, rows):
    table = gate.folder / "first.csv"
    gate.faro("certify", table, "--disclose", "--out", gate.folder / "cert.json")
    whole = [json.loads(line) for line in lines(gate.folder)]
    whole[1]["rows_sha256"] = rows
    for before, entry in pairwise(whole):
        entry["previous"] = before["sha256"]
        entry["sha256"] = ledgers.digest({k: v for k, v in entry.items() if k != "sha256"})
    (gate.folder / "ledger.jsonl").write_text("".join(ledgers.canonical(entry) + "\n" for entry in whole))
    assert gate.faro("verify", gate.folder / "cert.json", table)[0] == 5


@pytest.mark.parametrize("fault", [NoProofError("planted"), RuntimeError("planted"), "lie"])
def test_a_bound_that_fails_or_lies_never_passes(gate, monkeypatch, fault):
    def broken(*_, **__):
        if fault == "lie":
            return Decimal("0.001")
        raise fault

    monkeypatch.setattr("faro.certify.bounds.two_binomials.upper", broken)
    monkeypatch.setattr("faro.certify.bounds.two_binomials.rejects", lambda *_: True)
    monkeypatch.setattr("faro.certify.claims._Finder._apart", lambda *_: 0.0)  # the lie is told twice
    assert gate(unfair())[:2] == (1, "no pass\n")
    reason = json.loads((gate.folder / "escrow" / "attempt0001.json").read_text())["reason"]
    assert "planted" in reason if fault != "lie" else "checker refused" in reason


def test_two_at_once_wait_for_each_other(gate):
    policy = read_policy(gate.folder / "faro.toml")
    frame = certificate.prepare(gate.folder / "first.csv", policy).audit.frame_sha256

    def look(number):
        with ledgers.opened(gate.folder / "ledger.jsonl", policy, frame) as book:
            book.attempt(f"{number:064x}")

    threads = [threading.Thread(target=look, args=(i,)) for i in range(8)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    with ledgers.opened(gate.folder / "ledger.jsonl", policy, frame) as book:
        assert book.attempts == 8


def test_dev_rows_have_options_of_their_own(tmp_path, capsys):
    (tmp_path / "faro.toml").write_text(hand.toml(accepted(claim(bound=0.03))))
    hand.write_csv(tmp_path / "dev.csv", [row | {"part": "dev"} for row in FAIR])
    hand.write_csv(tmp_path / "other.csv", [row | {"part": "dev"} for row in FAIR[:-2]])
    hand.write_csv(tmp_path / "worse.csv", [row | {"part": "dev"} for row in unfair()])

    def faro(table, *words):
        code = main(["certify", str(tmp_path / table), "--policy", str(tmp_path / "faro.toml"), *map(str, words)])
        return code, capsys.readouterr()

    code, shown = faro("dev.csv", "--out", tmp_path / "base.json")
    assert code == 3
    assert "tuning data, no guarantee" in shown.out
    assert "would have an even chance to show" in " ".join(shown.out.split())
    assert faro("dev.csv", "--fail-on", "refuted")[0] == 0
    assert faro("worse.csv", "--fail-on", "refuted")[0] == 1
    code, shown = faro("worse.csv", "--report-only")
    assert code == 0
    assert "repair" in shown.out
    assert faro("dev.csv", "--baseline", tmp_path / "base.json")[0] == 0
    code, shown = faro("worse.csv", "--baseline", tmp_path / "base.json")
    assert (code, shown.err.count("\n")) == (1, 1)
    assert faro("other.csv", "--baseline", tmp_path / "base.json")[0] == 5
    (tmp_path / "base.json").write_text("{")
    assert faro("dev.csv", "--baseline", tmp_path / "base.json")[0] == 5
    assert faro("dev.csv", "--disclose", "--report-only")[0] == 2
    assert faro("dev.csv", "--disclose")[0] == 2  # no ledger to disclose it to


# How often a model that is not fair enough passes --------------------------------------------------------------------

BOUND, DELTA = Decimal("0.05"), Fraction("0.05")


@functools.cache
def passes(k_a: int, k_b: int, n: int, attempt: int) -> bool:
    """Whether the ledger's gate certifies these counts at this attempt."""
    return two_binomials.rejects(Counts(k_a, n), Counts(k_b, n), BOUND, float(ledgers.share(DELTA, attempt, 1)))


def test_a_thousand_projects_pass_falsely_at_most_as_often_as_promised():
    """True gap just above the bound; every project tunes on dev and submits its best up to 20 times."""
    rng = np.random.default_rng(5)
    projects, attempts, candidates, n = 1000, 20, 10, 1500
    rates = 0.3 + np.array([[0.0501], [0.0]])  # of every candidate: nobody has found a better one
    dev = rng.binomial(n, rates[:, :, None, None], (2, 1, projects * attempts, candidates)).squeeze(1) / n
    best = np.argmin(dev[0] - dev[1], axis=1)  # what looks best on dev: the gate's people do not know
    assert (np.take_along_axis(dev[0] - dev[1], best[:, None], 1) <= 0.05).mean() > 0.9  # dev gives no guarantee
    k_a, k_b = (rng.binomial(n, rate, (projects, attempts)) for rate in (0.3501, 0.3))
    false = np.zeros(projects, bool)
    for i, j in zip(*np.nonzero((k_a - k_b) / n < 0.05 - 1.3 * np.sqrt(0.43 / n)), strict=True):  # no other can pass
        false[i] |= passes(int(k_a[i, j]), int(k_b[i, j]), n, int(j) + 1)
    upper = float(two_binomials.clopper_pearson_upper(int(false.sum()), projects, 0.01))
    assert false.mean() <= 0.05
    assert upper < 0.08
    empirical = ((k_a - k_b) / n <= 0.05).any(1)
    assert empirical.mean() > 0.99  # the control: a gate on the observed gap passes nearly everybody


def test_numbers_teach_the_audit_set_and_bits_do_not():
    """The attacker of numeric gates: asks about random directions, keeps those that lower the audited gap, adds up."""
    rng = np.random.default_rng(2)
    asked, bound = 1000, Decimal("0.1")

    def people(count):
        return rng.integers(0, 2, count), rng.normal(size=count), rng.choice([-1.0, 1.0], (count, asked)).astype("f4")

    def decisions(people, direction):
        group, noise, features = people
        return noise + 0.65 * group - 0.3 + 1.2 * features @ direction / np.sqrt(asked) > 0

    def gap(people, direction):
        chosen = decisions(people, direction)
        return float(chosen[people[0] == 1].mean() - chosen[people[0] == 0].mean())

    def certified(direction):
        chosen = decisions(audit, direction)
        a, b = (Counts(int(chosen[audit[0] == g].sum()), int((audit[0] == g).sum())) for g in (1, 0))
        level = float(ledgers.share(DELTA, 1, 1))
        return two_binomials.rejects(a, b, bound, level) and two_binomials.rejects(b, a, bound, level)

    audit, everybody = people(2000), people(10_000)
    base = audit[1] + 0.65 * audit[0] - 0.3
    moved = base[:, None] + 0.5 * audit[2] > 0  # one question per feature
    shown = moved[audit[0] == 1].mean(0) - moved[audit[0] == 0].mean(0)
    blind = rng.choice([-1.0, 1.0], asked).astype("f4")  # "no pass" to every question says nothing
    learnt = -np.sign(shown - np.median(shown)).astype("f4")
    mixed = [np.where(np.arange(asked) < share * asked, learnt, blind) for share in np.linspace(0, 1, 11)]
    learnt = min(mixed, key=lambda direction: abs(gap(audit, direction)))
    for direction, passes in ((learnt, True), (blind, False)):
        assert gap(everybody, direction) > 0.12  # what is true of people nobody asked about
        assert certified(direction) is passes


def test_shares_of_all_attempts_are_below_delta():
    for most in (1, 2, 5):
        spent = Fraction(0)
        for j in range(1, 200):
            share = ledgers.share(DELTA, j, most)
            assert 0 < share < DELTA
            spent += share
        assert spent < DELTA
    assert ledgers.share(DELTA, 1, 1) == DELTA * ledgers.BASEL


def test_a_ledger_needs_a_policy_that_names_it(tmp_path):
    (tmp_path / "faro.toml").write_text(hand.toml(accepted()))
    with pytest.raises(UsageError, match="names no ledger"):
        ledgers.place(read_policy(tmp_path / "faro.toml"), None)
    with (
        pytest.raises(NotIndependentError, match="no ledger"),
        ledgers.opened(Path(tmp_path / "l"), read_policy(tmp_path / "faro.toml")),
    ):
        pass


PIECES = [b"nan", b"1e999", b'"', b",", b"\n", b"\x00", b"[", b"-", b"0", b"9" * 50, b"\xff", b"= ", b"inf"]


def mutated(data, rng):
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, kind = int(rng.integers(len(data))), rng.integers(4)
        if kind == 0:
            data[at] = int(rng.integers(256))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 30))]
        elif kind == 2:
            data[at:at] = PIECES[int(rng.integers(len(PIECES)))]
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 60))]
    return bytes(data)


@pytest.mark.slow
def test_broken_files_end_with_a_documented_code_and_one_line(gate):
    rng = np.random.default_rng(9)
    hand.write_csv(gate.folder / "audit.csv", FAIR[:60])
    no_ledger(gate.folder)
    gate.faro("ledger", "init", gate.folder / "audit.csv")
    names = ("faro.toml", "audit.csv", "ledger.jsonl", "ledger.jsonl.head")
    good = {name: (gate.folder / name).read_bytes() for name in names}
    seen = set()
    for i in range(150):
        for name in names:
            (gate.folder / name).write_bytes(mutated(good[name], rng) if name == names[i % 3] else good[name])
        code, out, err = gate.faro(*(("gate",), ("certify", "--disclose"))[i % 2], gate.folder / "audit.csv")
        assert code in (0, 1, 2, 3, 5, 6), err
        said = [line for line in err.splitlines() if not line.startswith("faro: note: ")]
        assert len(said) == (code in (2, 5, 6))
        assert bool(out) == (code in (0, 1, 3))
        seen.add(code)
    assert {2, 5, 6} <= seen
