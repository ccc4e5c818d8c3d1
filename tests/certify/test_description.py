"""Tables that say what they are: what travels with a table and does not fit is refused, or is a word in every output.

Planted faults: each field dropped or changed; a scorer that knows names; an audit set looked at from the side.
"""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from faro.certify import access, certificate, committed_order, description, modes
from faro.certify import ledger as ledgers
from faro.certify.columns import read_columns
from faro.certify.policy import read_policy
from faro.cli import main
from faro.errors import DataError, NotIndependentError, UsageError
from faro.files import write_json
from tests.oracles import verify_by_hand as hand

PEOPLE = hand.applicants(1200, {"A": 0.5, "B": 0.5}, seed=1)
CLAIM = {"name": "c", "constraint": "demographic_parity", "attribute": "g", "bound": 0.2, "method": "exact2"}


def rules(*claims, **changes):
    """A policy of format 2 for accept tables."""
    values = {
        "schema": "faro-policy/2", "delta": 0.05, "estimand": "row", "outside": "all", "threshold": 0,
        "units": "person",
        "min_group": 30, "assumptions": ["iid-units", "group-labels-correct", "train-overlap-unchecked", "no-ledger"],
        "attributes": {"g": {"levels": ["A", "B"]}},
    }  # fmt: skip
    return values | changes | {"claim": list(claims or [CLAIM])}


def write(folder: Path, rows=PEOPLE, asked=None, name="audit.csv", **changes) -> Path:
    """A table, its description with these changes, and the policy."""
    table = folder / name
    hand.write_csv(table, rows)
    said = description.Description(
        table_sha256=description.table_digest(read_columns(table)),
        outside="all",
        units=description.Units("column", "person", 2),
        attributes={"g": description.Levels(("A", "B"), False)},
        constraint="demographic_parity(g)",
        model_sha256=("a" * 64,),
    )
    description.write_description(table, dataclasses.replace(said, **changes))
    (folder / "faro.toml").write_text(hand.toml(asked or rules()))
    return table


def prepare(table: Path, **given):
    return certificate.prepare(table, read_policy(table.parent / "faro.toml"), **given)


def test_a_described_table_says_whose_rows_it_has_and_what_was_trained(tmp_path):
    case = prepare(write(tmp_path))
    assert case.assumed == ["group-labels-correct", "iid-units", "no-ledger", "train-overlap-unchecked"]
    assert case.statements == [
        "units: the column 'person' of the data", "the model was trained under demographic_parity(g)",
    ]  # fmt: skip
    assert certificate.make(case).verdict.value == "CERTIFIED"


