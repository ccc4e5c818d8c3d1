"""Notes on the data under a constraint: true to pandas on random projects, and the same from every front door."""

import functools
import html
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

import constraints as ct
import faro
from constraints.testing import GROUP, example_choices
from faro import report
from faro.cli import main
from faro.data import Dataset, Schema
from faro.data.views import View
from faro.training import Settings
from faro.training.notes import fit_for, together
from tests.builders.drawn import draw

LEVELS = ("a", "b", "c", "d", "never")
CAMPS = ("north", "south")
SCHEMA = {
    "format": "accept", "unit": "person", "label": "hired", "numeric": ["score"],
    "attributes": [{"name": "group", "levels": list(LEVELS)}, {"name": "camp", "levels": list(CAMPS)}],
}  # fmt: skip


def project(seed, rows=500):
    """People of whom some apply twice; levels that are rare, in one camp only, or in no row."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet([1.0, 1.0, 0.3, 0.05])
    group = rng.choice(LEVELS[:4], rows, p=share)
    camp = np.where((group == "a") | (rng.random(rows) < 0.7 * (seed % 3 > 0)), "north", "south")
    score = rng.normal(size=rows).round(3)
    person = [f"p{rng.integers(rows // 2)}" for _ in range(rows)]
    hired = ((score + (group == "a") + rng.logistic(size=rows) > 0) & (group != "c")).astype(int)
    return pd.DataFrame({"person": person, "group": group, "camp": camp, "score": score, "hired": hired})


def said_by_pandas(table, train, dev, name):
    """The sentences on cells of group within camp, from counts of rows and of people."""
    cells = [(camp, group) for camp in CAMPS for group in LEVELS]
    names = {cell: f"group={cell[1]} | camp={cell[0]}" for cell in cells}
    own = table.iloc[train].groupby(["camp", "group"])["person"].nunique()
    seen = set(table.iloc[dev].groupby(["camp", "group"]).groups)
    people = {cell: int(own.get(cell, 0)) for cell in cells}
    said = []
    if empty := [names[cell] for cell in cells if not people[cell]]:
        said.append(f"{name}: no train data for {', '.join(empty)}; these rows are inactive")
    if few := [f"{names[cell]} ({people[cell]})" for cell in cells if 0 < people[cell] < 30]:
        said.append(f"{name}: fewer than 30 train units in {', '.join(few)}; their rates are noisy")
    if alone := [camp for camp in CAMPS if sum(people[camp, group] > 0 for group in LEVELS) == 1]:
        words = ", ".join(f"camp={camp}" for camp in alone)
        said.append(f"{name}: one group only in {words}; nothing to compare there")
    there, absent = ([names[cell] for cell in cells if (cell in seen) == side] for side in (True, False))
    return [*said, f"{name}: dev gap over {', '.join(there)}; no dev data for {', '.join(absent)}"] if absent else said


def test_notes_are_true_on_random_projects():
    kinds = set()
    for seed in range(12):
        table = project(seed)
        data = Dataset.from_table(table, Schema.from_dict(SCHEMA), name="jobs")
        view = View.of(data, seed)
        train, dev = (data.choices(view.coding, view.rows[part]).pad(500) for part in ("train", "dev"))
        constraint = ct.demographic_parity(data.attributes["group"], 0.1, within=data.attributes["camp"])
        found = fit_for(constraint, train, "jobs", dev)
        expected = said_by_pandas(table, view.rows["train"], view.rows["dev"], constraint.name())
        kinds |= {sentence.split(": ")[1][:8] for sentence in expected}
        assert found.all == expected
        halves = [train.take(slice(0, 250)), train.take(slice(250, 500))]
        again = fit_for(constraint, functools.partial(iter, halves), "jobs")
        assert again.train == found.train  # of shards, whose people may be in both
    assert kinds == {"no train", "fewer th", "one grou", "dev gap "}


def test_sentences_of_several_seeds_name_the_seeds_unless_all_say_them():
    assert together({0: ["few in a", "none in b"], 3: ["none in b", "few in c"], 4: ["none in b", "few in c"]}) == [
        "few in a (seed 0)",
        "none in b",
        "few in c (seed 3, 4)",
    ]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """The command in a folder with a project; (exit code, stdout, notes on stderr)."""
    monkeypatch.chdir(tmp_path)
    project(1).to_csv("t.csv", index=False)
    lines = [f"{name} = {json.dumps(value)}" for name, value in SCHEMA.items() if name != "attributes"]
    for own in SCHEMA["attributes"]:
        lines += ["[[attributes]]", *(f"{name} = {json.dumps(value)}" for name, value in own.items())]
    Path("s.toml").write_text("\n".join(lines))
    Path("c.toml").write_text('data = "t.csv"\nschema = "s.toml"\nattribute = "group"\n[settings]\nsteps = 3\n')

    def call(*words):
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, [line.removeprefix("faro: note: ") for line in err.splitlines()]

    return call


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
def test_every_front_door_says_the_same(command, monkeypatch):
    """`faro train`, `faro.train`, `faro.frontier`, saved models, report, card, score, the classifier: one list."""
    draw(monkeypatch)  # notes are of the data, whatever is trained
    data = faro.load("t.csv", "s.toml")
    settings = {"steps": 3}
    model = faro.train(data, attribute="group", bound=0.3, settings=settings)
    notes = model.about["notes"]
    assert [sentence.split(": ")[1].split(" ")[0] for sentence in notes] == ["no", "fewer", "dev", "nll"]
    assert model.about["dev_gap_over"] == notes[2:3] and "group=never" in notes[2]

    run = faro.frontier(data, attribute="group", bounds=[0.3], seeds=[0], settings=settings, out="run")
    assert run.manifest["notes"] == notes and all(own.about["notes"] == notes for own in run.models)
    record = report.read_run("run")
    assert record.notes == notes and record.dev_gap_over == notes[2:3]
    page = html.unescape(Path("run/report.html").read_text("utf-8"))
    assert all(sentence in page for sentence in notes) and page.count(notes[2]) >= 3  # headline, table, notes
    assert notes[2] in report.headline(record)

    code, out, said = command("train", "--config", "c.toml", "--bound", "0.3", "--out", "m")
    assert said == notes and notes[2] in " ".join(out.split())
    assert faro.load_model("m").about["notes"] == notes
    for words in (("report", "run"), ("card", "run"), ("score", "m", "t.csv", "--out", "scored.csv")):
        code, _, said = command(*words)
        assert (code, said) == (0, notes), words
        assert command(*words, "--quiet")[2] == []
    written = Path("run/MODEL_CARD.md").read_text("utf-8").replace("\\", "")
    assert all(sentence in written for sentence in notes) and written.count(notes[2]) == 2

    own = faro.ChoiceClassifier(bound=0.1, settings=Settings(steps=3))
    table = project(1).iloc[data.rows(("train", "dual"))]
    own.fit(table[["score"]], table["hired"], sensitive_features=table["group"])
    few = {level: n for level, n in table["group"].value_counts().sort_index().items() if n < 30}
    words = ", ".join(f"sensitive_features={level} ({n})" for level, n in few.items())
    assert own.notes_ == [
        f"demographic_parity(sensitive_features): fewer than 30 train units in {words}; their rates are noisy"
    ]

    manifest = json.loads(Path("run/manifest.json").read_text())  # runs and models of before say nothing
    for name in ("notes", "dev_gap_over"):
        del manifest[name]
    Path("run/manifest.json").write_text(json.dumps(manifest))
    path = Path("run", run.table["model"].iloc[-1])
    stored = json.loads(path.read_text())
    stored["about"] = {key: value for key, value in stored["about"].items() if key not in ("notes", "dev_gap_over")}
    path.write_text(json.dumps(stored))
    for words in (("report", "run"), ("card", "run"), ("score", str(path), "t.csv", "--out", "scored.csv")):
        assert command(*words)[::2] == (0, []), words


# Denominators that vanish ---------------------------------------------------------------------------------------------


RATIOS = {
    "predictive parity": ct.predictive_parity(GROUP),
    "precision floor": ct.precision_floor(GROUP),
    "four fifths": ct.rate_ratio(GROUP),
    "calibration": ct.calibration(GROUP),
}


@pytest.mark.parametrize("name", RATIOS)
def test_slopes_are_numbers_however_few_are_chosen(name):
    """Soft decisions that hardly choose anybody of a group: down to what float32 can hold, and to 0."""
    constraint, choices = RATIOS[name], example_choices(n=30)
    hidden = np.asarray(choices.attributes["group"]) == 1
    other = (np.asarray(choices.available) & ~hidden).any(1)  # else somebody of the group must be chosen
    choices = choices.replace(weight=choices.weight * other)

    @jax.jit
    def measured(low):
        rows = constraint.prepare(choices)

        def rows_of(rewards):
            soft = ct.decide(ct.Softmax(), rewards, choices)
            return constraint.combine(ct.Statistics(constraint.proxy_sums(soft, rows), constraint.masses(rows)))

        return rows_of(jnp.where(hidden, -low, 0.0)), jax.jacrev(rows_of)(jnp.where(hidden, -low, 0.0))

    for low in (0.0, 10.0, 40.0, 60.0, 80.0, 87.0, 95.0, 120.0):
        values, slopes = measured(low)
        assert np.isfinite(values).all() and np.isfinite(slopes).all(), low


@pytest.mark.slow
def test_the_test_of_slopes_finds_a_denominator_that_is_too_small(monkeypatch):
    monkeypatch.setattr("constraints._precision.NEGLIGIBLE_SHARE", 0.0)
    monkeypatch.setattr("constraints._precision.LEAST_DENOMINATOR", 0.0)
    jax.clear_caches()
    with pytest.raises(AssertionError, match="60"):
        test_slopes_are_numbers_however_few_are_chosen("predictive parity")


@pytest.mark.slow
def test_a_group_of_which_nobody_is_chosen_is_infeasible_with_the_reason(command):
    """People chose nobody of a group: training goes on, and the precision that nobody knows is the reason."""
    table = pd.concat([project(1), project(2).assign(group="d", hired=0, person=lambda own: "q" + own["person"])])
    table.to_csv("t.csv", index=False)
    code, out, said = command(
        "train", "--config", "c.toml", "--constraint", "predictive_parity", "--bound", "0.1", "--out", "m"
    )
    assert code == 3 and "INFEASIBLE" in out
    about = faro.load_model("m").about
    assert (
        "predictive_parity(group) is 1 on train, over the bound 0.1, since the model chooses nothing of"
        in about["reason"]
    )
    assert about["reason"] in " ".join(line.strip() for line in out.splitlines())
    assert any("people chose nothing in train of group=c, group=d" in sentence for sentence in said)
