"""Constraints that read columns of the table by name, in its own units: what they are given, wherever they look."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

import constraints as ct
import faro
from constraints.testing import GROUP, example_choices, reads_coding, with_columns
from faro.cli import main
from faro.data import Dataset, Schema
from faro.errors import DataError, UsageError
from faro.evaluate import bootstrap
from faro.training import Settings, streaming


class Mean(ct.Constraint):
    """Mean of a column over what is chosen, in its own units."""

    column: str = ct.static(default="minutes")

    def name(self):
        return f"mean({self.column})"

    def labels(self):
        return (f"mean {self.column}",)

    def columns(self):
        return (self.column,)

    def prepare(self, choices):
        return choices.weight[:, None] * choices.columns[self.column], choices.weight

    def sums(self, outcome, rows):
        return jnp.sum(outcome.decisions * rows[0])[None]

    def masses(self, rows):
        return jnp.sum(rows[1])[None]

    def combine(self, statistics):
        some = statistics.masses > 0
        return jnp.where(some, statistics.sums / jnp.where(some, statistics.masses, 1), 0)


class Coded(Mean):
    """The same of the first coded feature, whatever that is."""

    def columns(self):
        return ()

    def prepare(self, choices):
        numbers = jnp.pad(choices.items[..., 0], ((0, 0), (0, choices.shape[1] - choices.items.shape[1])))
        return choices.weight[:, None] * numbers, choices.weight


def mean(bound=30.0, column="minutes"):
    return Mean(bound=bound, column=column)


def coded(bound=30.0):
    return Coded(bound=bound)


SCHEMA = {
    "format": "long", "unit": "person", "choice": ["choice"], "alternative": "alternative", "label": "chosen",
    "outside": "none", "weight": "w", "numeric": ["minutes"], "categorical": ["kind"], "context_numeric": ["income"],
    "attributes": [{"name": "kind", "levels": ["bus", "car"]}],
}  # fmt: skip


def trips(n=240, seed=0):
    """Two ways to travel and none; a way that takes long is liked."""
    rng, rows = np.random.default_rng(seed), []
    for p in range(n):
        minutes, income = rng.choice([10, 20, 40, 60], 2), rng.integers(10, 90)
        best = int(np.argmax(np.append(0.05 * minutes - 1, 0) + rng.gumbel(size=3)))
        for k in range(3):
            way = ("bus", "car", "")[k]
            rows.append(
                (f"p{p}", str(p), way, int(k == 2), minutes[k] if k < 2 else "", way, income, k == best, 1 + p % 2)
            )
    names = ["person", "choice", "alternative", "none", "minutes", "kind", "income", "chosen", "w"]
    return pd.DataFrame(rows, columns=names).astype({"chosen": int})


def travel(table=None, **schema):
    table = trips() if table is None else table
    return Dataset.from_table(table, Schema.from_dict({**SCHEMA, **schema}), name="travel")


@pytest.fixture(scope="module")
def data():
    return travel()


def test_columns_are_those_of_the_table(data):
    table, coding = trips(), data.fit_coding()
    choices = data.choices(coding, [5, 3], columns=("minutes", "income"))
    for row, chosen in enumerate(("5", "3")):
        own = table[table["choice"] == chosen]
        minutes = [float(value or 0) for value in own["minutes"]]
        assert choices.columns["minutes"][row].tolist() == minutes and minutes[2] == 0  # nothing takes no time
        assert choices.columns["income"][row].tolist() == [*own["income"].iloc[:2], 0]  # as attributes of choosers
    assert data.choices(coding).columns == {}
    padded = choices.take([1, 0]).pad(4)
    assert padded.columns["minutes"][1].tolist() == choices.columns["minutes"][0].tolist()
    assert padded.columns["minutes"].shape == (4, 3) and padded.weight[2:].sum() == 0


def test_what_cannot_be_read_is_refused_by_name(data):
    coding = data.fit_coding()
    with pytest.raises(UsageError, match=r"column 'minute'.*not in the schema \(numeric: minutes, income\)"):
        data.choices(coding, columns=("minute",))
    with pytest.raises(UsageError, match=r"column 'kind'.*not numeric"):
        data.choices(coding, columns=("kind",))
    table = trips()
    table.loc[(table["choice"] == "7") & (table["kind"] == "bus"), "minutes"] = ""
    gaps = travel(table, on_missing="level")
    gaps.choices(gaps.fit_coding())  # a model may learn from a missing cell
    with pytest.raises(DataError, match="column 'minutes', choice 7: the cell is missing"):
        gaps.choices(gaps.fit_coding(), columns=("minutes",))
    with pytest.raises(ValueError, match="column 'minutes': expected shape"):
        ct.make_choices(np.zeros((2, 2, 1)), [0, 1], columns={"minutes": [1.0, 2.0]})
    with pytest.raises(ValueError, match="choice 1: column 'minutes' must be finite"):
        ct.make_choices(np.zeros((2, 2, 1)), [0, 1], columns={"minutes": [[1, 2], [np.nan, 3]]})
    shard = data.choices(coding)
    with pytest.raises(UsageError, match="reads column 'minutes', shard 0 has none"):
        streaming.train([shard], shard, mean())


def minutes_of(scored, parts):
    """Weighted mean of the minutes that are chosen, by pandas."""
    table = trips().assign(choice=lambda own: own["choice"].astype(str))
    table = table[table["none"] == 0].astype({"minutes": float})
    both = scored.astype({"choice": str}).merge(table, on=["choice", "alternative"])
    both = both[both["part"].isin(parts)]
    weight = both.groupby("choice")["w"].first()
    return (both["w"] * both["decision"] * both["minutes"]).sum() / weight.sum()


@pytest.mark.slow
def test_a_bound_in_minutes_binds_and_pandas_finds_it(data):
    """Minibatches, judge, dev and intervals over people see the table's minutes."""
    bound, settings = 24.0, {"batch": 48, "primal": "adam", "steps": 200}
    run = faro.frontier(data, mean(), bounds=[bound], seeds=1, settings=settings)
    free, held = run.table.to_dict("records")
    assert held["status"] == "FEASIBLE" and held["train_gap"] <= bound < free["train_gap"]
    for row, model in zip((free, held), run.models, strict=True):
        scored = model.score(data)
        for part, names in (("train", ("train", "dual")), ("dev", ("dev",))):
            assert row[f"{part}_gap"] == pytest.approx(minutes_of(scored, names), abs=1e-9)
    sure = bootstrap.measure(run, data, mean(), draws=50).trials
    own = sure[(sure["bound"] == bound) & (sure["seed"] == "mean")].iloc[0]
    assert own["dev_gap_low"] <= held["dev_gap"] <= own["dev_gap_high"]


