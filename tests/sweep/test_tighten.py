"""Bounds that training holds tighter than they are asked, by standard errors of group sizes."""

from typing import Any

import numpy as np
import pytest

import constraints as ct
import faro
from faro.errors import UsageError
from faro.sweep import run as sweep
from faro.sweep import tighten
from faro.sweep.tighten import held, standard_errors
from faro.training import Settings
from tests.builders.drawn import draw, small

GROUP = ct.Attribute("group", ("a", "b", "c"))
PARITY = ct.demographic_parity(GROUP)


def people(sizes, each=1, weight=1.0):
    """Choices of `each` per unit against the outside option, of so many units of every group."""
    unit = np.repeat(np.arange(sum(sizes)), each)
    group = np.repeat(np.arange(len(sizes)), sizes)[unit]
    codes = np.stack([group, np.full(len(unit), -1)], 1)
    return ct.make_choices(
        np.zeros((len(unit), 2, 1)), np.ones(len(unit), int), outside=np.tile([False, True], (len(unit), 1)),
        attributes={"group": codes}, unit=unit, weight=np.broadcast_to(weight, len(unit)),
    )  # fmt: skip


def test_a_standard_error_is_that_of_the_smallest_groups():
    assert standard_errors(PARITY, [people((100, 25, 400))]) == [pytest.approx(np.sqrt(1 / 100 + 1 / 25) / 2)]
    assert standard_errors(PARITY, [people((100, 25, 400), each=3)]) == standard_errors(
        PARITY, [people((100, 25, 400))]
    )
    cap = ct.rate_cap(GROUP, 0.3)
    assert standard_errors(cap, [people((100, 25, 400))]) == [pytest.approx(np.sqrt(1 / 25) / 2)]
    both = ct.Stack(members=(PARITY, cap))
    assert standard_errors(both, [people((100, 25, 400))]) == [
        standard_errors(part, [people((100, 25, 400))])[0] for part in both.parts()
    ]
    uneven = people((4, 4, 4), weight=[1, 1, 1, 9] * 3)  # four units, of which one is most of all
    assert list(ct.attainable_range(PARITY, uneven)[0].people) == pytest.approx([12**2 / 84] * 3)
    with pytest.raises(UsageError, match="compares no rates"):
        standard_errors(ct.rate_ratio(GROUP, 0.2), [people((100, 25, 400))])


def test_at_most_half_of_a_bound_is_given_up():
    bounds = [float(held(PARITY.at(bound), 2, [0.02]).bound) for bound in (0.3, 0.08, 0.05, 0.01, np.inf)]
    assert bounds == pytest.approx([0.26, 0.04, 0.025, 0.005, np.inf])
    stacked = held(ct.Stack(members=(PARITY, ct.rate_cap(GROUP, 0.3))).at(0.2), 1, [0.02, 0.05])
    assert [float(part.bound) for part in stacked.parts()] == pytest.approx([0.18, 0.15])


def test_a_tighter_bound_is_held_and_the_one_that_was_asked_is_said(monkeypatch):
    draw(monkeypatch)
    grid: dict[str, Any] = {"bounds": [0.05, 0.1, 0.2], "seeds": 2}
    runs = [faro.frontier(small(), **grid, settings={"tighten": t}) for t in (0.0, 1.0)]
    plain, tight = (run.table for run in runs)
    assert "held_at" not in plain and plain["bound"].tolist() == tight["bound"].tolist()
    (error,) = runs[1].manifest["tighten"]["standard_errors"]
    assert tight["held_at"].tolist() == pytest.approx(np.maximum(tight["bound"] - error, tight["bound"] / 2).tolist())
    assert (tight["status"] == plain["status"]).all()  # against what was asked
    within = (tight["train_gap"] <= tight["held_at"]) | (tight["status"] == "INFEASIBLE")
    missed = tight[~within]  # nothing of its seed is within the tighter bound
    for _, row in missed.iterrows():
        assert not (tight.loc[tight["seed"] == row["seed"], "train_gap"] <= row["held_at"]).any()
    assert within.any() and runs[0].manifest["fingerprint"] != runs[1].manifest["fingerprint"]


def test_t_is_the_least_whose_gaps_hold_on_the_other_half(monkeypatch):
    constraint, asked = PARITY, [PARITY.at(bound) for bound in (0.1, 0.2)]
    data = sweep.Data(people((40, 40, 40)), people((4, 4, 4)))
    seen: list[list[float]] = []

    class Trainer:
        def fit(self, trials):
            grid = trials.grid(0.2)
            seen.append([float(one.bound) for one in grid])
            best = type("Best", (), {"params": {"w": np.zeros((2, 1 + len(grid), 1))}})
            return type("Fitted", (), {"best": best})

    def measured(model, constraint, params, choices, people):
        """Rates on the half that was trained on are at the bound; on the other one they are .05 further apart."""
        at = np.array(seen[0]) + (0.05 if len(calls) % 2 else 0)
        calls.append(at)
        return [np.stack([0.5 + at, np.full(len(at), 0.5), np.full(len(at), 0.5)], 1)], np.zeros(len(at))

    calls: list[np.ndarray] = []
    monkeypatch.setattr(tighten, "_rates", measured)
    t, tried = tighten.by_halves(lambda halves: Trainer(), None, constraint, lambda gap: asked, [data], [0])
    (error,) = standard_errors(constraint, [people((20, 20, 20))])
    over = [np.mean([0.05 - min(own["t"] * error, bound / 2) for bound in (0.1, 0.2)]) for own in tried]
    assert [own["over"] for own in tried] == pytest.approx(over, abs=0.02)  # halves are drawn, not exactly equal
    assert t == next((own["t"] for own in tried if own["over"] <= 0), 2.0) and over[0] == pytest.approx(0.05)
    assert [one for one in tried if one["t"] < t and one["over"] <= 0] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"tighten": -1.0}, "tighten"), ({"tighten": "much"}, "tighten"), ({"tighten": True}, "tighten")],
)
def test_what_it_can_be(settings, words):
    with pytest.raises(UsageError, match=words):
        Settings.of(settings)
