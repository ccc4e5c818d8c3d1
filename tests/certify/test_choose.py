"""From a frontier to one model: chances against closed forms, what is read and what is not, sequences in the ledger."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import _lines
from benchmarks import choose as benchmark
from faro.certify import predicted
from faro.certify.choose import choose_point, members_of
from faro.certify.dev_people import Sample
from faro.certify.drafts import draft_policy
from faro.certify.policy import read_policy
from faro.cli.commands.choosing import _commands
from faro.data.split import PARTS, assign
from faro.store.choice import USED, read_choice
from faro.store.model import load_model
from tests.builders import runs

# Chances --------------------------------------------------------------------------------------------------------------


def caps(rates, n=2000, bound=0.5, width=2.0, count=4000, seed=0):
    """Members, each with a cell of its own people, under a cap; rates that were seen `[M]`."""
    rng, rates = np.random.default_rng(seed), np.asarray(rates)
    once = rng.beta(rates * n, (1 - rates) * n, (count, len(rates)))[..., None]
    gate = predicted.Gate(
        *(np.array([own]) for own in (0, 0, predicted.NOBODY, bound, width)), np.full((len(rates), 1), n)
    )
    twice = rng.binomial(n, once) / n
    return gate, predicted.Draws(once, twice, np.zeros((count, len(rates))))


@pytest.mark.parametrize("errors", [0.5, 1.0, 1.28, 2.5])
def test_a_chance_counts_the_variance_twice_and_a_plug_in_once(errors):
    error = np.sqrt(0.25 / 2000)
    gate, draws = caps([0.5 - (2 + errors) * error])
    assert predicted.chances(gate, draws.twice)[0] == pytest.approx(stats.norm.cdf(errors / np.sqrt(2)), abs=0.02)
    assert predicted.powers(gate, draws)[0] == pytest.approx(stats.norm.cdf(errors), abs=0.02)


def test_with_more_people_the_same_gap_passes():
    error = np.sqrt(0.25 / 2000)
    gate, draws = caps([0.5 - 2.5 * error])
    middle = draws.once.mean(0)
    times = next(t for t in np.linspace(1, 9, 801) if gate._replace(size=gate.size * t).passes(
        middle + (draws.twice - middle) / np.sqrt(t)).mean() >= 0.9)  # fmt: skip
    # (2.5 error) sqrt(t) = 2 error + 1.28 sqrt(2) error
    assert times == pytest.approx(((2 + 1.2816 * np.sqrt(2)) / 2.5) ** 2, rel=0.04)


def test_the_price_of_choosing_among_many_is_what_is_promised_too_much():
    """Equal members, seen with their luck: the likeliest passes less often than its chance says, and as stated."""
    rng, n, m, bound, width = np.random.default_rng(3), 1000, 20, 0.5, 2.0
    truth = 0.5 - 2.2 * np.sqrt(0.25 / n)
    passed, stated, unpriced = [], [], []
    for seed in range(20):
        seen = rng.binomial(n, truth, m) / n
        gate, draws = caps(seen, n, bound, width, 300, seed)
        found = predicted.choose(gate, draws, np.zeros(m), alike=np.zeros(m, int))
        stated.append(found.stated)
        unpriced.append(found.chance)
        there = rng.binomial(n, truth, 400) / n
        passed.append(np.mean(there + width * np.sqrt(there * (1 - there) / n) <= bound))
    assert np.mean(unpriced) - np.mean(passed) > 0.15
    assert abs(np.mean(stated) - np.mean(passed)) < 0.08


def test_the_best_of_those_likely_enough_else_the_likeliest():
    utility = np.array([0.1, 0.3, 0.2])
    assert predicted.best(np.array([0.99, 0.91, 0.95]), utility, 0.9) == 1
    assert predicted.best(np.array([0.99, 0.89, 0.95]), utility, 0.9) == 2
    assert predicted.best(np.array([0.5, 0.89, 0.2]), utility, 0.95) == 1


def test_a_cell_with_too_few_people_passes_nothing():
    gate, draws = caps([0.1])
    assert predicted.chances(gate, draws.twice)[0] > 0.99
    few = np.where(np.arange(len(draws.twice)) < 1000, np.nan, draws.twice[:, 0, 0])[:, None, None]
    assert predicted.chances(gate, few)[0] == pytest.approx(0.75, abs=1e-6)


def test_units_are_worth_their_number_and_rows_of_a_unit_that_agree_nothing_more():
    rng = np.random.default_rng(0)
    z = rng.binomial(1, 0.3, 1000).astype(float)
    alone = Sample(np.arange(1000), np.ones(1000), z)
    assert alone.size == pytest.approx(1000, rel=0.002)
    doubled = Sample(np.arange(1000), np.full(1000, 2.0), 2 * z)
    assert doubled.size == pytest.approx(alone.size, rel=1e-9)


# Of a run -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, its people, and a policy beside it."""
    folder = tmp_path_factory.mktemp("run")
    return _with_policy(runs.invented(folder, runs.people()))


