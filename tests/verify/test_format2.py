"""Format 2: what a table says of itself travels to the certificate, and nothing of it can be changed without a word.

Certificates are made by hand from the page, in both formats. Every field that travels is changed in turn and sealed
again: a table of mutants, none silent. Then honest certificates over random rules, which all check.
"""

from __future__ import annotations

import copy
import hashlib
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faro import verify
from tests.builders.claims import BOTH, claim
from tests.oracles import verify_by_hand as hand
from tests.oracles.schema import SCHEMA, fits
from tests.oracles.verdicts import check, codes

SEED = "5eed" * 16
PROMPTS = {"prompt": lambda rng, i: f"q{i % 40}"}
PEOPLE = hand.applicants(160, {"A": 0.3, "B": 0.32}, **PROMPTS)
RULES = hand.policy2(claim(bound=0.4))


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Project:
    """A described table, its certificate, and all that goes with them, in a folder."""

    def __init__(self, folder, rules=RULES, rows=PEOPLE, description=None, **options):
        folder.mkdir(exist_ok=True)
        self.folder, self.rules, self.rows = folder, rules, hand.decided(rows, rules)
        (folder / "model.json").write_bytes(b"model")
        self.description = description or hand.describe(
            self.rows, rules, shared=["prompt"], constraint="demographic_parity, bound 0.4"
        )
        self.cert = self.certify(self.description, **options)
        self.more = ["--model", str(folder / "model.json")]

    def certify(self, description, **options):
        cert = hand.certify(self.rules, self.rows, description=description, **options)
        return hand.seal(cert | {"model_sha256": sha(sha(b"model").encode())})

    def check(self, capsys, cert=None, description=..., more=None):
        description = self.description if description is ... else description
        args = hand.store(self.folder, self.rules, self.rows, cert or self.cert, description)
        return check([*args, *(self.more if more is None else more)], capsys)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


# ---------------------------------------------------------------- what travels
def described(**changes):
    return lambda d: d | changes


def inside(name, **changes):
    return lambda d: d | {name: d[name] | changes}


GROUP = {"levels": ["A", "B"], "chooser": False}
# name -> the change, and the code of a certificate that was made of the changed description; None: only words changed.
MUTANTS = {
    "schema": (described(schema="faro-scored/2"), 5), "outside": (described(outside="none"), 5),
    "outside by column": (described(outside="column"), 5), "rule": (described(rule="sample"), 5),
    "threshold": (described(threshold="0.5"), 5), "threshold, no number": (described(threshold=0), 5),
    "weights": (described(weights="column"), 5), "weights, no word": (described(weights="some"), 5),
    "estimand": (described(estimand="unit"), None), "estimand, no word": (described(estimand="rows"), 5),
    "units of another column": (inside("units", column="rater"), 5),
    "units by content": (described(units={"origin": "content", "column": "row", "rule": 2}), 5),
    "units of a column that is called row": (inside("units", column="row"), 5),
    "units of none": (described(units={"origin": "none", "column": "", "rule": 2}), 6),
    "units of a strange origin": (inside("units", origin=["column"]), 5),
    "units without a rule": (inside("units", rule=None), 5), "units, spelling rule": (inside("units", rule=1), None),
    "units, a field more": (inside("units", x=1), 5),
    "shared, dropped": (described(shared=[]), 5), "shared, no column": (described(shared=["item"]), 5),
    "shared, not sorted": (described(shared=["prompt", "g"]), 5), "shared, twice": (described(shared=["g", "g"]), 5),
    "attribute dropped": (described(attributes={}), 5),
    "a level more": (described(attributes={"g": GROUP | {"levels": ["A", "B", "C"]}}), 5),
    "a level less": (described(attributes={"g": GROUP | {"levels": ["A"]}}), 5),
    "another level": (described(attributes={"g": GROUP | {"levels": ["A", "b"]}}), 5),
    "order of levels": (described(attributes={"g": GROUP | {"levels": ["B", "A"]}}), None),
    "chooser": (described(attributes={"g": GROUP | {"chooser": True}}), 5),
    "chooser, no word": (described(attributes={"g": GROUP | {"chooser": 0}}), 5),
    "an attribute that the table has not": (described(attributes={"g": GROUP, "h": GROUP}), 5),
    "constraint": (described(constraint="equalized_odds, bound 0.01"), None),
    "constraint, no text": (described(constraint=None), 5),
    "model": (described(model_sha256=[sha(b"another")]), 5), "no model": (described(model_sha256=[]), 5),
    "model, no digest": (described(model_sha256=["x"]), 5),
    "units of training": (described(train_units_sha256="1" * 64), None),  # no --train-units: nothing to compare
    "units of training, no digest": (described(train_units_sha256="x"), 5),
    "data": (described(data_sha256="1" * 64), None), "data, no digest": (described(data_sha256=3), 5),
    "table": (described(table_sha256="1" * 64), 5), "a field more": (described(note="x"), 5),
    "a field less": (lambda d: {k: v for k, v in d.items() if k != "weights"}, 5),
}  # fmt: skip