MUTANTS = {
    "outside": ({"outside": "none"}, "outside"),
    "rule": ({"rule": "expected"}, "argmax"),
    "threshold": ({"threshold": "0.5"}, "threshold"),
    "units: another column": ({"units": description.Units("column", "team", 2)}, "units"),
    "units: of rows": ({"units": description.Units("content", "row", 2)}, "units"),
    "units: none": ({"units": description.Units("none", "person", 2)}, "units are none"),
    "levels": ({"attributes": {"g": description.Levels(("A", "B", "C"), False)}}, "levels"),
    "chooser": ({"attributes": {"g": description.Levels(("A", "B"), True)}}, "chooser"),
    "no attribute": ({"attributes": {}}, "no attribute"),
    "of another table": ({"table_sha256": "0" * 64}, "another table"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_does_not_fit_is_refused_before_anything_is_counted(name, tmp_path):
    changes, word = MUTANTS[name]
    with pytest.raises((DataError, NotIndependentError), match=word):
        prepare(write(tmp_path, **changes))


def test_models_and_units_of_training_are_those_of_the_description(tmp_path):
    model, units = tmp_path / "m.json", tmp_path / "units.txt"
    model.write_text("{}")
    units.write_text("faro-units/1 s\n" + "b" * 64 + "\n")
    table = write(tmp_path)
    with pytest.raises(DataError, match="not scored by"):
        prepare(table, models=[model])
    own = (certificate._sha256(model),)
    prepare(write(tmp_path, model_sha256=own), models=[model])
    with pytest.raises(DataError, match="other units"):
        prepare(write(tmp_path, train_units_sha256="c" * 64), train_units=units)
    prepare(write(tmp_path, train_units_sha256=certificate._sha256(units)), train_units=units)


def test_a_table_without_description_is_foreign_and_every_output_says_so(tmp_path, capsys):
    table = write(tmp_path)
    description.place(table).unlink()
    with pytest.raises(UsageError, match="undescribed-table"):
        prepare(table)
    with pytest.raises(DataError, match="nothing says that this table is of the model"):
        prepare(table, models=[table])
    admitted = rules(assumptions=[*rules()["assumptions"], "undescribed-table"])
    (tmp_path / "faro.toml").write_text(hand.toml(admitted))
    names = {kind: tmp_path / f"out.{kind}" for kind in ("html", "junit-xml", "sarif", "markdown")}
    words = [word for kind, place in names.items() for word in (f"--{kind}", str(place))]
    assert main(["certify", str(table), "--policy", str(tmp_path / "faro.toml"), *words]) == 0
    shown = capsys.readouterr().out
    assert "undescribed-table" in shown and "foreign table" in shown
    for place in names.values():
        text = place.read_text()
        assert "undescribed-table" in text or "nothing describes the table" in text, place
    old = hand.policy(CLAIM, outside="all")  # of format 1, which has no word for it: said all the same
    (tmp_path / "faro.toml").write_text(hand.toml(old))
    assert "undescribed-table" in prepare(table).assumed


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_description_travels_in_every_container(kind, tmp_path):
    import pandas as pd

    from faro.data import write_table

    table = tmp_path / f"t.{kind}"
    write_table(pd.DataFrame(PEOPLE), table)
    said = description.Description(
        table_sha256=description.table_digest(read_columns(table)), outside="all",
        units=description.Units("column", "person", 2), attributes={"g": description.Levels(("A", "B"), False)},
    )  # fmt: skip
    description.write_description(table, said)
    assert description.read_description(table) == said
    said.check(read_columns(table), read_policy(write(tmp_path).parent / "faro.toml"), "t")


def test_a_changed_description_is_no_description(tmp_path):
    table = write(tmp_path)
    place = description.place(table)
    record = json.loads(place.read_text())
    for name in [*record, "more"]:
        changed = {key: value for key, value in record.items() if key != name} if name in record else record | {name: 1}
        write_json(place, changed)
        with pytest.raises(DataError, match="description"):
            prepare(table)
    write_json(place, record | {"outside": "none"})
    with pytest.raises(DataError, match="changed"):
        prepare(table)


def test_decisions_are_those_of_the_rewards(tmp_path):
    rows = [row | {"decision": float(row["reward"] > 0)} for row in PEOPLE]
    assert certificate.make(prepare(write(tmp_path, rows))).verdict.value == "CERTIFIED"
    with pytest.raises(DataError, match="rows were decided by another rule"):
        prepare(write(tmp_path, rows, rules(outside="none"), outside="none"))
    with pytest.raises(DataError, match="1 rows were decided"):
        prepare(write(tmp_path, [rows[0] | {"decision": 1 - rows[0]["decision"]}, *rows[1:]]))


def test_weights_that_the_estimand_drops_are_a_word(tmp_path):
    rows = [row | {"weight": 1 + (i % 7 == 0)} for i, row in enumerate(PEOPLE)]
    asked = rules(CLAIM | {"method": "unit-ratio"}, estimand="unit")
    with pytest.raises(UsageError, match="weights-ignored"):
        prepare(write(tmp_path, rows, asked, weights="column"))
    asked["assumptions"] = [*asked["assumptions"], "weights-ignored"]
    case = prepare(write(tmp_path, rows, asked, weights="column"))
    assert (
        "weights-ignored" in case.assumed
        and "in training every row counts alike, here every unit" in case.statements[2]
    )
    weighted = rules(CLAIM | {"method": "unit-ratio"}, cap=2)
    assert "weights-ignored" not in prepare(write(tmp_path, rows, weighted, weights="column")).assumed


# Who is new -----------------------------------------------------------------------------------------------------------


def raters(n=200, prompts=40, seed=0, effect=0.0):
    """Every rater sees three of the prompts; `effect` is by how much a prompt moves the rewards of group A on it."""
    rng = np.random.default_rng(seed)
    moved = rng.normal(size=prompts) * effect
    rows = []
    for i in range(n):
        for prompt in rng.choice(prompts, 3, replace=False):
            group = "AB"[int(rng.integers(2))]
            reward = float(rng.normal() + moved[prompt] * (group == "A"))
            rows.append(
                {"unit": f"r{i}", "choice": f"r{i}-{prompt}", "prompt": f"q{prompt}", "g": group, "reward": reward}
            )
    return rows


def test_prompts_that_raters_share_are_named_or_are_the_units(tmp_path):
    by_ratio = CLAIM | {"method": "unit-ratio", "bound": 0.5}
    with pytest.raises(UsageError, match=r"same-items.*prompt"):
        prepare(write(tmp_path, raters(), rules(by_ratio, cap=3), shared=("prompt",)))
    admitted = rules(by_ratio, cap=3, assumptions=[*rules()["assumptions"], "same-items"])
    case = prepare(write(tmp_path, raters(), admitted, shared=("prompt",)))
    assert "same-items" in case.assumed
    assert "40 values of 'prompt', 40 under several units: new person, these prompt" in case.statements
    per_prompt = by_ratio | {"name": "new prompts", "per": "prompt", "cap": 60}
    both = prepare(write(tmp_path, raters(), rules(by_ratio, per_prompt, cap=3), shared=("prompt",)))
    assert "same-items" not in both.assumed
    found = certificate.make(both)
    raters_seen, prompts_seen = found.findings["c"], found.findings["new prompts"]
    assert raters_seen.units["", "A"] > 100 and prompts_seen.units["", "A"] == 40
    assert prompts_seen.ucb > raters_seen.ucb  # forty prompts show less than two hundred raters


def test_new_prompts_are_claimed_falsely_by_raters_alone_and_not_by_prompts(tmp_path):
    """The control: twelve prompts of very different gaps, .26 on average; "within .25" is false of new prompts."""
    rng, draws, bound = np.random.default_rng(5), 40, 0.25
    ratio = CLAIM | {"method": "unit-ratio", "bound": bound}
    asked = rules(ratio | {"name": "raters", "cap": 2}, ratio | {"name": "prompts", "per": "prompt", "cap": 200})
    policy = read_policy(write(tmp_path, asked=asked).parent / "faro.toml")
    passes = dict.fromkeys(("raters", "prompts"), 0)
    for _ in range(draws):
        gaps = rng.normal(0.26, 0.35, 12).clip(-1, 1)
        prompt = np.array([rng.choice(12, 2, replace=False) for _ in range(600)]).ravel()
        first = rng.integers(2, size=1200) == 0
        reward = np.where(rng.random(1200) < 0.5 + gaps[prompt] / 2 * np.where(first, 1, -1), 1.0, -1.0)
        columns = {
            "unit": [f"r{i // 2}" for i in range(1200)], "choice": [f"c{i}" for i in range(1200)],
            "prompt": [f"q{i}" for i in prompt], "g": np.where(first, "A", "B").tolist(),
            "reward": reward.astype(str).tolist(),
        }  # fmt: skip
        case = certificate.prepare(columns, dataclasses.replace(policy, format=1))
        for name, found in certificate.make(case).findings.items():
            passes[name] += found.ucb <= Decimal(str(bound))
    assert passes["raters"] > 0.1 * draws  # what "new raters, these prompts" warns of
    assert passes["prompts"] <= 0.05 * draws


# Decisions that cannot tell groups apart ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "word"), [(0.7, "decision is 1"), (-1.0, "decision is 0"), (0.0, "decision is 0.5")]
)
def test_constant_decisions_are_no_pass(reward, word, tmp_path):
    rows = [row | {"reward": reward} for row in PEOPLE]
    found = certificate.make(prepare(write(tmp_path, rows)))
    assert found.verdict.value == "INCONCLUSIVE" and word in found.findings["c"].blind
    cap = {"name": "c", "constraint": "rate_cap", "attribute": "g", "bound": 0.9, "method": "clopper-pearson"}
    floor = certificate.make(prepare(write(tmp_path, [row | {"reward": -1.0} for row in PEOPLE], rules(cap))))
    assert floor.verdict.value == "CERTIFIED"  # caps are judged as they are


def test_ties_above_the_share_of_the_policy_are_no_pass(tmp_path):
    rows = [row | {"reward": 0.0} if i % 40 == 0 else row for i, row in enumerate(PEOPLE)]
    few = certificate.make(prepare(write(tmp_path, rows, rules(ties=0.03))))
    assert few.verdict.value == "CERTIFIED"
    exactly = [row | {"reward": 0.0} if i % 100 == 0 else row for i, row in enumerate(PEOPLE)]  # 12 of 1,200: .01
    assert certificate.make(prepare(write(tmp_path, exactly))).verdict.value == "CERTIFIED"
    many = certificate.make(prepare(write(tmp_path, rows)))
    assert many.verdict.value == "INCONCLUSIVE" and "ties decide" in many.findings["c"].blind


def test_a_perfect_classifier_is_not_blind(tmp_path):
    rows = [row | {"reward": 1.0 if row["label"] else -1.0} for row in PEOPLE]
    asked = rules(CLAIM | {"constraint": "equalized_odds"})
    assert certificate.make(prepare(write(tmp_path, rows, asked))).verdict.value == "CERTIFIED"


# A scorer that knows names --------------------------------------------------------------------------------------------


def crowd(key, kept_gap, n=300, per=10):
    """Rows of units with ten choices each: fair on the row that thinning by `key` keeps, a gap of one on all others."""
    rng = np.random.default_rng(3)
    rows = [
        {"unit": f"u{i}", "choice": f"u{i}-{t}", "g": "AB"[i % 2], "alternative": ""}
        for i in range(n)
        for t in range(per)
    ]
    kept = set(committed_order.thinned([(row["unit"], row["choice"], "") for row in rows], key).tolist())
    for at, row in enumerate(rows):
        rate = 0.5 + (kept_gap if at in kept else 0.45) * (1 if row["g"] == "A" else -1)
        row["reward"] = 1.0 if rng.random() < rate else -1.0
    return rows


def test_a_scorer_that_knows_a_nonce_gains_nothing(tmp_path):
    """Thinning by a nonce that a scorer knows shows a fair model; what was counted on all rows has a gap of .81."""
    old = hand.policy(CLAIM, outside="all", estimand="unit", min_group=30)
    rows = crowd(old["nonce"], 0.0)
    hand.write_csv(tmp_path / "a.csv", rows)
    (tmp_path / "faro.toml").write_text(hand.toml(old))
    case = prepare(tmp_path / "a.csv")
    people = certificate.People(case.policy, case.audit, old["nonce"])  # the order of format 1: the control
    cells = people.cells(case.policy.claims[0])
    kept = people.kept(case.policy.claims[0], cells[""])
    assert abs(kept["A"].mean() - kept["B"].mean()) < 0.15  # what such a scorer was shown to be
    found = certificate.make(case)
    assert found.verdict.value != "CERTIFIED" and found.findings["c"].ucb >= Decimal(str(found.findings["c"].counted))
    assert found.findings["c"].counted > 0.7


def test_no_bound_is_below_what_was_counted(tmp_path):
    """Even for scores fitted to the very key, the bound is at least the gap of all rows, not of the kept ones."""
    asked = rules(CLAIM, estimand="unit")
    table = write(tmp_path, crowd("", 0.0), asked)
    case = prepare(table)
    people = certificate.People(case.policy, case.audit, "")
    finding = certificate.claims.find(case.policy.claims[0], people, 0.05)
    assert float(finding.ucb) >= finding.counted > 0.7


def test_the_seed_is_drawn_kept_apart_and_revealed_by_the_certificate(tmp_path):
    asked = rules(ledger="ledger.jsonl", assumptions=["iid-units", "group-labels-correct", "train-overlap-unchecked"])
    table = write(tmp_path, asked=asked)
    case = prepare(table)
    ledgers.create(tmp_path / "ledger.jsonl", case.policy, case.audit)
    first = (tmp_path / "ledger.jsonl").read_text()
    seed = (tmp_path / "ledger.jsonl.seed").read_text().strip()
    assert seed not in first and (tmp_path / "ledger.jsonl.seed").stat().st_mode & 0o077 == 0
    (found,) = modes.disclose([case], tmp_path / "ledger.jsonl")
    assert found.record["ledger"]["seed"] == seed
    (tmp_path / "ledger.jsonl.seed").write_text("0" * 64)
    with (
        pytest.raises(NotIndependentError, match="not the seed"),
        ledgers.opened(tmp_path / "ledger.jsonl", case.policy) as book,
    ):
        assert book.seed


# Looks from the side --------------------------------------------------------------------------------------------------


@pytest.fixture
def audited(tmp_path):
    """A folder with an audit set, its ledger, and where `faro ledger init` has left its name."""
    asked = rules(ledger="ledger.jsonl", assumptions=["iid-units", "group-labels-correct", "train-overlap-unchecked"])
    table = write(tmp_path, asked=asked)
    assert main(["ledger", "init", str(table), "--policy", str(tmp_path / "faro.toml")]) == 0
    (tmp_path / "free.toml").write_text(hand.toml(rules()))  # a policy without a ledger
    return tmp_path


@pytest.mark.parametrize("change", ["a row less", "a row more", "permuted", "half", "renamed units"])
@pytest.mark.parametrize("policy", ["faro.toml", "free.toml"])
def test_audited_people_are_known_by_name_not_by_their_file(change, policy, audited, capsys):
    rows = {
        "a row less": PEOPLE[1:], "a row more": [*PEOPLE, PEOPLE[0] | {"unit": "new", "choice": "new"}],
        "permuted": PEOPLE[::-1], "half": PEOPLE[::2],
        "renamed units": [row | {"unit": f" {row['unit']} "} for row in PEOPLE],
    }[change]  # fmt: skip
    text = (audited / policy).read_text()
    table = write(audited, rows, name="other.csv")
    (audited / policy).write_text(text)
    assert main(["certify", str(table), "--policy", str(audited / policy)]) == 6
    assert "audit set" in capsys.readouterr().err


def test_another_ledger_and_one_that_is_away_are_refused(audited, capsys):
    policy = str(audited / "faro.toml")
    words = ["certify", str(audited / "audit.csv"), "--policy", policy]
    (audited / "ledger.jsonl").rename(audited / "away.jsonl")
    assert main(words) == 6
    assert (
        main(["ledger", "init", str(audited / "audit.csv"), "--policy", policy, "--ledger", str(audited / "b.jsonl")])
        == 6
    )
    capsys.readouterr()


def test_a_rehearsal_on_dev_people_needs_no_ledger_and_is_not_refused_because_one_exists(audited):
    dev = [row | {"unit": f"d{row['unit']}", "choice": f"d{row['choice']}", "part": "dev"} for row in PEOPLE]
    text = (audited / "faro.toml").read_text()
    table = write(audited, dev, name="dev.csv")
    (audited / "faro.toml").write_text(text)
    for policy in ("faro.toml", "free.toml"):
        assert main(["certify", str(table), "--policy", str(audited / policy)]) == 0


def test_a_refused_disclosure_writes_no_page(audited, capsys):
    dev = [row | {"part": "dev"} for row in PEOPLE]
    text = (audited / "faro.toml").read_text()
    table = write(audited, dev, name="dev.csv")
    (audited / "faro.toml").write_text(text)
    page = audited / "page.html"
    words = ["certify", str(table), "--disclose", "--policy", str(audited / "faro.toml"), "--html", str(page)]
    assert main(words) == 6 and not page.exists()
    assert "tuning" not in capsys.readouterr().out


def test_the_list_of_people_names_nobody(tmp_path):
    path = tmp_path / "people.txt"
    access.list_people(path, ["anna", "7"])
    text = path.read_text()
    assert "anna" not in text and len(text.splitlines()) == 3
    access.mark(path, [tmp_path])
    for spelling in (["007"], [" 7.0 "]):
        with pytest.raises(NotIndependentError, match="1 of these 1 units"):
            access.check(spelling, [tmp_path])
    access.check(["8"], [tmp_path])
