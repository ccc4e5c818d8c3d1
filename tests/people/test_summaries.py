"""What people chose before, in words: of whom, of which choices, by whom; and what that tells a model."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import verify
from faro.certify.certificate import make, prepare
from faro.certify.description import read_description
from faro.certify.drafts import draft_policy
from faro.certify.policy import read_policy
from faro.certify.scored import write_scored
from faro.cli import main
from faro.data import Dataset, Schema
from faro.data.seen import Seen
from faro.data.support import QUERY, SupportRule, roles, support_rows
from faro.errors import DataError, UsageError
from faro.files import write_json
from faro.people.summaries import Contrast, History, called, records, summarised
from faro.store.model import TrainedModel
from faro.store.spec import to_record
from tests.builders import encoders

FILL = ["on", "a", "mat", "the", "tree"]
SCHEMA = {
    "format": "wide", "unit": "who", "choice": ["id"], "sides": ["a", "b"], "label": "first",
    "texts": [{"name": "said"}],
    "attributes": [{"name": "place", "levels": ["x", "y"]}],
}  # fmt: skip
NUMBERS = {
    "format": "long", "unit": "who", "choice": ["id"], "alternative": "what", "label": "chose", "numeric": ["price"],
    "categorical": ["town"], "context_categorical": ["age"], "attributes": [{"name": "town", "levels": ["x", "y"]}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))


def table(people: int, each: int) -> pd.DataFrame:
    """Half of the people take what is said of cats, the others what is said of dogs, but for one answer in twenty."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(people), each)
    cat, n = rng.random(len(person)) < 0.5, len(person)

    def said(word: str) -> str:
        return " ".join(rng.permutation([word, *rng.choice(FILL, 3)]))

    frame = {"who": [f"p{p}" for p in person], "id": [f"c{i}" for i in range(n)]}
    frame |= {"a_said": [said(("dog", "cat")[c]) for c in cat.astype(int)]}
    frame |= {"b_said": [said(("cat", "dog")[c]) for c in cat.astype(int)]}
    frame |= {f"{side}_place": rng.choice(["x", "y"], n) for side in "ab"}
    return pd.DataFrame(frame | {"first": ((cat == (person % 2 == 0)) ^ (rng.random(n) < 0.05)).astype(int)})


def shares(data: Dataset) -> float:
    """The share of held-out choices that are foretold."""
    settings = {"steps": 60, "every": 20, "weight_decay": 1e-3}
    trained = faro.train(data, "demographic_parity", attribute="place", bound=float("inf"), settings=settings)
    return trained.about["figures"]["dev_accuracy"]


@pytest.mark.slow
def test_two_opposed_tastes_are_told_by_texts_alone():
    data = faro.load(table(300, 8), SCHEMA)  # an encoder of random weights is no good at products
    made = (summarised(data, k=4, form="context", shuffled=shuffled) for shuffled in (False, True))
    one, told, other = map(shares, (data, *made))
    assert told > 0.7 and abs(one - 0.5) < 0.1 and abs(other - 0.5) < 0.1


def test_a_summary_is_of_the_support_of_its_person_and_of_nothing_else():
    data, asked = faro.load(table(30, 6), SCHEMA), []

    def listed(earlier):
        asked.append(earlier)
        return "mat " + " ".join(str(sum(earlier[0]["chosen"]))) if earlier else "mat"

    made = summarised(data, listed, k=3, name="listed")
    rule = SupportRule(3)
    told, roles_of = support_rows(data, rule), roles(data, rule)
    assert sorted(made.choice_ids) == sorted(data.choice_ids[roles_of == QUERY])
    assert made.schema.summaries["said and summary"].by == "listed" and len(asked) == data.people
    for code, earlier in enumerate(asked):
        rows = told[code][told[code] >= 0]
        assert earlier == records(data, rows) and not {*data.choice_ids[rows]} & {*made.choice_ids}
        assert [one["alternatives"][0]["said"] for one in earlier] == data.frame["a_said"].iloc[rows].tolist()
    json.dumps(asked)  # plain
    parts = dict(zip(data.units, data.parts(0), strict=True))
    assert all(parts[unit] == part for unit, part in zip(made.units, made.parts(0), strict=True))