def test_no_field_that_travels_changes_without_a_word(project, capsys):
    """Resealed: the certificate of the unchanged description refuses all; one of the changed has the stated code."""
    assert project.check(capsys)[0] == 0
    for name, (change, code) in MUTANTS.items():
        mutant = hand.reseal(change(project.description))
        assert project.check(capsys, description=mutant)[0] in ({5, 6} if code == 6 else {5}), name
        shared = mutant["shared"] if mutant["shared"] in ([], ["prompt"]) else []
        cert = project.certify(mutant | {"shared": shared})
        cert["data"]["description_sha256"] = mutant["sha256"]
        assert project.check(capsys, hand.seal(cert), mutant)[0] == (code or 0), name
    words = [name for name, (_, code) in MUTANTS.items() if code is None]
    assert len(words) < len(MUTANTS) / 4


def test_a_change_that_is_not_sealed_is_found(project, capsys):
    for name, value in project.description.items():
        changed = project.description | {name: [] if value != [] else ["x"]}
        cert = copy.deepcopy(project.cert)
        cert["data"]["description_sha256"] = project.description["sha256"]
        assert project.check(capsys, hand.seal(cert), changed)[0] == 5, name


def test_a_description_deleted_or_of_another_table(project, capsys):
    assert "no description" in project.check(capsys, description=None)[1]
    other = hand.describe(project.rows[1:], RULES, shared=["prompt"])
    cert = project.certify(other)
    code, said = project.check(capsys, cert, other)
    assert (code, "describes another table" in said) == (5, True)
    foreign = project.certify(None)
    assert project.check(capsys, foreign, None)[0] == 5  # --model, and nothing says what scored the table
    code, said = project.check(capsys, foreign, None, more=[])
    assert (code, "foreign table" in said, "undescribed-table" in said) == (0, True, True)
    assert project.check(capsys, foreign, more=[])[0] == 5  # it is described after all
    beside = project.folder / "audit.csv-metadata.json"
    args = hand.store(project.folder, RULES, project.rows, project.cert)
    beside.symlink_to(project.folder / "nowhere")
    assert check(args, capsys)[0] == 2
    beside.unlink()


