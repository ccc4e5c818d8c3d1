"""What an attack on the certificates has broken once: each test failed before its fix."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from faro import verify
from faro.certify import ledger as ledgers
from faro.certify.policy import read_policy
from faro.cli import main
from faro.data.seen import write_units
from faro.units import plain
from tests.builders.claims import accepted, claim
from tests.builders.gates import FAIR, Gate, entries, no_ledger, unfair
from tests.oracles import verify_by_hand as hand

ROOT = Path(__file__).parents[2]
OPEN = ["iid-units", "group-labels-correct", "no-ledger", "train-overlap-unchecked"]
PEOPLE = hand.applicants(400, {"A": 0.5, "B": 0.5}, seed=3)


@pytest.fixture
def gate(tmp_path, capsys):
    return Gate(tmp_path, capsys)


def run(folder, *words, **options):
    """The command in a process of its own."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.run([sys.executable, *map(str, words)], cwd=folder, env=env, text=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("unbuffered", "command"), [("", "gate"), ("1", "verify")])
def test_an_answer_that_nobody_reads_is_no_pass(gate, unbuffered, command):
    hand.write_csv(gate.folder / "unfair.csv", unfair())
    rules = accepted(claim(bound=0.4), assumptions=OPEN)
    checked = hand.store(gate.folder / "..", rules, PEOPLE, hand.certify(rules, PEOPLE))
    assert verify.main(checked) == 0
    given = {"gate": ["unfair.csv", "--policy", "faro.toml"], "verify": checked}
    for words in (["-m", "faro", command, *given[command]], [ROOT / "faro" / "verify.py", *checked]):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(gate.folder, *words, env={"PYTHONUNBUFFERED": unbuffered}, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert done.returncode == 70
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--html", "--junit-xml", "--sarif", "--markdown", "--out"])
@pytest.mark.parametrize("target", ["ledger.jsonl", "ledger.jsonl.head", "faro.toml", "audit.csv"])
def test_no_output_replaces_what_is_read(gate, option, target):
    before = {path.name: path.read_bytes() for path in gate.folder.iterdir()}
    code, out, err = gate(FAIR, option, gate.folder / target)
    assert (code, out, err.count("\n")) == (2, "", 1)
    after = {path.name: path.read_bytes() for path in gate.folder.iterdir() if path.name != "audit.csv"}
    assert after == {name: data for name, data in before.items() if name != "audit.csv"}
    assert gate(FAIR, "--html", gate.folder / "one", "--sarif", gate.folder / "one")[0] == 2


@pytest.mark.parametrize("full", ["entry", "head"])
def test_a_full_disk_leaves_the_ledger_as_it_was(gate, monkeypatch, full):
    before = (gate.folder / "ledger.jsonl").read_bytes()

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for seed in (1, 2):  # twice: a head that lags by two entries would end the ledger
        with monkeypatch.context() as broken:
            broken.setattr(ledgers.os, "fsync", no_space) if full == "entry" else broken.setattr(
                ledgers, "write_text", no_space
            )
            assert gate(unfair(seed))[:2] == (5, "")
        assert (gate.folder / "ledger.jsonl").read_bytes() == before
    assert gate(unfair(1))[:2] == (1, "no pass\n")


def test_half_an_entry_of_a_killed_writer_is_dropped_and_only_that(gate):
    gate(unfair(1))
    path = gate.folder / "ledger.jsonl"
    whole = path.read_text()
    for torn in (whole.splitlines()[-1][:70], whole.splitlines()[-1]):
        path.write_text(whole + torn)
        assert gate.faro("ledger", "show")[0] == 0
        assert path.read_text() == whole
    for cut in (whole[:-1], whole[:-30]):  # the head knows that entry: it is not half written but cut off
        path.write_text(cut)
        assert gate(unfair(2))[0] == 6


def test_writers_killed_at_any_moment_lose_no_attempt(gate):
    program = """
import os, random, sys
from pathlib import Path
from faro.certify import ledger
from faro.certify.policy import read_policy
random.seed(int(sys.argv[1]))
def maybe(real):
    def call(*given):
        for _ in range(2):
            if random.random() < 0.1: os.kill(os.getpid(), 9)
            real(*given)
    return call
ledger.os.fsync, ledger.write_text = maybe(ledger.os.fsync), maybe(ledger.write_text)
for _ in range(20):
    with ledger.opened(Path("ledger.jsonl"), read_policy("faro.toml")) as book:
        print(book.attempt(f"{random.getrandbits(200):064x}").entry, flush=True)
"""
    shown = set()
    for seed in range(4):
        done = run(gate.folder, "-c", program, seed, stdout=subprocess.PIPE)
        assert done.returncode in (0, -signal.SIGKILL)
        shown |= set(done.stdout.split())
    with ledgers.opened(gate.folder / "ledger.jsonl", read_policy(gate.folder / "faro.toml")) as book:
        assert shown <= {entry["sha256"] for entry in book.entries}
    assert shown


def test_a_deleted_ledger_is_not_made_again_beside_its_head(gate):
    (gate.folder / "ledger.jsonl").unlink()
    assert gate.faro("ledger", "init", gate.folder / "first.csv")[0] == 6  # its people are listed
    for path in gate.folder.glob("faro-audit-*.txt"):
        path.unlink()
    assert gate.faro("ledger", "init", gate.folder / "first.csv")[0] == 2


def test_a_head_of_other_bytes_is_no_head(gate):
    (gate.folder / "ledger.jsonl.head").write_bytes(b"\xff" * 64)
    code, out, err = gate(FAIR)
    assert (code, out, err.count("\n")) == (6, "", 1)


# People under two names ----------------------------------------------------------------------------------------------

SPELLINGS = ["{}", "{}.0", " {}", "{} ", "0{}", "+{}", "\u00a0{}"]


@pytest.fixture
def audit(tmp_path, capsys):
    """Generator and checker on rows without a ledger: their two exit codes and what was said."""
    (tmp_path / "faro.toml").write_text(hand.toml(accepted(claim(bound=0.4), assumptions=OPEN)))

    def ask(rows, *words):
        hand.write_csv(tmp_path / "audit.csv", rows)
        rest = [str(tmp_path / "audit.csv"), "--policy", str(tmp_path / "faro.toml"), *map(str, words)]
        made = main(["certify", *rest, "--out", str(tmp_path / "cert.json")])
        if not (tmp_path / "cert.json").exists():
            rules = accepted(claim(bound=0.4), assumptions=OPEN)
            (tmp_path / "cert.json").write_text(json.dumps(hand.certify(rules, PEOPLE)))
        checked = verify.main([str(tmp_path / "cert.json"), *rest])
        return made, checked, "".join(capsys.readouterr())

    ask.folder = tmp_path
    return ask


def named(pattern):
    return [row | {"unit": pattern.format(i), "choice": str(i)} for i, row in enumerate(PEOPLE)]


@pytest.mark.parametrize("trained", SPELLINGS)
@pytest.mark.parametrize("audited", ["{}", "{}.0", "{} "])
def test_a_training_unit_is_found_under_any_spelling(trained, audited, tmp_path):
    rows = named(audited)
    write_units(tmp_path / "units.txt", [trained.format(7)], "salt")
    (tmp_path / "faro.toml").write_text(hand.toml(accepted(claim(bound=0.4), assumptions=OPEN)))
    hand.write_csv(tmp_path / "audit.csv", rows)
    words = [str(tmp_path / "audit.csv"), "--policy", str(tmp_path / "faro.toml")]
    words += ["--train-units", str(tmp_path / "units.txt")]
    assert main(["certify", *words]) == 6
    data = (tmp_path / "units.txt").read_bytes()
    audit = verify.read_audit(words[0], verify.read_policy(tmp_path / "faro.toml"))
    with pytest.raises(verify.Refused) as refused:
        verify.check_train_units(hashlib.sha256(data).hexdigest(), words[-1], audit)
    assert refused.value.code == 6


@pytest.mark.parametrize("pattern", SPELLINGS[1:])
def test_nobody_counts_twice_by_another_spelling(audit, pattern):
    rows = named("{}") + [row | {"choice": row["choice"] + "b"} for row in named(pattern)]
    assert audit(rows)[:2] == (6, 6)


def test_equal_content_is_counted(audit):
    rows = [row | {"content": "twice" if i in (3, 7) else f"c{i}"} for i, row in enumerate(PEOPLE)]
    code, _, said = audit(rows)
    assert (code, "2 units show content that another unit shows too" in said) == (0, True)
    assert "shows too" not in audit([row | {"content": f"c{i}"} for i, row in enumerate(PEOPLE)])[2]


def test_generator_and_checker_spell_alike():
    names = ["7", "007", "7.0", "+7", "-7", "7.5", "1e3", "a  b", "\tA ", "\uff17", "\u212b", "0", "0.0", "", "x7.0"]
    assert [plain(name) for name in names] == [verify.plain(name) for name in names]
    assert plain("Anna") != plain("anna")  # identifiers may tell case apart


def test_units_of_training_that_name_nobody_check_nothing(audit):
    (audit.folder / "units.txt").write_text("faro-units/1 salt\n")
    assert audit(PEOPLE, "--train-units", audit.folder / "units.txt")[:2] == (5, 5)


# Tuning data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [["dev"], ["train"], ["gate", "dev"], ["gate", ""], ["Gate"]])
def test_rows_that_may_be_tuned_on_are_no_evidence(audit, parts):
    rows = [row | {"part": parts[i % len(parts)]} for i, row in enumerate(PEOPLE)]
    made, checked, said = audit(rows)
    assert (made, checked) == (0, 6)
    assert said.count("tuning data, no guarantee") == 2
    assert audit([row | {"part": "gate"} for row in PEOPLE])[:2] == (0, 0)


def test_a_certificate_without_an_attempt_proves_nothing_to_a_gate(gate, capsys):
    dev = hand.applicants(1500, {"A": 0.5, "B": 0.5}, seed=7)
    dev = [row | {"unit": f"dev {row['unit']}"} for row in dev]  # not the people of the audit set
    hand.write_csv(gate.folder / "dev.csv", dev)
    assert gate.faro("certify", gate.folder / "dev.csv", "--out", gate.folder / "dev.json")[0] == 0
    for table in ("dev.csv", "first.csv"):
        assert gate.faro("verify", gate.folder / "dev.json", gate.folder / table)[0] in (5, 6)
    assert gate(FAIR, "--out", gate.folder / "gate.json")[0] == 0
    words = ["verify", gate.folder / "gate.json", gate.folder / "first.csv"]
    assert gate.faro(*words)[0] == 0
    assert gate.faro(*words, "--ledger", gate.folder / "nowhere.jsonl")[0] == 2
    code, _, err = gate.faro("verify", gate.folder / "dev.json", gate.folder / "dev.csv")
    assert code == 6
    assert "tuning data" in err


# What is written and read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Gr\u00f6\u00dfe \u8bed\u8a00", "x\n::error::y\nCERTIFIED"])
def test_names_need_no_encoding_and_begin_no_line(tmp_path, name):
    rules = accepted(claim(bound=0.4) | {"name": name}, assumptions=OPEN)
    words = [ROOT / "faro" / "verify.py", *hand.store(tmp_path, rules, PEOPLE, hand.certify(rules, PEOPLE))]
    done = run(tmp_path, *words, env={"PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 6


def test_a_reason_is_one_line_whatever_a_table_is_called(audit):
    rows = [{f"{key}\n::error::{key}" if key == "reward" else key: cell for key, cell in row.items()} for row in PEOPLE]
    made, _, said = audit(rows)
    assert made == 5
    assert not any(line.startswith("::") for line in said.splitlines())


def test_a_reader_gets_the_files_of_a_certificate(audit):
    audit(PEOPLE)
    out = {kind: audit.folder / f"out.{kind}" for kind in ("html", "junit-xml", "sarif", "markdown")}
    words = ["verify", audit.folder / "cert.json", audit.folder / "audit.csv", "--policy", audit.folder / "faro.toml"]
    words += [word for kind, path in out.items() for word in (f"--{kind}", path)]
    assert main(list(map(str, words))) == 0
    record = json.loads((audit.folder / "cert.json").read_text())
    assert record["sha256"] in out["html"].read_text()
    assert "not compared" in audit(PEOPLE)[2]
    record = json.loads((audit.folder / "cert.json").read_text())
    (audit.folder / "cert.json").write_text(json.dumps(record | {"sha256": "0" * 64}))
    assert main(list(map(str, words))) == 5
    assert record["sha256"] not in out["html"].read_text()
    assert ET.fromstring(out["junit-xml"].read_text()).get("errors") == "1"
    assert audit(PEOPLE, "--model", audit.folder / "faro.toml")[0] == 5  # nothing says that a foreign table is of it


@pytest.mark.parametrize("change", [lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b"\n", b"\r\n")])
def test_policies_of_other_editors_are_read_as_they_are(audit, change):
    policy = audit.folder / "faro.toml"
    policy.write_bytes(change(policy.read_bytes()))
    out = audit.folder / "out.md"
    hand.write_csv(audit.folder / "audit.csv", PEOPLE)
    words = ["certify", audit.folder / "audit.csv", "--policy", policy, "--markdown", out]
    assert main(list(map(str, words))) == 0
    assert hashlib.sha256(policy.read_bytes()).hexdigest() in out.read_text()


def test_a_baseline_is_sealed_and_its_answer_is_in_every_file(audit):
    dev = [row | {"part": "dev"} for row in PEOPLE]
    audit(dev)
    base, record = audit.folder / "base.json", json.loads((audit.folder / "cert.json").read_text())
    out = {kind: audit.folder / f"out.{kind}" for kind in ("html", "junit-xml", "sarif", "markdown")}
    files = [word for kind, path in out.items() for word in (f"--{kind}", path)]

    def against(ucb, seal=True):
        record["claims"]["it"]["ucb"] = ucb
        base.write_text(json.dumps(hand.seal(record) if seal else record))
        words = ["certify", audit.folder / "audit.csv", "--policy", audit.folder / "faro.toml", "--baseline", base]
        return main(list(map(str, [*words, *files])))

    honest = record["claims"]["it"]["ucb"]
    assert against(honest) == 0
    assert "no worse than the baseline" in out["junit-xml"].read_text()
    assert "No bound is worse" in out["html"].read_text()
    assert against("0.001") == 1
    assert ET.fromstring(out["junit-xml"].read_text()).get("failures") == "1"
    assert json.loads(out["sarif"].read_text())["runs"][0]["results"][0]["ruleId"] == "faro/worse"
    assert all("orse than in the baseline" in out[kind].read_text() for kind in ("html", "markdown"))
    for wrong in ("Infinity", "1e9", "NaN", True, [], {}):
        assert against(wrong) == 5
    assert against("0.9", seal=False) == 4


# Too few people ------------------------------------------------------------------------------------------------------


def test_what_no_scores_can_show_costs_no_attempt(gate):
    few = hand.applicants(110, {"A": 0.5, "B": 0.5})  # enough for min_group, not for a bound of 0.2 at the share
    text = (gate.folder / "faro.toml").read_text().replace("bound = 0.2", "bound = 0.02")
    (gate.folder / "faro.toml").write_text(text)
    no_ledger(gate.folder)
    hand.write_csv(gate.folder / "few.csv", few)
    gate.faro("ledger", "init", gate.folder / "few.csv")
    said = set()
    for reward in (-1.0, 1.0):  # the answer depends on no score
        code, out, err = gate([row | {"reward": reward * (1 + (row["g"] == "A"))} for row in few])
        assert (code, err) == (3, "")
        said.add(out)
    assert len(said) == 1
    assert "whatever the scores, so few people cannot show 0.02" in said.pop()
    assert entries(gate.folder) == ["init"]


def test_a_unit_above_the_cap_costs_no_attempt(gate):
    text = (gate.folder / "faro.toml").read_text().replace('"exact2"', '"unit-ratio"').replace("cap = 1", "cap = 0.5")
    (gate.folder / "faro.toml").write_text(text)
    no_ledger(gate.folder)
    gate.faro("ledger", "init", gate.folder / "first.csv")
    assert gate(FAIR)[0] == 2
    assert entries(gate.folder) == ["init"]