def test_somebody_elses_are_of_the_same_side_of_the_gate():
    data = faro.load(table(60, 6), SCHEMA)
    made = [summarised(data, lambda earlier: f"cat {earlier[0]['alternatives'][0]['said']}", k=2, name="own", **of)
            for of in ({}, {"shuffled": True})]  # fmt: skip
    own, other = (
        of.frame.drop_duplicates("who").set_index("who")[f"summary:{of.schema.summaries['said and summary'].by}"]
        for of in made
    )
    gate = {unit for unit, part in zip(data.units, data.parts(0), strict=True) if part == 4}
    inside = [who in gate for who in own.index]
    assert sorted(own[inside]) == sorted(other[inside]) and sorted(own) == sorted(other)
    assert (own != other).mean() > 0.8


def test_what_was_liked_in_words():
    first = {"said": "the cat", "price": 3.0, "town": "x"}
    second = {"said": "The dog", "price": 1.0, "town": "y"}
    choice = {"alternatives": [first, second], "chosen": [1.0, 0.0], "asked": {}, "texts": ["said"]}
    said = Contrast(against=5)([choice, choice])
    assert said == "likes high price, town x, cat; not low price, town y, dog"
    assert Contrast(words=1)([choice]) == "likes high price"
    turned = choice | {"chosen": [0.0, 1.0]}
    assert Contrast(against=5)([choice, turned]) == Contrast()([]) == "nothing known"
    assert History()([choice]) == 'chose "the cat", price 3.0, town x over "The dog", price 1.0, town y'
    assert called(Contrast(3)) == "contrast(words=3, against=0)" and called(test_what_was_liked_in_words).endswith(
        "words"
    )
    with pytest.raises(UsageError, match="say name="):
        called(lambda earlier: "")


def test_of_numbers_and_levels_it_is_text_of_the_context():
    rng = np.random.default_rng(1)
    rows = [(f"p{p}", f"c{p}.{c}", what, rng.normal(), rng.choice(["x", "y"]), f"{20 + p % 3}", int(what == "one"))
            for p in range(40) for c in range(5) for what in ("one", "two")]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["who", "id", "what", "price", "town", "age", "chose"])
    made = summarised(faro.load(frame, NUMBERS), k=2)
    assert made.schema.texts[-1].context and made.schema.texts[-1].name == "summary"
    choices = made.choices(made.fit_coding())
    assert choices.context.shape[1] > 3 and made.n == len({*made.choice_ids}) < 200
    column = "summary:contrast(words=5, against=0)"
    assert made.frame.groupby("who")[column].nunique().max() == 1
    twice = made.frame.assign(**{column: [f"cat {row % 2}" for row in range(len(made.frame))]})
    with pytest.raises(DataError, match="has two summaries; expected one of a person"):
        Dataset.from_table(twice, made.declared, name="twice")


def random_model(made: Dataset) -> TrainedModel:
    model = encoders.untrained(made)
    constraint = ct.demographic_parity(ct.Attribute("place", ("x", "y")), 0.9)
    rows = made.rows(["train", "dual", "selection"])
    about = {"seed": 0, "digest": made.digest, "unit_rule": made.unit_rule}
    return TrainedModel(
        model.model, model.params, made.fit_coding(rows), made.schema, about, seen=Seen(np.unique(made.units[rows])),
        specification=to_record(constraint),
    )  # fmt: skip


