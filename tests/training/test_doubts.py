"""Doubts about what training came to: constants by hand, chance against draws of people, faults that must be named."""

import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from constraints import Choices, Compared
from constraints.testing import GROUP, example_choices
from faro.training.doubts import Apart, Cells, Doubts, apart, constant_losses, exceeding, of_seed, said
from tests.builders.drawn import draw


def choices_of(chosen, available=None, outside=None, weight=None):
    chosen = np.asarray(chosen, float)
    n, k = chosen.shape
    return Choices(
        items=np.zeros((n, k, 1)),
        available=np.ones((n, k), bool) if available is None else np.asarray(available, bool),
        chosen=chosen,
        weight=np.ones(n) if weight is None else np.asarray(weight, float),
        unit=np.arange(n),
        outside=np.zeros((n, k), bool) if outside is None else np.asarray(outside, bool),
    )


def entropy(p):
    return -(p * np.log(p) + (1 - p) * np.log(1 - p))


def test_a_constant_of_pairs_is_ln_2_wherever_the_chosen_one_stands():
    first = choices_of([[1, 0]] * 4)
    assert constant_losses([first], {"dev": [first]}, False)["dev"] == pytest.approx(np.log(2))


def test_a_constant_of_several_knows_which_were_there():
    judged = choices_of(np.eye(3)[[0, 1, 2]], [[1, 1, 1], [1, 1, 0], [0, 0, 1]], weight=[1, 2, 1])
    assert constant_losses([judged], {"dev": [judged]}, False)["dev"] == pytest.approx((np.log(3) + 2 * np.log(2)) / 4)


def test_a_constant_of_acceptance_has_the_rate_of_train():
    train = choices_of([[1, 0]] * 2 + [[0, 1]] * 8, outside=[[0, 1]] * 10)
    halves = [train.take(slice(0, 5)), train.take(slice(5, 10))]
    assert constant_losses(halves, {"dev": [train]}, False)["dev"] == pytest.approx(entropy(0.2))
    other = choices_of([[1, 0]] * 3 + [[0, 1]] * 7, outside=[[0, 1]] * 10)
    by_train = -(0.3 * np.log(0.2) + 0.7 * np.log(0.8))
    assert constant_losses([train], {"dev": [other]}, False)["dev"] == pytest.approx(by_train)
    weighed = choices_of(train.chosen, outside=train.outside, weight=[4, 4, *[1] * 8])
    the_better_of_two = pytest.approx(np.log(2))
    assert constant_losses([weighed], {"dev": [weighed]}, False)["dev"] == the_better_of_two


def test_a_constant_of_named_sides_has_their_rates():
    train = choices_of(np.eye(3)[[0] * 7 + [1] * 2 + [2]])
    rates = np.array([0.7, 0.2, 0.1])
    assert constant_losses([train], {"dev": [train]}, True)["dev"] == pytest.approx(-(rates * np.log(rates)).sum())
    absent = choices_of(np.eye(3)[[0, 1]], [[1, 1, 0]] * 2)
    expected = -(np.log(7 / 9) + np.log(2 / 9)) / 2
    assert constant_losses([train], {"dev": [absent]}, True)["dev"] == pytest.approx(min(expected, np.log(2)))


@pytest.mark.parametrize("people", [(2000, 400), (150, 40)])
def test_chance_explains_nearly_all_draws_of_people_and_not_what_was_fitted(people):
    """Groups of equal rates in the population: train and dev are both drawn. What fitted train by 0.2 is named."""
    rng = np.random.default_rng(0)
    train, dev = (np.full(4, n) for n in people)
    own = Cells(Compared(("",), ("a", "b", "c", "d"), True), train, dev, shared=False)
    outside, named = 0, 0
    for _ in range(400):
        chance = own.chance(rng.binomial(train, 0.4) / train)
        on_dev = rng.binomial(dev, 0.4) / dev
        outside += np.ptp(on_dev) > chance
        far = rng.binomial(dev, [0.3, 0.4, 0.4, 0.7]) / dev
        named += np.ptp(far) > chance
    assert outside <= 12  # of 400, where 1 % is 4
    assert named >= (395 if people[0] > 1000 else 150)


def test_chance_of_one_group_beside_another_is_that_of_their_difference():
    own = Cells(Compared(("",), ("a", "b"), True), np.array([1e9, 1e9]), np.array([100.0, 100.0]), shared=False)
    high = own.chance(np.array([0.5, 0.5]))
    assert high == pytest.approx(2.576 * np.sqrt(2 * 0.25 / 100), rel=0.05)  # of |difference|, 99 %
    wider = own._replace(shared=True).chance(np.array([0.5, 0.5]))
    assert wider == pytest.approx(np.sqrt(2) * high, rel=0.01)