def test_a_policy_that_the_description_contradicts(project, capsys):
    for change, code in (
        ({"outside": "none"}, 5), ({"threshold": "0.25"}, 5), ({"units": "rater"}, 5), ({"units": "row"}, 5),
        ({"attributes": {"g": {"levels": ["A", "B", "C"]}}}, 5), ({"threshold": "0.0"}, 0),
        ({"attributes": {"g": {"levels": ["A", "B"], "chooser": True}}}, 5),
    ):  # fmt: skip
        rules = RULES | change
        other = Project(project.folder, rules, PEOPLE, project.description)
        other.rows = project.rows
        try:
            other.cert = other.certify(project.description)
        except (KeyError, ValueError, ZeroDivisionError):
            other.cert = hand.seal(project.cert | {"policy_sha256": sha(hand.toml(rules).encode())})
        assert other.check(capsys)[0] == code, change


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1.5}', "[" * 3000, '{"a": 1, "a": 2}', "\ud800"])
def test_descriptions_that_are_none(text, project, capsys):
    args = hand.store(project.folder, RULES, project.rows, project.cert)
    (project.folder / "audit.csv-metadata.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert check(args, capsys)[0] == 5


def test_random_descriptions_end_with_documented_codes(project, capsys):
    rng = np.random.default_rng(0)
    anything = [None, True, 0, -1, "", "x", [], {}, ["x", 1], {"x": "y"}, [[]], "1e3", "9" * 70, ["a", "a"], 10**13]
    args = hand.store(project.folder, RULES, project.rows, project.cert)
    found = set()
    for _ in range(150):
        changed = copy.deepcopy(project.description)
        node = changed
        while True:
            key = list(node)[int(rng.integers(len(node)))]
            if not isinstance(node[key], dict) or rng.random() < 0.4:
                break
            node = node[key]
        node[key] = anything[int(rng.integers(len(anything)))]
        changed = hand.reseal(changed)
        (project.folder / "audit.csv-metadata.json").write_text(json.dumps(changed))
        if changed != project.description:
            found.add(check(args, capsys)[0])
    assert found == {5}


# ---------------------------------------------------------------- decisions
def test_decisions_are_those_of_the_policy(project, capsys):
    for change, code in (
        ({"decision": 0.5}, 5),
        ({"decision": "x"}, 5),
        ({"decision": ""}, 0),
        ({"decision": None}, 0),
    ):
        rows = [row | change if i == 7 else row for i, row in enumerate(project.rows)]
        cert = hand.certify(RULES, rows)
        assert check(hand.store(project.folder, RULES, rows, cert), capsys)[0] == code
    for rules in (RULES | {"threshold": "0.3"}, RULES | {"outside": "none"}):
        cert = hand.certify(RULES, project.rows, form=2)
        cert = hand.seal(cert | {"policy_sha256": sha(hand.toml(rules).encode())})
        code, said = check(hand.store(project.folder, rules, project.rows, cert), capsys)
        assert (code, "`outside` and `threshold`" in said) == (5, True)


# ---------------------------------------------------------------- certificates
def reopened(cert, change):
    changed = copy.deepcopy(cert)
    change(changed)
    return hand.seal(changed)


def setter(*path, value):
    def change(cert):
        for key in path[:-1]:
            cert = cert[key]
        cert[path[-1]] = value

    return change


FORGED = {
    "description": (setter("data", "description_sha256", value="1" * 64), 5),
    "no description": (setter("data", "description_sha256", value=None), 5),
    "no shared column": (setter("data", "shared", value={}), 5),
    "fewer values": (setter("data", "shared", "prompt", "values", value=39), 5),
    "nothing crossed": (setter("data", "shared", "prompt", "crossed", value=0), 5),
    "crossed, no count": (setter("data", "shared", "prompt", "crossed", value=True), 5),
    "seen in training": (setter("data", "shared", "prompt", "trained", value=0), 5),
    "a column more": (setter("data", "shared", "g", value={"values": 2, "crossed": 2, "trained": None}), 5),
    "shared, no object": (setter("data", "shared", value=[]), 5),
    "data, a field less": (lambda c: c["data"].pop("shared"), 5),
    "format 1": (setter("schema", value="faro-certificate/1"), 5),
    "format 3": (setter("schema", value="faro-certificate/3"), 5), "format, a list": (setter("schema", value=[2]), 5),
    "an assumption dropped": (lambda c: c["assumptions"].remove("same-items"), 4),
    "an assumption added": (lambda c: c["assumptions"].append("weights-ignored"), 4),
    "ucb below what was counted": (setter("claims", "it", "ucb", value="0.01"), 4),
}  # fmt: skip


def test_no_new_field_of_a_certificate_can_be_forged(project, capsys):
    for name, (change, code) in FORGED.items():
        assert project.check(capsys, reopened(project.cert, change))[0] == code, name


def test_assumptions_of_format_2_are_admitted_by_policies_of_format_2(project, tmp_path, capsys):
    weighed = [row | {"weight": 1.0 + i % 2} for i, row in enumerate(PEOPLE)]
    for missing, options in (
        ("same-items", {}), ("undescribed-table", {"foreign": True}),
        ("weights-ignored", {"rows": weighed, "estimand": "unit"}),
    ):  # fmt: skip
        admitted = [a for a in RULES["assumptions"] if a != missing]
        rows, estimand = options.get("rows", PEOPLE), options.get("estimand", "row")
        for rules, code in (
            (hand.policy2(claim(bound=0.4), assumptions=admitted, estimand=estimand), 2),
            (hand.policy2(claim(bound=0.4), estimand=estimand), 0),
            (hand.policy(claim(bound=0.4), outside="all", threshold=0, estimand=estimand), 0),
        ):
            description = None if "foreign" in options else hand.describe(rows, rules, shared=["prompt"])
            cert = hand.certify(rules, rows, description=description, form=2)
            assert missing in cert["assumptions"]
            args = hand.store(tmp_path, rules, rows, cert, description)
            assert check(args, capsys)[0] == code, missing


def test_formats_do_not_mix(project, tmp_path, capsys):
    first = hand.policy(claim(bound=0.4), outside="all")
    for rules, form, code in ((first, 1, 0), (first, 2, 0), (RULES, 2, 0), (RULES, 1, 5)):
        cert = hand.certify(rules, PEOPLE, form=form)
        assert check(hand.store(tmp_path, rules, PEOPLE, cert), capsys)[0] == code
    for change in ({"units": "person"}, {"ties": 0.1}, {"assumptions": [*first["assumptions"], "same-items"]}):
        rules = first | change
        assert check(hand.store(tmp_path, rules, PEOPLE, hand.certify(rules, PEOPLE)), capsys)[0] == 2
    for fields in ({"per": "prompt"}, {"cap": 1}):
        rules = hand.policy(claim(bound=0.4, **fields), outside="all")
        assert check(hand.store(tmp_path, rules, PEOPLE, hand.certify(rules, PEOPLE)), capsys)[0] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "known"}, {"outside": None}, {"threshold": None}, {"units": None}, {"units": ""}, {"ties": -0.1},
        {"ties": 1.5}, {"ties": "x"}, {"per": "reward"}, {"per": "unit"}, {"per": ""}, {"per": 3}, {"cap": 0},
        {"per": "reward:g=A"},
    ],
    ids=str,
)  # fmt: skip
def test_bad_policies(change, project, capsys):
    rules = RULES | change
    if {"per", "cap"} & set(change):
        rules = RULES | {"claim": [claim(bound=0.4, **change)]}
    rules = {key: value for key, value in rules.items() if value is not None}
    args = hand.store(project.folder, RULES, project.rows, project.cert, project.description)
    Path(args[-1]).write_text(hand.toml(rules))
    assert check(args, capsys)[0] == 2


