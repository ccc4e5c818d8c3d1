"""Which model answers a bound: of the trials of its seed within it, the one with the lowest selection loss."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import faro
from faro.evaluate import trials
from faro.store.frontier import Frontier
from faro.store.run import Run
from faro.training import Settings
from faro.training.bounds import answering
from tests.builders.drawn import draw, small

NO_BOUND = np.inf


def told(gap, ties=0.0, nll=0.5):
    gap = np.array(gap, float)
    gap = gap[:, None] if gap.ndim == 1 else gap
    return {"gap": gap, "ties": np.broadcast_to(ties, len(gap)), "nll": np.broadcast_to(nll, len(gap))}


def answers(held, loss, bounds, finite=True):
    bounds = np.array(bounds, float)
    bounds = bounds[:, None] if bounds.ndim == 1 else bounds
    finite = np.broadcast_to(finite, len(bounds))
    return answering(held, np.array(loss, float), bounds, finite, Settings()).tolist()


def test_the_lowest_selection_loss_within_the_bound_answers_it():
    held, bounds = told([0.3, 0.04, 0.06, 0.01]), [NO_BOUND, 0.05, 0.07, 0.08]
    assert answers(held, [0.4, 0.6, 0.5, 0.7], bounds) == [0, 1, 2, 2]  # the last missed what its neighbour found
    assert answers(held, [0.4, 0.5, 0.6, 0.45], bounds) == [0, 3, 3, 3]
    assert answers(held, [0.4, 0.5, 0.5, 0.5], bounds) == [0, 1, 2, 3]  # of equals its own
    assert answers(told([0.06, 0.04]), [0.4, 0.6], [NO_BOUND, 0.07]) == [0, 0]  # it was within the bound all along


def test_a_bound_that_no_trial_is_within_is_left_to_its_own():
    held = told([0.3, 0.02, 0.06])
    assert answers(held, [0.4, 0.6, 0.5], [NO_BOUND, 0.01, 0.05]) == [0, 1, 1]
    assert answers(told([0.3, 0.02, 0.06], ties=[0, 0.02, 0]), [0.4, 0.6, 0.5], [NO_BOUND, 0.01, 0.05]) == [0, 1, 2]
    stacked = told([[0.3, 0.3], [0.04, 0.06], [0.05, 0.05]])  # every part is within its own bound, or it is not
    assert answers(stacked, [0.4, 0.5, 0.6], [[NO_BOUND] * 2, [0.05, 0.05], [0.05, 0.07]]) == [0, 2, 1]


def test_no_bound_and_a_training_that_diverged_are_not_answered_by_others():
    held = told([0.3, 0.04, 0.04])
    assert answers(held, [0.9, 0.6, 0.5], [NO_BOUND, 0.05, 0.05], finite=[True, False, True]) == [0, 1, 2]
    lost = told([0.3, 0.04, 0.04], nll=[0.5, 0.5, np.nan])
    assert answers(lost, [0.9, 0.6, np.nan], [NO_BOUND, 0.05, 0.05]) == [0, 1, 1]


# In a sweep -----------------------------------------------------------------------------------------------------------


GRID = {"bounds": [0.02, 0.04, 0.08, 0.06, 0.12, 0.2], "seeds": 3}


def wrong(table: pd.DataFrame, figures: dict) -> list[int]:
    """Rows that are not answered by the best trial of their seed within the bound, counted without faro's rule."""
    found = []
    for seed, rows in table.groupby("seed"):
        place = sorted(table["seed"].unique()).index(seed)
        gap, ties = figures["train", place]["gap"].max(-1), figures["train", place]["ties"]
        loss, free = figures["selection", place]["nll"], rows["bound"].to_numpy() == np.inf
        for row, bound in rows.loc[~free, "bound"].items():
            fit = [loss[t] for t in range(len(loss)) if gap[t] <= bound and ties[t] <= 0.01]
            right = table["selection_nll"][row] == min(fit) if fit else table["status"][row] == "INFEASIBLE"
            found += [] if right else [row]
    return found