def _with_policy(out: Path, bound: str = "0.25") -> Path:
    from faro.cli import main

    words = ["policy", out, "--bound", bound, "--out", out / "faro.toml", "--data", out.parent / "people.csv"]
    assert main(list(map(str, words))) == 0
    return out


def _chosen(out: Path):
    policy = read_policy(out / "faro.toml")
    return choose_point(out, policy, float(policy.delta), out.parent / "people.csv")


@pytest.fixture
def out(finished, tmp_path):
    shutil.copytree(finished.parent, tmp_path / "run")
    return tmp_path / "run" / "out"


@pytest.fixture(scope="module")
def found(finished):
    return _chosen(finished)


def test_figures_are_those_of_the_run(found, finished):
    table = pd.read_csv(finished / "frontier.csv").set_index("model")
    free = {own.seed: table["dev_accuracy"][own.model] for own in found.members if own.bounds == (np.inf,)}
    for own in found.members:
        assert own.utility == pytest.approx(table["dev_accuracy"][own.model] - free[own.seed], abs=1e-9)
        assert own.low <= own.utility <= own.high
        assert (own.accuracy, own.gap) == (table["dev_accuracy"][own.model], table["dev_gap"][own.model])
    chances = {own.bounds: own.chance for own in found.members if own.seed == 0}
    assert chances[0.02,] > chances[0.1,] > chances[0.2,] > chances[np.inf,]
    assert found.reached == (found.stated >= 0.9) and 0.5 < found.stated <= 1
    assert [own.utility for own, _ in found.sequence] == sorted(own.utility for own, _ in found.sequence)
    chance = [reached for _, reached in found.sequence]
    assert chance == sorted(chance, reverse=True)
    assert found.sequence[0][0].chance == max(own.chance for own in found.members)


@pytest.mark.parametrize("part", ["gate", "dev"])
def test_nothing_of_the_gate_part_is_read(part, found, tmp_path):
    """The people of a part are turned into people whom every model treats unfairly: on dev that changes the answer."""
    frame = runs.people()
    mine = np.zeros(len(frame), bool)
    for seed in (0, 1):
        mine |= assign(frame["person"].to_numpy(), seed) == PARTS.index(part)
    frame.loc[mine & (frame["group"] == "b"), "x"] += 3
    frame.loc[mine, "hired"] = 1 - frame.loc[mine, "hired"]
    planted = _chosen(_with_policy(_replanted(tmp_path, frame)))
    same = [own.chance for own in planted.members] == [own.chance for own in found.members]
    assert same == (part == "gate")
    assert (planted.chosen == found.chosen and planted.stated == found.stated) == (part == "gate")


def _replanted(folder: Path, frame: pd.DataFrame) -> Path:
    """The same models about other people: of the true run where the planted part trains nobody."""
    return runs.invented(folder, frame, like=runs.people())


def test_a_model_that_answers_several_bounds_is_one_candidate():
    table = pd.DataFrame({"model": ["a", "b", "b", "c"], "status": ["FEASIBLE", "FEASIBLE", "INFEASIBLE", "DIVERGED"]})
    assert members_of(table) == {"a": [0], "b": [1, 2]}