@pytest.mark.slow
def test_tables_policies_and_certificates_say_who_made_them(tmp_path):
    data = faro.load(table(300, 5), SCHEMA)
    made, other = summarised(data, k=2), summarised(data, History(), k=2)
    model = random_model(made)
    files, gate, rules = (
        [model.save(tmp_path / "m"), tmp_path / "m.safetensors"],
        tmp_path / "gate.csv",
        tmp_path / "p.toml",
    )
    name = "contrast(words=5, against=0)"
    write_scored(model, made, gate, part="gate", files=files)
    described = read_description(gate)
    assert tuple(described.support) == (2, "", ()) and list(described.summaries) == [name]
    assert described.summaries[name] == made.schema.summaries["said and summary"].sha256
    drafted = draft_policy(model).replace('ledger = "ledger.jsonl"\nescrow = "escrow"\n', "")
    assert "support = { k = 2 }" in drafted and f'"summaries by {name}"' in drafted
    rules.write_text(drafted.replace("assumptions = [", 'assumptions = ["no-ledger", ').replace("= 30", "= 5"))

    def checked(record):
        record = record | {"sha256": sealed(record)}
        write_json(tmp_path / "cert.json", record)
        return verify.verify(
            tmp_path / "cert.json", str(gate), policy=rules, train_units=str(tmp_path / "m.units.txt"),
            models=list(map(str, files)),
        )  # fmt: skip

    def certified():
        case = prepare(gate, read_policy(rules), train_units=tmp_path / "m.units.txt", models=files)
        return case, make(case).record

    case, record = certified()
    assert f"summaries by {name}" in record["assumptions"]
    assert "for new people, after k = 2 answers of each" in " ".join(case.statements)
    assert f"earlier answers are told in summaries by {name} at {described.summaries[name][:12]}" in case.statements
    told = f"earlier answers are told in summaries by `{name}` at {described.summaries[name][:12]}"
    assert told in verify.report(checked(record))
    left = [assumed for assumed in record["assumptions"] if not assumed.startswith("summaries")]
    for forged in (left, [*left, "summaries by somebody"]):
        with pytest.raises(verify.Refused):
            checked(record | {"assumptions": sorted(forged)})
    rules.write_text(rules.read_text().replace(f"summaries by {name}", "summaries by somebody"))
    with pytest.raises(UsageError, match="need the assumption 'summaries by contrast"):
        certified()
    write_scored(model, other, gate, part="gate", files=files)  # transfer: by another summariser, and it says so
    assert list(read_description(gate).summaries) == ["history(most=10)"]
    assert not np.allclose(model.rewards(other), model.rewards(made))
    with pytest.raises(DataError, match="no column 'summary:contrast"):
        model.rewards(other.frame)


def sealed(record):
    return verify.digest({key: value for key, value in record.items() if key not in ("sha256", "info")})