class Drawn(NamedTuple):
    """A sweep, the figures of all of its trials, and the same once more from these."""

    run: Any
    figures: dict
    folder: Path
    again: Callable[[dict], pd.DataFrame]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Drawn:
    """A sweep whose parameters are drawn, so that bounds and trials have nothing to do with each other."""
    folder, given, finished = tmp_path_factory.mktemp("drawn"), [], trials._frontier
    with pytest.MonkeyPatch.context() as patch:
        draw(patch)
        patch.setattr(trials, "_frontier", lambda *args: finished(*given.append(args) or args))
        run = faro.frontier(small(), **GRID, out=folder)
    *before, figures, objective, tighter = given[0]
    return Drawn(run, figures, folder, lambda changed: finished(*before, changed, objective, tighter).table)


def test_every_bound_of_a_seed_is_answered_by_its_best_trial(drawn):
    table = drawn.run.table
    assert not wrong(table, drawn.figures) and (table["bound"] != table["trained_at"]).sum() > 3
    bounded = table[np.isfinite(table["bound"])]
    assert {"FEASIBLE", "INFEASIBLE"} == set(bounded["status"])
    for _, rows in bounded.groupby("seed"):  # a looser bound is never worse, and none is missed that a model satisfies
        within = rows.sort_values("bound")
        feasible = within["status"] == "FEASIBLE"
        assert feasible.is_monotonic_increasing and within.loc[feasible, "selection_nll"].is_monotonic_decreasing
        assert not any((rows["train_gap"] <= bound).any() for bound in within.loc[~feasible, "bound"])
    free = table[np.isinf(table["bound"])]
    assert free["model"].str.startswith("models/bound00-").all() and np.isinf(free["trained_at"]).all()


def test_what_a_row_says_is_what_its_model_does(drawn):
    again, data = Run.read(drawn.folder), small()
    for row in again.rows:
        model = faro.load_model(drawn.folder / row["model"])
        assert row["model"].endswith(f"-seed{row['seed']}.json") and model.about["seed"] == row["seed"]
        assert float(model.about["trained_at"][0]) == row["trained_at"]
        scored = model.score(data)
        rates = scored[scored["part"].isin(["train", "dual"])].groupby("dialect")["decision"].mean()
        assert np.ptp(rates) == pytest.approx(row["train_gap"], abs=1e-9)
        rewards = scored.loc[scored["part"].isin(["train", "dual"]), "reward"]
        spread = {"centre": rewards.mean(), "scale": rewards.std(ddof=0)}
        assert model.about["rewards"] == pytest.approx(spread, abs=1e-9)
    # a model speaks of the bound it was trained at if it answers that, else of the tightest that it does
    for name, rows in again.trials.groupby("model"):
        bound = float(faro.load_model(drawn.folder / name).about["bound"][0])
        own = rows["trained_at"].iloc[0]
        assert bound == (own if own in set(rows["bound"]) else rows["bound"].min())
    assert {path.name for path in (drawn.folder / "models").glob("bound*.json")} == {
        name.removeprefix("models/") for name in again.trials["model"]
    }
    loaded = Frontier.load(drawn.folder)
    for one, other in zip(drawn.run.models, loaded.models, strict=True):
        assert one.about == other.about and one.params["item"].tolist() == other.params["item"].tolist()


@pytest.mark.parametrize("fault", ["own alone", "loosest", "least gap", "ties forgotten"])
def test_another_rule_is_caught(drawn, monkeypatch, fault):
    def other(held, loss, bounds, finite, settings, tighter):
        own = np.arange(len(loss))
        if fault == "ties forgotten":
            return answering({**held, "ties": 0 * held["ties"]}, loss, bounds, finite, settings)
        others = {"own alone": own, "loosest": len(loss) - 1, "least gap": np.argmin(held["gap"].max(-1))}
        return np.where(np.isinf(bounds[:, 0]), own, others[fault])

    tied = {key: dict(own) for key, own in drawn.figures.items()}
    for place in range(GRID["seeds"]):  # the best of all is decided by ties
        loss = tied["selection", place]["nll"]
        tied["train", place]["ties"] = np.where(loss == loss[1:].min(), 0.5, 0)
    assert not wrong(drawn.again(tied), tied)
    monkeypatch.setattr(trials, "answering", other)
    assert wrong(drawn.again(tied), tied)


def test_a_run_of_the_release_before_opens(drawn, tmp_path):
    shutil.copytree(drawn.folder, tmp_path, dirs_exist_ok=True)
    table = pd.read_csv(tmp_path / "frontier.csv")
    table.drop(columns="trained_at").to_csv(tmp_path / "frontier.csv", index=False)
    assert "trained_at" not in Run.read(tmp_path).trials
