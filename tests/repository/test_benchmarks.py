"""The benchmarks beside other libraries: what they compute from runs, and that bad figures do not pass.

Answers of contenders are made up where the table and the bars are tested; the contenders themselves run on tiny data.
"""

import importlib
import json
import pkgutil

import numpy as np
import pytest

import benchmarks
from benchmarks import _contenders, _lines, pair_features, peers, scaling

BOUNDS = [0.02, 0.05, 0.1]
CASE = ("adult", "demographic_parity")


def answer(name: str, seconds: float = 1.0, seeds=(0, 1, 2), better: float = 0.0, over: float = -0.001) -> dict:
    """What a contender would answer: on the line accuracy = 0.8 + gap, but so much better, and so far over a bound."""
    fits = []
    for seed in seeds:
        points = []
        for bound in BOUNDS:
            gap, noise = bound + over, 0.001 * np.sin(seed)  # the same noise for all: the splits are paired
            accuracy = 0.8 + gap + noise + better
            points.append({f"{part}_accuracy": accuracy for part in ("train", "selection", "dev")})
            points[-1] |= {f"{part}_gap": gap for part in ("train", "selection", "dev")}
        fit = {"seed": seed, "bounds": BOUNDS, "points": points, "failures": [], "constant": 0.76}
        fits.append({**fit, "tuning": _contenders.CONTENDERS[name].tunings()[0], "cold": seconds, "warm": seconds / 2})
        if name == "faro":
            fits[-1]["statuses"] = ["FEASIBLE"] * len(BOUNDS)
    return {"contender": name, "data": CASE[0], "notion": CASE[1], "fits": fits}


def judged(*answers: dict) -> tuple[list[dict], list[peers.Bar]]:
    """Lines and bars of these answers, which are both the timed and the paired ones."""
    found = [peers.lines(own["contender"], list(answers), list(answers)) for own in answers]
    return found, peers.bars(CASE, found)


def verdicts(*answers: dict) -> dict[str, bool]:
    return {bar.what.removeprefix(" ".join(CASE) + ": "): bar.kept for bar in judged(*answers)[1]}


def test_equal_quality_and_a_slow_peer_pass():
    found, kept = judged(answer("faro"), answer("ExponentiatedGradient", seconds=30.0), answer("cooper", seconds=11.0))
    assert all(bar.kept for bar in kept) and len(kept) == 5  # two times, one bound, two accuracies
    assert found[1]["cold_ratio"] == pytest.approx(30)
    assert found[1]["default"]["mean"] == pytest.approx(0, abs=1e-9)
    assert found[1]["default"]["splits"] == 3


def test_a_peer_that_is_better_is_flagged():
    best = answer("cooper", seconds=11.0, better=0.02)
    found = verdicts(answer("faro"), best)
    assert [what for what, kept in found.items() if not kept] == [
        "accuracy at matched gap minus cooper's, default, lower limit, 3 splits"
    ]


def test_a_peer_that_is_too_fast_is_flagged():
    found = verdicts(answer("faro"), answer("ExponentiatedGradient", seconds=24.0))
    assert not found["ExponentiatedGradient / faro, cold"]


def test_a_feasible_point_over_its_bound_is_flagged():
    name = "least room of a FEASIBLE train gap below its bound"
    assert verdicts(answer("faro"))[name]
    assert not verdicts(answer("faro", over=0.001))[name]


def test_a_peer_that_never_answered_is_no_success():
    silent = answer("cooper", seconds=11.0)
    for fit in silent["fits"]:
        fit |= {"points": [], "failures": ["broken"] * 3, "cold": None, "warm": None}
    found, kept = judged(answer("faro"), silent)
    assert not next(bar for bar in kept if "cooper / faro" in bar.what).kept
    assert "18 of 18" in peers.table(found)


def test_a_peer_that_is_not_installed_is_a_line():
    found, kept = judged(answer("faro"), {**answer("fairret"), "missing": "No module named 'fairret'"})
    assert "| fairret | not installed |" in peers.table(found)
    assert not any("fairret" in bar.what for bar in kept)


def test_every_line_of_the_table_has_every_column():
    found, _ = judged(answer("faro"), answer("cooper"), answer("OxonFair"), {**answer("fairret"), "missing": "gone"})
    rows = peers.table(found).splitlines()
    assert len(rows) == 6 and {row.count("|") for row in rows} == {peers.HEAD.count("|")}