def test_the_command_writes_what_training_reads(tmp_path, capsys):
    table(40, 6).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.toml").write_text(faro.files.toml_text(Schema.from_dict(SCHEMA).to_dict()))
    out = tmp_path / "told.jsonl"
    words = ["summarise", str(tmp_path / "t.csv"), "--schema", str(tmp_path / "t.toml"), "-k", "2", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    read, made = faro.load(out, tmp_path / "told.toml"), summarised(faro.load(table(40, 6), SCHEMA), k=2)
    assert read.schema.texts == made.schema.texts and record["sha256"] == made.schema.summaries[record["text"]].sha256
    assert read.digest == made.digest
    assert main([*words[:-1], str(tmp_path / "t.jsonl")]) == 2  # whose schema would be t.toml
    assert "would replace it" in capsys.readouterr().err
    assert main([*words, "--by", "mypkg.nowhere:Summary"]) == 2 and main([*words, "-k", "0"]) == 2


@pytest.mark.parametrize("form", ["times", "context", "after"])
def test_words_are_exchanged_in_the_question_and_not_in_the_summary(form):
    rules = {"levels": ["x", "y"], "words": [["cat", "dog"]]}
    more = {
        "attributes": [{"name": "kind", "levels": ["x", "y"], "chooser": True}],
        "twins": [{"attribute": "kind", "rules": rules}],
    }
    frame = table(30, 6).assign(kind="x")
    made = summarised(faro.load(frame, SCHEMA | more), k=2, form=form)
    columns = [column for column in made.frame.columns if column.endswith(":kind=y")]
    assert {column for column in columns if ":row" not in column} == {"a_said:kind=y", "b_said:kind=y"}
    twin = made.choices(made.fit_coding(), twins=["kind"]).twins["kind"]
    assert np.asarray(twin.valid).any() and not np.allclose(twin.items[:, :, 0], twin.items[:, :, 1])
    if form == "context":
        assert np.array_equal(np.asarray(twin.context)[:, 0], np.asarray(twin.context)[:, 1])


class Plain:
    """A summariser that is neither a dataclass nor a function."""

    def __call__(self, earlier):
        return "  chose\r\nwhat\r "


def test_who_made_them_is_said_by_the_place_where_nothing_else_does(tmp_path, capsys):
    """And a text is digested as every file gives it back."""
    table(40, 6).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.toml").write_text(faro.files.toml_text(Schema.from_dict(SCHEMA).to_dict()))
    place = f"{__name__}:Plain"
    for kind in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"told.{kind}"
        words = ["summarise", str(tmp_path / "t.csv"), "--schema", str(tmp_path / "t.toml"), "--out", str(out)]
        assert main([*words, "--by", place, "--shuffled", "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        read = faro.load(out, tmp_path / "told.toml")
        summary = read.schema.summaries[record["text"]]
        assert record["by"] == summary.by == f"{place}, shuffled" and record["sha256"] == summary.sha256
        assert set(read.frame[f"summary:{summary.by}"]) == {"chose\nwhat"}


def test_what_cannot_be_summarised_is_refused():
    data = faro.load(table(30, 6), SCHEMA)

    def broken(earlier):
        raise RuntimeError("of nothing\ncomes nothing")

    with pytest.raises(DataError, match="failed of p0: RuntimeError: of nothing comes nothing"):
        summarised(data, broken, name="broken")
    with pytest.raises(ValueError, match="most: expected at least 1"):
        History(most=0)
    with pytest.raises(UsageError, match=r"a Plain that is neither a dataclass nor a function .* say name="):
        summarised(data, Plain())
    for text in ("a\0b", "half \ud800"):
        with pytest.raises(DataError, match=r"the text of p0 has '\\.*', which no file keeps"):
            summarised(data, lambda earlier, text=text: text, name="broken")
    with pytest.raises(DataError, match="failed of p0: SystemExit: 3"):
        summarised(data, lambda earlier: sys.exit(3), name="leaves")
    with pytest.raises(DataError, match="expected a text of p0, got None"):
        summarised(data, lambda earlier: None, name="nothing")
    with pytest.raises(UsageError, match="has summaries already"):
        summarised(summarised(data))
    with pytest.raises(UsageError, match="expected context, times or after"):
        summarised(data, form="before")
    made = summarised(data)
    with pytest.raises(UsageError, match="reads earlier choices of a person, of whom others stand in the text"):
        faro.train(made, "demographic_parity", attribute="place", model="pref(rank=1, support=2)")
    twins = [{"attribute": "taste", "origin": "input exchanged", "history": "rewritten"}]
    seen = {"attributes": [{"name": "taste", "levels": ["0", "1"], "chooser": True}], "context_categorical": ["taste"]}
    known = table(30, 6).assign(taste=lambda own: (own["who"] < "p2").astype(int).astype(str))
    with pytest.raises(UsageError, match="history stands in the summaries"):
        summarised(faro.load(known, SCHEMA | seen | {"twins": twins}))
    alone = Schema.from_dict(SCHEMA | {"unit": "row"})
    with pytest.raises(DataError, match="no column names persons"):
        summarised(faro.load(table(30, 6), alone))