def test_groups_without_people_take_no_part():
    own = Cells(Compared(("",), ("a", "b", "c"), True), np.array([50.0, 50, 0]), np.array([50.0, 50, 9]), shared=False)
    with_nobody, two = own.chance(np.array([0.5, 0.5, np.nan])), own.chance(np.array([0.5, 0.5, 0.9]))
    assert with_nobody == two < 0.4


def test_people_of_a_cell_are_those_its_mass_is_spread_over():
    choices = example_choices(n=60)
    weighed = choices.replace(unit=np.repeat(np.arange(20), 3), weight=np.ones(60))
    span = ct.attainable_range(ct.demographic_parity(GROUP), weighed)[0]
    codes = np.asarray(weighed.attributes["group"])
    counts = np.asarray(weighed.available) & ~np.asarray(weighed.outside)
    for g, people in enumerate(span.people):
        mass = ((codes == g) & counts).sum(1).reshape(20, 3).sum(1)
        assert people == pytest.approx(mass.sum() ** 2 / max((mass**2).sum(), 1))
    assert span.shared


def test_sentences_name_models_seeds_and_figures():
    figures = {"train_n": 90, "selection_nll": 0.80, "dev_nll": 0.60}
    one = of_seed(figures, {"selection": 0.69, "dev": 0.69}, 100, seed=3)
    assert one == Doubts(3, {"selection": (0.80, 0.69)}, (100, 90))
    fine = of_seed(figures | {"selection_nll": 0.5}, {"selection": 0.69, "dev": 0.69}, 90, seed=4)
    assert fine == Doubts(4, {}, None) and said([fine]) == [] and exceeding(5, 5) is None
    far = [Apart("parity", bound, 3, 0.01, dev, 0.1) for bound, dev in ((0.01, 0.2), (np.inf, 0.3))]
    models = [one._replace(apart=(far[0],)), one._replace(apart=(far[1],)), fine]
    constant, many, gap = said(models)
    assert constant == (
        "without a constraint the model predicts no better than a constant: nll 0.800 on selection (0.690) (seed 3); "
        "punish parameters more, or take fewer features"
    )
    assert many.startswith("more parameters (100) than choices to train on (90) (seed 3)")
    assert gap == (
        "parity: the gap is 0.300 on dev and 0.010 on train; in groups of this size chance makes it at most 0.100 "
        "(99 %); so without a bound, seed 3; chance does not explain 2 of 3 models"
    )
    assert said([models[0]])[2].endswith("at most 0.100 (99 %)")


def test_a_gap_that_was_fitted_is_told_apart_by_the_figures_of_a_model():
    constraint = ct.demographic_parity(GROUP, 0.05)
    levels, name = GROUP.levels, constraint.name()
    people = np.full(len(levels), 400.0)
    cells = {name: Cells(constraint.compared(), people, people, shared=False)}
    about = {"bound": [0.05], "seed": 2, "figures": {"train_gap": 0.02, "dev_gap": 0.06}}
    about["figures"] |= {f"train_rate[{cell}]": 0.5 for cell in constraint.cells()}
    assert apart(constraint, about, cells) == ()
    about["figures"]["dev_gap"] = 0.3
    (found,) = apart(constraint, about, cells)
    assert (found.name, found.bound, found.seed, found.train, found.dev) == (name, 0.05, 2, 0.02, 0.3)
    about["figures"]["dev_gap"] = float("nan")
    assert apart(constraint, about, cells) == ()


def test_models_that_know_nothing_of_new_people_say_so(monkeypatch):
    """More features than people, of which none says anything."""
    draw(monkeypatch)
    rng = np.random.default_rng(0)
    n, d = 300, 260
    table = pd.DataFrame(rng.normal(size=(n, d)).round(3), columns=[f"e{i}" for i in range(d)])
    people, groups = [f"p{i}" for i in range(n)], rng.choice(["a", "b"], n)
    table = table.assign(person=people, group=groups, hired=rng.integers(2, size=n))
    schema = {
        "format": "accept", "unit": "person", "label": "hired", "numeric": ["e*"],
        "attributes": [{"name": "group", "levels": ["a", "b"]}],
    }  # fmt: skip
    run = faro.frontier(table, attribute="group", bounds=[0.1], seeds=2, schema=schema)
    constant, many = run.manifest["notes"][-2:]
    mean = run.table.loc[run.table["bound"] == np.inf, "dev_nll"].mean()
    assert constant.startswith("without a constraint the model predicts no better than a constant: nll ")
    assert f"{mean:.3f} on dev" in constant and "seed" not in constant
    assert many.startswith("more parameters (261) than choices to train on (")
    own = run.models[0].about["notes"]
    assert many.split(":")[1] == own[-1].split(":")[1] and f"{run.table['dev_nll'][0]:.3f} on dev" in own[-2]
    assert run.models[0].about["notes"] == run.models[2].about["notes"]  # of one seed