def test_a_stack_asks_for_the_columns_of_its_parts_once():
    stack = ct.Stack(members=(mean(), mean(column="income"), mean(20.0), ct.demographic_parity(GROUP)))
    assert stack.needs() == {"twins": (), "columns": ("minutes", "income")}
    assert ct.demographic_parity(GROUP).needs() == {"twins": (), "columns": ()}


def test_the_contract_makes_columns_up_and_finds_who_reads_coded_features():
    assert reads_coding(mean()) == ""
    assert "reads coded features" in reads_coding(coded())
    own = with_columns(mean(), example_choices(n=30)).columns["minutes"]
    assert own.shape == (30, 4) and own.min() >= 0 and own.max() > 5


@pytest.mark.slow
def test_the_command_checks_on_data(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trips().to_csv("t.csv", index=False)
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in SCHEMA.items() if name != "attributes")
    text += '\n[[attributes]]\nname = "kind"\nlevels = ["bus", "car"]\n'
    (tmp_path / "s.toml").write_text(text)
    on = ["--data", "t.csv", "--schema", "s.toml"]
    assert main(["constraints", "check", f"{__name__}:coded", *on, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["on"] == "125 choices of t.csv" and not any(found["clauses"].values())
    assert len(found["notes"]) == 1 and "reads coded features" in found["notes"][0]
    assert main(["constraints", "check", f"{__name__}:mean(column='fare')", *on]) == 2
    assert "column 'fare'" in capsys.readouterr().err
    assert main(["constraints", "check", "rate_cap", "--attribute", "kind"]) == 2
    assert "--attribute goes with --data" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@pytest.mark.slow
def test_the_classifier_gives_columns_of_a_frame():
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"score": rng.normal(size=200), "minutes": rng.choice([10.0, 60.0], 200)})
    y, sex = (x["score"] + rng.logistic(size=200) > 0).astype(int), rng.choice(["F", "M"], 200)
    own = faro.ChoiceClassifier(f"{__name__}:mean", bound=20.0, settings=Settings(steps=60))
    own.fit(x, y, sensitive_features=sex)
    assert own.gap_[0] == pytest.approx((own.predict(x) * x["minutes"]).mean(), rel=1e-5)
    with pytest.raises(DataError, match="X: no column 'minutes'"):
        own.fit(x.to_numpy(), y, sensitive_features=sex)


def test_built_in_constraints_read_no_column_and_no_leaf_more(data):
    """Programs and their inputs are what they were."""
    plain = data.choices(data.fit_coding())
    leaves = jax.tree.leaves(plain)
    assert len(leaves) == len(jax.tree.leaves(plain.replace(columns={})))