# The command ----------------------------------------------------------------------------------------------------------


def _asked(out):
    return ["--policy", out / "faro.toml", "--data", out.parent / "people.csv"]


def test_one_point_is_certified_at_the_whole_of_delta(out, faro):
    code, said, _ = faro("choose", out, *_asked(out))
    assert code == 0
    told = [line for line in said.splitlines() if not line.startswith("  faro ") and str(out) not in line]
    assert max(map(len, told)) <= 80
    assert USED in " ".join(said.split()) and "against the unconstrained" in " ".join(said.split())
    record = read_choice(out)
    assert record["models"] == [record["chosen"]] and record["dev_figures"] == USED
    for line in said.splitlines():
        if line.startswith("  faro "):  # as printed
            code, _, err = faro(*line.split()[1:])
            assert code == 0, err
    spent, entries = _certificates(out), _entries(out)
    assert entries[:2] == ["init", "sequence"] and entries[-1] == "disclosed"
    assert list(spent.values()) == ["1/20"]
    assert faro("choose", out, *_asked(out))[0] == 2  # the audit set is used up


def test_what_is_to_be_typed_imports_the_constraint_and_adds_the_rewards_of_twins():
    given = {"folder": "run", "policy": "faro.toml", "ledger": None, "plugin": ["own.notions:Mixed"], "data": "t.csv"}
    policy, member = SimpleNamespace(twins=["g h"]), SimpleNamespace(model="models/a.json")
    once = _commands(argparse.Namespace(**given), policy, Path("no.jsonl"), 0, member)
    assert [line.split()[1] for line in once] == ["ledger", "certify"]
    assert all(line.endswith("--data t.csv --plugin own.notions:Mixed") for line in once)
    score, ask = _commands(argparse.Namespace(**given), policy, None, 0, member)
    assert score.endswith("--part gate --twins 'g h' --plugin own.notions:Mixed --out gate.csv")
    assert ask.startswith("faro certify gate.csv") and "--plugin" not in ask


@pytest.mark.slow
def test_a_sequence_is_registered_first_and_ends_at_the_first_failure(out, faro):
    assert faro("ledger", "init", out, *_asked(out))[0] == 0
    code, said, _ = faro("choose", out, *_asked(out), "--sequence", "--json")
    assert code == 0
    record = json.loads(said)
    assert record["registered"] and len(record["models"]) > 1 and _entries(out) == ["init", "sequence"]
    assert faro("choose", out, *_asked(out), "--sequence")[0] == 0  # the same list again
    code, said, err = faro("certify", out, "--disclose", *_asked(out))
    assert code == 0, err
    assert "no false claim is CERTIFIED" in said
    entries, table = _entries(out), pd.read_csv(out / "frontier.csv", keep_default_na=False).set_index("model")
    verdicts = [table["certified_verdict"][name] for name in record["models"]]
    looked = [verdict for verdict in verdicts if verdict]
    assert verdicts[: len(looked)] == looked and set(looked[:-1]) <= {"CERTIFIED"}
    assert entries.count("attempt") == len(looked) and entries.count("passed") == looked.count("CERTIFIED")
    assert set(_certificates(out).values()) == {"1/20"}
    before = (out / "ledger.jsonl").read_bytes()
    assert faro("certify", out, "--disclose", *_asked(out))[:2] == (0, said)
    assert (out / "ledger.jsonl").read_bytes() == before


def test_no_sequence_after_an_attempt_and_no_other_one_after_it(out, faro):
    assert faro("ledger", "init", out, *_asked(out))[0] == 0
    names = sorted(path.name for path in (out / "models").glob("*.json"))
    for name in names:
        to = out / f"{name}.csv"
        assert faro("score", out / "models" / name, out.parent / "people.csv", "--part", "gate", "--out", to)[0] == 0
    gate = lambda name: faro(  # noqa: E731
        "gate", out / f"{name}.csv", "--policy", out / "faro.toml", "--train-units",
        out / "models" / f"{name[8:-5]}.units.txt")  # fmt: skip
    assert gate("bound00-seed0.json")[0] == 1
    code, _, err = faro("choose", out, *_asked(out), "--sequence")
    assert code == 2 and "before the first attempt" in err
    code, said, _ = faro("choose", out, *_asked(out))
    assert code == 0 and "faro gate gate.csv" in said and "delta 0.0076" in said