# ---------------------------------------------------------------- what was counted
def thinned_people(n=240):
    """Two rows a unit; `fair` are the positions that a model may know to be kept."""
    rows = []
    for i in range(n):
        for t in range(2):
            rows.append({"unit": f"u{i}", "choice": f"c{i}-{t}", "alternative": "", "g": "AB"[i % 2], "reward": -1.0})
    return rows


@pytest.mark.parametrize("form", [1, 2])
def test_fair_on_the_rows_that_are_kept_is_not_fair(form, tmp_path, capsys):
    """Whoever knows the nonce accepts a third of the kept rows in both groups, and all others of group A only."""
    rules = hand.policy(claim(bound=0.3), outside="all", estimand="unit")
    rows = thinned_people()
    for i in range(240):
        two = rows[2 * i : 2 * i + 2]
        kept = min(two, key=lambda row: hand.H([rules["nonce"], row["unit"], row["choice"], ""]))
        for row in two:
            row["reward"] = 1.0 if (i // 2 % 3 == 0 if row is kept else row["g"] == "A") else -1.0
    measured = hand.Measured(rows, rules, rules["claim"][0])
    assert measured.counted("", "A", "B") == pytest.approx(0.5)
    cert = hand.certify(rules, rows, form=form)
    if form == 1:
        assert float(cert["claims"]["it"]["ucb"]) < 0.2
        assert check(hand.store(tmp_path, rules, rows, cert), capsys)[0] == 4  # beyond what thinning explains
    else:
        assert check(hand.store(tmp_path, rules, rows, cert), capsys)[0] == codes(cert) != 0
        forged = reopened(cert, setter("claims", "it", "ucb", value="0.29"))
        assert check(hand.store(tmp_path, rules, rows, forged), capsys)[0] == 4


METHODS = [
    claim(method="clopper-pearson"), claim(method="unit-ratio"), claim("reward_parity", "unit-ratio"),
    claim("reward_parity", "dkw"), claim("threshold_parity", "dkw", thresholds="all"), claim(method="block-pair"),
    claim("rate_cap", "clopper-pearson"), claim("counterfactual_flip", "unit-ratio"),
    claim("counterfactual_parity", "unit-ratio"), claim("rate_floor", "unit-ratio"),
    claim(method="clopper-pearson", ball="tv", radius=0.01),
]  # fmt: skip


def doubted(wanted, rows, form, tmp_path, capsys, monkeypatch, change):
    """Code and words for a certificate whose bounds are all believed: only what was counted can contradict it."""
    rules = hand.policy(wanted, estimand="unit", outside="all", attributes=BOTH)
    cert = reopened(hand.certify(rules, rows, form=form), lambda c: change(c["claims"]["it"]))
    cert = hand.seal(cert | {"result": {"verdict": "CERTIFIED"}})
    for name in ("betting", "clopper_pearson", "exact2"):
        monkeypatch.setattr(verify, name, lambda *_: True)
    monkeypatch.setattr(verify, "radius_tail", lambda *_: 0.0)
    monkeypatch.setattr(verify.Prover, "_breakdown", lambda *_: None)
    believed = 2 if cert["claims"]["it"]["lcb"] else -1
    monkeypatch.setattr(verify, "cdf_gap", lambda *_: Fraction(believed))
    monkeypatch.setattr(verify.Prover, "_worst", lambda *_: Fraction(0))
    return check(hand.store(tmp_path, rules, rows, cert), capsys)


CHOOSERS = hand.choosers(40, effect=2.0)


@pytest.mark.parametrize("form", [1, 2])
@pytest.mark.parametrize("wanted", METHODS, ids=lambda c: f"{c['constraint']}-{c['method']}-{c.get('ball', '')}")
def test_no_bound_contradicts_what_was_counted(wanted, form, tmp_path, capsys, monkeypatch):
    wanted = wanted | {"bound": 0.999}
    rules = hand.policy(wanted, estimand="unit", outside="all", attributes=BOTH)
    measured = hand.Measured(CHOOSERS, rules, wanted)
    (block, high, low), value = max(
        ((key, measured.counted(*key)) for key in measured.comparisons()), key=lambda item: item[1]
    )
    sizes = [len(measured.units(block, g, lambda m: 0.0)[0]) for g in (high, low) if g]
    room = 0 if form == 2 else (7 * sum(1 / n for n in sizes)) ** 0.5

    def told(change):
        with monkeypatch.context() as patched:
            return doubted(wanted, CHOOSERS, form, tmp_path, capsys, patched, change)

    def with_ucb(ucb):
        return lambda record: record.update(ucb=hand.dec(ucb, 12), lcb=None)

    if value - room - 1e-4 > 0:
        assert told(with_ucb(value - room + 1e-6))[0] == 0
        code, said = told(with_ucb(value - room - 1e-6))
        assert (code, "below what was counted" in said) == (4, True)
    assert told(with_ucb(max(value, 0.0) + 1e-6))[0] == 0
    if form == 2:
        split = measured.counted(block, high) if wanted["method"] in verify.ENDS and low else None
        split = None if wanted["constraint"] == "counterfactual_parity" else split

        def with_lcb(more, more_split=0.0):
            def change(record):
                record["ucb"] = "1"
                if wanted["method"] != "dkw" or wanted.get("thresholds"):
                    record["lcb"] = {"block": block, "high": high, "low": low, "value": hand.dec(value + more, 12),
                                     "split": split and hand.dec(split + more_split, 12)}  # fmt: skip

            return change

        if wanted["method"] != "dkw" or wanted.get("thresholds"):
            assert told(with_lcb(-1e-6))[1].endswith("INCONCLUSIVE\n") or "result.verdict" in told(with_lcb(-1e-6))[1]
            assert "above what was counted" in told(with_lcb(1e-6))[1]
            if split is not None:
                assert "above what was counted" in told(with_lcb(-1e-6, 1e-6))[1]
                assert "above what was counted" in told(with_lcb(-1e-6, -1e-4))[1]


@pytest.mark.parametrize("form", [1, 2])
def test_ends_hold_the_rate_that_was_counted(form, tmp_path, capsys, monkeypatch):
    wanted = claim(method="unit-ratio", bound=0.999)
    rules = hand.policy(wanted, estimand="unit", outside="all", attributes=BOTH)
    measured = hand.Measured(CHOOSERS, rules, wanted)
    rate = measured.counted("", "A")
    room = 0 if form == 2 else (7 / len(measured.units("", "A")[0])) ** 0.5
    for ends, code in (
        ([rate - room, 1], 0), ([0, rate + room], 0), ([rate + room + 1e-6, 1], 4), ([0, rate - room - 1e-6], 4),
        ([rate + room - 1e-6, 1], 0),
    ):  # fmt: skip
        if not 0 <= ends[0] <= ends[1] <= 1:
            continue
        with monkeypatch.context() as patched:

            def change(record, ends=ends):
                record["ends"][""]["A"] = [hand.dec(x, 12) for x in ends]
                record.update(ucb="0.99", lcb=None)

            found, said = doubted(wanted, CHOOSERS, form, tmp_path, capsys, patched, change)
        assert (found, "leave out the rate" in said) == (code, code == 4)


# ---------------------------------------------------------------- blind claims
def flat(value):
    return lambda row, i: row | {"reward": value}


def tied(many):
    return lambda row, i: row | {"reward": 0.0} if i < many else row


BLIND = {
    "nobody": (flat(-1.0), claim(), "one and the same"), "everybody": (flat(1.0), claim(), "one and the same"),
    "all tied": (flat(0.0), claim(method="unit-ratio"), "one and the same"),
    "scores": (flat(0.3), claim("reward_parity", "block-pair"), "one and the same"),
    "thresholds": (flat(0.3), claim("threshold_parity", "exact2", thresholds=[0, -1]), "one and the same"),
    "all thresholds": (flat(0.3), claim("threshold_parity", "dkw", thresholds="all"), "one and the same"),
    "w1": (lambda row, i: row | {"reward": abs(row["reward"])},
           claim("threshold_parity", "dkw", thresholds=[0], ball="w1", radius=0), "one and the same"),
    "few ties": (tied(8), claim(method="clopper-pearson"), ""),
    "many ties": (tied(9), claim(method="clopper-pearson"), "ties decide 9 of 800"),
    "a floor": (flat(1.0), claim("rate_floor", "clopper-pearson"), ""),
    "other thresholds": (flat(0.3), claim("threshold_parity", "exact2", thresholds=[0, 0.5]), ""),
    "ties under a threshold": (tied(50), claim("threshold_parity", "clopper-pearson", thresholds=[0]), ""),
}  # fmt: skip
MANY = hand.applicants(800, {"A": 0.4, "B": 0.4})


@pytest.mark.parametrize("name", BLIND)
def test_decisions_that_cannot_tell_groups_apart(name, tmp_path, capsys):
    change, wanted, why = BLIND[name]
    rows = [change(row, i) for i, row in enumerate(MANY)]
    wanted = wanted | {"bound": 0.3}
    for rules, form in ((hand.policy(wanted, outside="all", cap=1), 1), (hand.policy2(wanted, cap=1), 2)):
        cert = hand.certify(rules, rows, refute=False)
        code, said = check(hand.store(tmp_path, rules, rows, cert), capsys)
        assert code == codes(cert) == (3 if form == 2 and why else 0)
        assert ("blind" in said) == (form == 2 and why != "")
        assert form == 1 or why in said
        if why and form == 2:
            cert["result"]["verdict"] = "CERTIFIED"
            assert check(hand.store(tmp_path, rules, rows, hand.seal(cert)), capsys)[0] == 4
    rules = hand.policy2(wanted, cap=1, ties=1)
    allowed = check(hand.store(tmp_path, rules, rows, hand.certify(rules, rows, refute=False)), capsys)[0]
    assert allowed == (3 if "one and the same" in why else 0)


# ---------------------------------------------------------------- units, prompts, training
def rated(n=30, prompts=12, seed=0):
    """Raters answer several prompts, all of which cross raters."""
    rng = np.random.default_rng(seed)
    return [
        {"unit": f"r{i}", "choice": f"r{i}-{q}", "alternative": "", "g": "AB"[q % 2], "prompt": f"q{q}", "weight": 1.0,
         "reward": round(float(rng.normal()), 3), "label": float(rng.random() < 0.5)}
        for i in range(n) for q in rng.choice(prompts, 4, replace=False)
    ]  # fmt: skip


def test_both_populations(tmp_path, capsys):
    rows = rated()
    both = [claim(method="unit-ratio", bound=0.9), claim(method="unit-ratio", bound=0.9, per="prompt", cap=30)]
    claims = [both[0], both[1] | {"name": "prompts"}]
    rules = hand.policy2(*claims, cap=9)
    description = hand.describe(rows, rules, shared=["prompt"])
    cert = hand.certify(rules, rows, description=description)
    assert "same-items" not in cert["assumptions"]
    code, said = check(hand.store(tmp_path, rules, rows, cert, description), capsys)
    assert code == codes(cert)
    assert "new units of `person`, these `prompt` (12 values)" in said
    assert "new `prompt`, these `person`" in said
    assert "2 cells of 6 to 6 units" in said  # prompts, not raters
    for change, wanted in (({"min_group": 7}, 3), ({"claim": [claims[0], claims[1] | {"cap": 2}]}, 2)):
        other = rules | change
        cert = hand.certify(rules | {"min_group": 7}, rows, description=description)
        cert = hand.seal(cert | {"policy_sha256": sha(hand.toml(other).encode())})
        assert check(hand.store(tmp_path, other, rows, cert, description), capsys)[0] == wanted
    alone = hand.policy2(claims[0], cap=9)
    cert = hand.certify(alone, rows, description=description)
    assert "same-items" in cert["assumptions"]
    assert check(hand.store(tmp_path, alone, rows, cert, description), capsys)[0] == codes(cert)
    for missing in (
        [{k: v for k, v in row.items() if k != "prompt"} for row in rows],
        [rows[0] | {"prompt": ""}, *rows[1:]],
    ):
        assert check(hand.store(tmp_path, rules, missing, cert), capsys)[0] == 5


def test_prompts_that_training_saw_are_counted(tmp_path, capsys):
    rows = rated()
    rules = hand.policy2(claim(method="unit-ratio", bound=0.99), cap=9)
    text = hand.units("salt", ["nobody"]) + "".join(hand.H(["salt", "prompt", f"q{i}"]) + "\n" for i in range(5))
    (tmp_path / "train.txt").write_text(text)
    trained = ("salt", set(text.split("\n")[1:]))
    description = hand.describe(rows, rules, shared=["prompt"], train_units_sha256=sha(text.encode()))
    options = {"train_units": sha(text.encode()), "description": description}
    cert = hand.certify(rules, rows, trained=trained, **options)
    assert cert["data"]["shared"]["prompt"]["trained"] == 5
    more = ["--train-units", str(tmp_path / "train.txt")]
    code, said = check([*hand.store(tmp_path, rules, rows, cert, description), *more], capsys)
    assert (code, "these `prompt` (12 values, 5 seen in training)" in said) == (codes(cert), True)
    for claimed in (4, None):
        forged = reopened(cert, setter("data", "shared", "prompt", "trained", value=claimed))
        assert check([*hand.store(tmp_path, rules, rows, forged, description), *more], capsys)[0] == 5
    other = hand.describe(rows, rules, shared=["prompt"], train_units_sha256="1" * 64)
    cert = hand.certify(rules, rows, trained=trained, **(options | {"description": other}))
    assert check([*hand.store(tmp_path, rules, rows, cert, other), *more], capsys)[0] == 5
    rules = hand.policy2(claim(method="unit-ratio", bound=0.99, per="prompt"), cap=90)
    cert = hand.certify(rules, rows, train_units=sha(text.encode()), trained=trained)  # foreign: nobody knows
    assert cert["data"]["shared"]["prompt"]["trained"] is None
    assert check([*hand.store(tmp_path, rules, rows, cert), *more], capsys)[0] == codes(cert)


# ---------------------------------------------------------------- the ledger
def book(folder, rules, rows, people=None, **changes):
    full, frame = hand.digests(rows, rules)
    init = {"schema": "faro-ledger/2", "policy_sha256": sha(hand.toml(rules).encode()), "frame_sha256": frame,
            "seed_sha256": sha(SEED.encode()), "units_sha256": sha(b"faro-audit/1 salt\n")}  # fmt: skip
    init = {k: v for k, v in (init | changes).items() if v is not None}
    chain = [hand.entry("init", "0" * 64, **init)]
    chain.append(hand.entry("attempt", chain[0]["sha256"], attempt=1, rows_sha256=full))
    (folder / "book.jsonl").write_text("".join(hand.C(e) + "\n" for e in chain))
    return 1, Fraction(1, 20) * Fraction(607927101854, 10**12), chain[1]["sha256"], SEED


def test_the_seed_is_the_ledgers(tmp_path, capsys):
    wanted = claim(method="unit-ratio", bound=0.6)
    for base in (hand.policy2(wanted, cap=1), hand.policy(wanted, cap=1, outside="all")):
        rules = base | {"ledger": "book.jsonl"}
        cert = hand.certify(rules, PEOPLE, ledger=book(tmp_path, rules, PEOPLE), form=2)
        args = hand.store(tmp_path, rules, PEOPLE, cert)
        assert check(args, capsys)[0] == codes(cert) == 0
        other = hand.certify(rules, PEOPLE, ledger=(*book(tmp_path, rules, PEOPLE)[:3], "0" * 64), form=2)
        assert other["claims"] != cert["claims"]  # another order
        for bad, code in (
            (other, 5), (reopened(cert, setter("ledger", "seed", value=SEED.upper())), 5),
            (reopened(cert, setter("ledger", "seed", value=None)), 5),
            (reopened(cert, lambda c: c["ledger"].pop("seed")), 5),
            (hand.seal(cert | {"claims": other["claims"]}), 4),
        ):  # fmt: skip
            assert check(hand.store(tmp_path, rules, PEOPLE, bad), capsys)[0] == code
        for changes in (
            {"schema": "faro-ledger/1"}, {"schema": "faro-ledger/1", "seed_sha256": None, "units_sha256": None},
            {"seed_sha256": "1" * 64}, {"units_sha256": "x"}, {"units_sha256": None}, {"frame_sha256": "1" * 64},
        ):  # fmt: skip
            bad = hand.certify(rules, PEOPLE, ledger=book(tmp_path, rules, PEOPLE, **changes), form=2)
            assert check(hand.store(tmp_path, rules, PEOPLE, bad), capsys)[0] == 5, changes
        book(tmp_path, rules, PEOPLE)
        hand.store(tmp_path, rules, PEOPLE, cert)
        for text, code in ((b"faro-audit/1 salt\n", 0), (b"faro-audit/1 other\n", 5)):
            (tmp_path / "book.jsonl.units").write_bytes(text)
            assert check(args, capsys)[0] == code
        (tmp_path / "book.jsonl.units").unlink()
    first = hand.certify(rules, PEOPLE, ledger=book(tmp_path, rules, PEOPLE)[:3], form=1)
    assert check(hand.store(tmp_path, rules, PEOPLE, first), capsys)[0] == 5  # format 1, in a ledger of format 2


# ---------------------------------------------------------------- random rules
def random_project(rng):
    """Rules, rows, whether the table is described: all from the page's keys."""
    several = rng.random() < 0.6
    rows = hand.choosers(int(rng.integers(15, 40)), seed=int(rng.integers(999)), k=int(rng.integers(1, 4)))
    if not several:
        rows = hand.applicants(int(rng.integers(60, 200)), {"A": 0.3, "B": 0.4}, seed=int(rng.integers(999)),
                               s=lambda rng, i: str(rng.choice(["x", "y"])))  # fmt: skip
    alone = not several or max(np.unique([row["choice"] for row in rows], return_counts=True)[1]) == 1
    outside = str(rng.choice(["all", "column"] if alone else ["none", "all", "column"]))
    weighed = rng.random() < 0.3
    for i, row in enumerate(rows):
        row["prompt"] = f"q{int(row['choice'].strip('cp').split('-')[0]) % 9}"
        row["outside"] = 1
        if weighed:
            row["weight"] = float(1 + i % 2)
        if rng.random() < 0.05:
            row["reward"] = 0.0
    estimand = "unit" if rng.random() < 0.5 else "row"
    kinds = [("demographic_parity", {}), ("equalized_odds", {}), ("demographic_parity", {"within": "s"}),
             ("reward_parity", {"scale": 2}), ("rate_cap", {}), ("demographic_parity", {"per": "prompt", "cap": 90}),
             ("threshold_parity", {"thresholds": [0, "0.5"]}), ("group_error", {}), ("rate_floor", {"per": "prompt"}),
             ("threshold_parity", {"thresholds": "all"})]  # fmt: skip
    if several:
        kinds += [("counterfactual_parity", {}), ("counterfactual_flip", {}), ("counterfactual_oscillation", {})]
    claims = []
    for i in rng.choice(len(kinds), 3, replace=False):
        kind, fields = kinds[i]
        methods = ["unit-ratio"]
        if not weighed and kind.startswith(("demo", "equal")) and estimand == "unit":
            methods += ["exact2", "clopper-pearson", "block-pair"]
        if fields.get("thresholds") == "all":
            if weighed or estimand == "row":
                continue
            methods = ["dkw"]
        bound = float(rng.choice([0.3, 0.7, 0.95, 0.99]))
        claims.append(claim(kind, str(rng.choice(methods)), bound, **fields) | {"name": f"{i}"})
    made = hand.policy2 if rng.random() < 0.7 else hand.policy
    rules = made(*claims, estimand=estimand, outside=outside, threshold=float(rng.choice([0, 0.25])), attributes=BOTH,
                 cap=99, min_group=int(rng.choice([1, 5])))  # fmt: skip
    if made is hand.policy2:
        rules["ties"] = float(rng.choice([0, 0.05, 1]))
    else:
        rules["claim"] = [{k: v for k, v in c.items() if k not in ("per", "cap")} for c in rules["claim"]]
    return rules, hand.decided(rows, rules), rng.random() < 0.6


@pytest.mark.parametrize("seed", range(4))
def test_honest_certificates_over_random_rules_check(seed, tmp_path, capsys):
    rng, found = np.random.default_rng(seed), []
    while len(found) < 8:
        rules, rows, is_described = random_project(rng)
        if not rules["claim"]:
            continue
        description = hand.describe(rows, rules, shared=["prompt"]) if is_described else None
        ledger = None
        if rng.random() < 0.5:
            rules["ledger"] = "book.jsonl"
            ledger = book(tmp_path, rules, rows)
        cert = hand.certify(rules, rows, description=description, ledger=ledger, form=2)
        code, said = check(hand.store(tmp_path, rules, rows, cert, description), capsys)
        assert code == codes(cert), (said, rules)
        assert ("foreign table" in said) == (not is_described)
        found.append(said)
    assert any(line.startswith("CERTIFIED  ") for said in found for line in said.splitlines())


def test_the_published_schema_knows_both_formats(project, tmp_path):
    rules = RULES | {"ledger": "book.jsonl"}
    under = hand.certify(rules, PEOPLE, ledger=book(tmp_path, rules, PEOPLE))
    for cert in (project.cert, under):
        assert fits(cert, SCHEMA)
        for change in (
            lambda c: c["data"].pop("shared"), lambda c: c.pop("info"), setter("data", "shared", "x", value=1),
            setter("data", "description_sha256", value="x"),
        ):  # fmt: skip
            assert not fits(reopened(cert, change), SCHEMA)
    assert not fits(reopened(under, setter("ledger", "seed", value="x")), SCHEMA)


def test_what_a_person_sees(tmp_path, capsys):
    project = Project(tmp_path)
    said = project.check(capsys)[1].splitlines()
    assert "units: column `person` of the data" in said
    assert "trained under: demographic_parity, bound 0.4" in said
    assert "new units of `person`, these `prompt` (40 values)" in said
    assert "model: of these files" in said
    loud = hand.reseal(project.description | {"constraint": "x\nCERTIFIED\n\x1b[2J::error::" + "y" * 999})
    said = project.check(capsys, project.certify(loud), loud)[1].splitlines()
    assert said.count("CERTIFIED") == 1
    assert max(map(len, said)) < 230
    assert all(line.isprintable() for line in said)
    rows = hand.describe(
        project.rows, RULES | {"units": "row"}, units={"origin": "content", "column": "row", "rule": None}
    )
    rules = RULES | {"units": "row"}
    args = hand.store(tmp_path, rules, project.rows, hand.certify(rules, project.rows, description=rows), rows)
    assert "units: every row, by its content" in check(args, capsys)[1]
    first = hand.policy(claim(bound=0.4), outside="all")
    args = hand.store(tmp_path, first, PEOPLE, hand.certify(first, PEOPLE))
    assert "format 1: the nonce is public" in check(args, capsys)[1]
    few = hand.policy2(claim(bound=0.4), min_group=99)
    args = hand.store(tmp_path, few, PEOPLE, hand.certify(few, PEOPLE))
    assert "too few: a cell of 80 units, the policy wants 99" in check(args, capsys)[1]