def test_non_dominated_points():
    pairs = [(0.8, 0.05), (0.8, 0.04), (0.7, 0.01), (0.7, 0.02), (0.9, 0.3)]
    assert peers.non_dominated([{"dev_accuracy": a, "dev_gap": g} for a, g in pairs]) == 3


def test_every_peer_has_nine_tunings_and_the_first_is_its_default():
    for name, contender in _contenders.CONTENDERS.items():
        assert len(contender.tunings()) == (9 if contender.grid else 1), name


def test_figures_are_those_of_the_table():
    own = _contenders.Problem(None, 0, "equalized_odds", "group", {})
    y, group = np.array([1, 1, 0, 0, 1, 0, 1]), np.array([0, 1, 0, 1, 0, 1, -1])
    own.parts["train"] = _contenders.Part(np.zeros((7, 1)), y, group)
    accepted = np.array([1.0, 0.25, 0.0, 0.5, 1.0, 0.0, 1.0])
    found = _contenders.figures(own, lambda x, group: accepted)
    assert found["train_gap"] == pytest.approx(0.75)  # among labels 1: 1 and 0.25; among 0: 0 and 0.25
    assert found["train_accuracy"] == pytest.approx((1 + 0.25 + 1 + 0.5 + 1 + 1 + 1) / 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["faro", "GridSearch(20)", "JAX loop, one product"])
def test_contenders_run(name, monkeypatch):
    monkeypatch.setattr(_contenders, "STEPS", 300)
    tuning = _contenders.CONTENDERS[name].tunings()[0]
    fits = [{"seed": 0, "bounds": [0.05, 0.2], "tuning": tuning}]
    job = {"contender": name, "data": "synthetic:400,3,2", "notion": "demographic_parity", "fits": fits}
    fit = json.loads(json.dumps(_contenders.run(job)))["fits"][0]
    assert not fit["failures"] and fit["cold"] > 0
    assert len(fit["points"]) == (20 if name.startswith("Grid") else 2)
    if name == "faro":
        assert fit["statuses"] == ["FEASIBLE"] * 2
        assert all(point["train_gap"] <= bound for point, bound in zip(fit["points"], fit["bounds"], strict=True))
        assert 0 < fit["training"] < fit["cold"]
    assert max(point["train_accuracy"] for point in fit["points"]) > 0.6


