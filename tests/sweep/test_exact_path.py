"""Exact members of a sweep, and the game held against the exact optimum."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import exact, models
from faro.cli import main
from faro.errors import UsageError
from faro.training import Data, Game, Settings
from faro.training.ridge import UNCHOSEN, Ridge


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exact")
    return folder, faro.frontier("demo", bounds=[0.01, 0.1], seeds=1, settings={"solver": "exact"}, out=folder)


@pytest.mark.slow
def test_members_are_judged_and_saved_like_the_games(run):
    """The hard gap again, by pandas alone from what a saved model scores."""
    folder, made = run
    table, data = pd.read_csv(folder / "frontier.csv"), faro.load("demo")
    assert table["status"].tolist() == ["FEASIBLE"] * 3 and (folder / "report.html").exists()
    for row in table.to_dict("records"):
        scored = faro.load_model(folder / row["model"]).score(data)
        rows = scored[scored["part"].isin(["train", "dual"]) & (scored["dialect"] != "")]
        rates = rows.groupby("dialect")["decision"].mean()
        assert rates.max() - rates.min() == pytest.approx(row["train_gap"], abs=1e-12)
        assert row["train_gap"] <= row["bound"]
    losses = table.set_index("bound")["train_nll"]
    assert losses[0.01] > losses[0.1] > losses[np.inf]
    assert table["train_gap"][2] > 0.09  # bisection fills the bound
    assert made.table["train_gap"][0] > 0.2


@pytest.mark.slow
def test_the_unconstrained_member_is_the_optimum(run):
    """The gradient of loss and ridge vanishes there, on all that a member has seen."""
    data = faro.load("demo")
    own = run[1].models[0]
    ridge = Ridge.read(own.about["ridge"])
    seen = data.choices(own.coding, data.rows(["train", "dual", "selection"]))
    head = exact.Head.of(seen, ridge.decay, shares=models.Linear().shares(models.PARTS, ridge.interactions))
    w = head.weights(own.params)
    assert np.abs(head.moments(w, curvature=False).gradient + head.ridge * w).max() < 1e-6


def test_what_is_not_linear_is_refused(capsys):
    with pytest.raises(UsageError, match="model linear, got MLP"):
        faro.train("demo", model="mlp", settings={"solver": "exact"})
    with pytest.raises(UsageError, match="not linear in rewards"):
        faro.train("demo", "rate_ratio", settings={"solver": "exact"})
    with pytest.raises(UsageError, match="dual_data = own: can have no effect, for solver = exact plays no game"):
        faro.train("demo", settings={"solver": "exact", "dual_data": "own"})
    assert main(["train", "--data", "demo", "--solver", "simplex"]) == 2
    assert "expected one of game, exact" in capsys.readouterr().err


# The game against the optimum ------------------------------------------------------------------------------------


class AffineParity(type(ct.demographic_parity(ct.Attribute("g", ("a", "b"))))):
    """Parity whose truth, and not only its proxy, is read affinely, so that both players see what the solver sees."""

    def sums(self, outcome, rows):
        return self.total(exact.Affine().decide(outcome.rewards, outcome.available, None)[..., None], rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "groups", "notion", "share", "primal"),
    [
        (2, 2, ct.demographic_parity, 0.3, "adam"),
        (2, 2, ct.demographic_parity, 0.3, "sqp"),
        (3, 3, ct.demographic_parity, 0.1, "sqp"),
        (3, 2, ct.equalized_odds, 0.3, "adam"),
    ],
)
def test_the_game_reaches_the_optimum(k, groups, notion, share, primal):
    """Same affine constraint, same bound (a share of the unconstrained gap): objectives within 1e-3 nats."""
    rng = np.random.default_rng(k + groups)
    n = 2000
    attribute = ct.Attribute("g", tuple("abc"[:groups]))
    group = rng.integers(0, groups, (n, k))
    x = rng.normal(size=(n, k, 4))
    x[..., 0] += 0.7 * group
    utility = x @ [1.0, -0.7, 0.4, 0.0] + 0.3 * group
    chosen = (utility + rng.gumbel(size=(n, k))).argmax(1)
    choices = ct.make_choices(x.astype(np.float32), chosen, attributes={"g": group})
    settings = Settings().filled(primal)
    plain = notion(attribute)
    head = exact.Head.of(choices, UNCHOSEN)
    rows = exact.rows_of(plain, head)
    free = exact.solve(head, rows, 10.0)
    bound = share * rows.violation(free.w, 0.0)
    best = exact.solve(head, rows, bound)
    assert best.gap < 1e-8 and best.loss > free.loss + 2e-3  # the bound costs more than what is allowed below
    constraint = AffineParity(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    game, data = Game(models.Linear(), settings), Data(choices, choices)

    @jax.jit
    def play(key, constraint):
        pilot, _ = game.start(key, constraint, data, settings.evaluations)
        return game.advance(game.warm_start(pilot, constraint, data), constraint, data, settings.evaluations)[0].best

    found = play(jax.random.key(0), constraint.at(bound))
    assert found.candidate and rows.violation(head.weights(found.params), bound) <= 1e-6
    assert abs(head.loss(head.weights(found.params)) - best.loss) < 1e-3