def _entries(out):
    return [json.loads(line)["kind"] for line in (out / "ledger.jsonl").read_text().splitlines()]


def _certificates(out):
    """Of every certificate, which the checker proves, the share of delta that it spends."""
    from faro import verify

    spent = {}
    for path in sorted((out / "certificates").glob("bound*.json")):
        if path.name.endswith("-metadata.json"):
            continue
        units = out / "models" / f"{path.stem.split('-')[1]}.units.txt"
        models = [str(out / "models" / f"{path.stem}{kind}") for kind in (".json", ".safetensors")]
        given = {"policy": out / "faro.toml", "train_units": str(units), "models": models}
        found = verify.verify(path, str(path.with_suffix(".csv")), **given)
        record = json.loads(path.read_text())
        assert found.verdict == record["result"]["verdict"]
        spent[path.stem] = record["ledger"]["delta"]
    return spent


# Drafts and the benchmark -------------------------------------------------------------------------------------------


def test_a_draft_takes_the_sharpest_method_and_says_what_people_could_show(finished):
    """A model that knows of its data only that units may have several rows: as drafted without people, unit-ratio."""
    model = load_model(finished / "models" / "bound01-seed0.json")
    sizes = model.about["audit"] | {"single": False}
    model = dataclasses.replace(model, about=model.about | {"audit": sizes})
    data = model.read(finished.parent / "people.csv")
    told: list[str] = []
    blind, seen = draft_policy(model, 0.25), draft_policy(model, 0.25, data=data, note=told.append)
    assert 'method = "unit-ratio"' in blind and 'method = "exact2"' in seen and not told
    found = re.search(r"could show ([\d.]+) by exact2 \(.*?([\d.]+) by unit-ratio", seen)
    assert found and 0.08 < float(found[1]) < 0.12 and float(found[2]) > 1.5 * float(found[1])
    draft_policy(model, 0.05, data=data, note=told.append)
    assert len(told) == 1 and "would take luck" in told[0]


def test_the_benchmark_goes_on_where_it_stopped_and_knows_bad_figures(tmp_path, capsys):
    words = ["--count", "1", "--out", str(tmp_path)]
    benchmark.main(words)
    first = (tmp_path / "projects.jsonl").read_text()
    assert len(first.splitlines()) == len(benchmark.MIXES) and "oracle" in capsys.readouterr().out
    benchmark.main(words)
    assert (tmp_path / "projects.jsonl").read_text() == first
    done = list(_lines.finished(tmp_path / "projects.jsonl", lambda record: record["mix"]).values())
    usual = {"passed": 0.95, "stated": 0.95, "power": 0.95, "utility": 0.5, "false": False}
    good = {rule: dict(usual) for rule in benchmark.RULES}
    for rule in ("smallest bound", "half the gap", "plug-in", "dev gap alone"):
        good[rule] |= {"utility": 0.1, "passed": 0.2}
    edge = {rule: own | {"passed": 0.0} for rule, own in good.items()}
    by_mix = {mix: [{**done[0], "rules": edge if mix == "edge" else good}] * 100 for mix in benchmark.MIXES}
    assert all(kept for _, kept in benchmark.bars(by_mix))
    bold = {**good, "choose": good["choose"] | {"stated": 0.99}}
    assert not all(kept for _, kept in benchmark.bars(by_mix | {"none": [{**done[0], "rules": bold}] * 100}))
    lax = {**edge, "choose": edge["choose"] | {"passed": 0.1}}
    assert not all(kept for _, kept in benchmark.bars(by_mix | {"edge": [{**done[0], "rules": lax}] * 200}))