@pytest.mark.slow
def test_scaling_on_tiny_data(tmp_path, capsys):
    scaling.main(["--small", "--plot", str(tmp_path / "plot.png")])
    said = capsys.readouterr().out
    assert (tmp_path / "plot.png").stat().st_size > 1000
    for words in ("| members | 4 |", "| faro |", "| ExponentiatedGradient |", "| one after another |", "bars: "):
        assert words in said
    tables = [block.splitlines() for block in said.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for rows in tables:
        assert len({row.count("|") for row in rows if row.startswith("|")}) == 1


def test_the_slope_of_a_power_law():
    rows = [{"size": size, "seconds": 3e-6 * size**1.5} for size in (1, 2, 4, 8, 16)]
    assert scaling.slope(rows) == pytest.approx(1.5)


def test_a_layout_that_loses_quality_or_time_is_flagged():
    base = {"name": "one after another", "seconds": 1.5, "loss": 0.6, "gap": 0.05}
    good = {"name": "faro", "seconds": 1.0, "loss": 0.6, "gap": 0.05}
    assert all(bar.kept for bar in scaling.network_bars("x", [base, good], (1.0, 1.5)))
    for changed in ({"loss": 0.62}, {"gap": 0.07}, {"seconds": 1.2}):
        assert not all(bar.kept for bar in scaling.network_bars("x", [base, good | changed], (1.0, 1.5)))
    faster = {"name": "chunks of 4", "seconds": 0.8, "loss": 0.6, "gap": 0.05}
    assert not all(bar.kept for bar in scaling.network_bars("x", [base, good, faster], (1.0, 1.5)))
    assert not all(bar.kept for bar in scaling.network_bars("x", [base, good], (1.0, 1.3)))


def test_a_slow_large_fit_is_flagged():
    lines = [{"name": "faro", "reached": (2.0, 0.5, 0.05)}, {"name": "cooper", "reached": (3.0, 0.5, 0.05)}]
    lines += [{"name": "ExponentiatedGradient", "reached": (11.0, float("nan"), 0.05)}]
    assert all(bar.kept for bar in scaling.large_bars(lines))
    lines[2]["reached"] = (9.0, float("nan"), 0.05)
    assert not all(bar.kept for bar in scaling.large_bars(lines))
    lines[0]["reached"] = None
    assert not any(bar.kept for bar in scaling.large_bars(lines))


@pytest.mark.parametrize(("groups", "expected"), [([0] * 30 + [1] * 10, 0.075), ([0] * 20 + [1] * 10 + [2] * 10, 0.05)])
def test_a_bound_on_distances_from_the_overall_rate_bounds_the_gap(groups, expected):
    group = np.array(groups)
    part = _contenders.Part(np.zeros((40, 1)), np.zeros(40, int), group)
    own = _contenders.Problem(None, 0, "demographic_parity", "group", {"train": part})
    assert own.distance(0.1) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    for rates in rng.uniform(size=(200, group.max() + 1)):
        overall = rates[group].mean()
        scale = expected / np.abs(rates - overall).max()  # as far from the overall rate as may be
        assert scale * (rates.max() - rates.min()) <= 0.1 + 1e-9


def test_a_line_that_was_cut_short_is_not_finished_and_spoils_no_other(tmp_path):
    path = tmp_path / "out" / "lines.jsonl"
    assert _lines.finished(path, lambda record: record["seed"]) == {}
    _lines.add(path, {"seed": 1})
    with open(path, "a") as file:
        file.write('{"seed": 2')  # killed while it was written
    _lines.add(path, {"seed": 3})
    assert _lines.finished(path, lambda record: record["seed"]) == {1: {"seed": 1}, 3: {"seed": 3}}


# Pair features --------------------------------------------------------------------------------------------------------


def test_the_default_form_is_one_that_both_sets_ask_for():
    nothing, better, much = (-0.01, -0.03, 0.01), (-0.01, -0.02, -0.001), (-0.05, -0.06, -0.04)
    told = {(name, form): nothing for name in ("a", "b") for form in pair_features.FORMS}
    assert pair_features.default(told, ["a", "b"]) == "answer"
    assert pair_features.default(told | {("a", "both"): much}, ["a", "b"]) == "answer"  # one set alone
    told |= {("a", "both"): much, ("b", "both"): better, ("a", "products"): better, ("b", "products"): better}
    assert pair_features.default(told, ["a", "b"]) == "both"
    assert pair_features.default(told, []) == "answer"


def test_its_models_are_optima_and_its_lines_means_over_units(capsys):
    rng = np.random.default_rng(0)
    apart, share, weight = rng.normal(size=(200, 5)), rng.choice([0, 0.5, 1], 200), rng.uniform(1, 2, 200)
    weight /= weight.sum()
    w = pair_features.fitted(apart, share, weight, 0.1)
    odds = 1 / (1 + np.exp(-apart @ w))
    np.testing.assert_allclose(apart.T @ (weight * (odds - share)) + 0.1 * w, 0, atol=1e-7)
    records = []
    for seed, losses in ((0, [0.5, 0.7]), (1, [0.7, 0.9])):
        for form, less in (("answer", 0.0), ("both", 0.2)):
            part = {"units": ["u", f"v{seed}"], "n": [1, 3], "nll": [loss - less for loss in losses], "right": [1, 0]}
            records.append({"set": "a", "form": form, "seed": seed, "dev": part})
    assert pair_features.line(records, "a", "both", "dev") == pytest.approx((-0.2, -0.2, -0.2))
    assert capsys.readouterr().out.split()[:5] == ["a", "both", "dev", "4", f"{(0.65 + 0.85) / 2 - 0.2:.4f}"]


# All of them ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_benchmark_finds_what_it_names():
    """No type checker reads them; a package that is not installed may be missing, nothing of faro's."""
    modules = [module.name for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")]
    assert len(modules) > 40
    for name in modules:
        if not name.endswith("__main__"):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                assert error.name and error.name.split(".")[0] not in ("benchmarks", "constraints", "faro"), name
