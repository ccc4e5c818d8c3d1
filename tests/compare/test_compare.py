"""Methods side by side: closed forms, what is recommended where nothing is to be gained, and a run from end to end."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import faro
from constraints import demographic_parity, person_exchange
from faro.cli import main
from faro.compare import evidence, field, figures, methods, sure
from faro.compare.compare import _recommended, compare
from faro.compare.names import NEW_PEOPLE, SEEN_PEOPLE
from faro.compare.questions import Questions, prompts_of
from faro.compare.words import head, sections, verdict
from faro.errors import DataError, UsageError
from faro.report import write_methods
from faro.store.model import TrainedModel
from faro.sweep.batched import Batched

from ..builders.opinions import SCHEMA as VOTES
from ..builders.opinions import votes

ASKED = ["aggregate", "person_constants", "mixed_logit"]
COLUMNS = [(name, other) for name in ASKED for other in methods.simpler(name, ASKED)]


def recommended(gains):
    """What is recommended of gains `[people, columns]`, where selection follows their means."""
    found = sure.together(gains, draws=300)
    told = {} if found is None else dict(zip(COLUMNS, (own._asdict() for own in found), strict=True))
    selection = {"aggregate": 0.0, "person_constants": -gains[:, 0].mean(), "mixed_logit": -gains[:, 1].mean()}
    return _recommended(ASKED, selection, told)["method"]


def drawn(rng, constants, logit, people=120):
    """Gains of nll of people: person constants over the aggregate, the logit over both."""
    noise = rng.normal(0, 0.2, (people, 2))
    over = noise + np.array([constants, logit])
    return np.stack([over[:, 0], over[:, 1], over[:, 1] - over[:, 0]], 1)


def test_the_simplest_is_recommended_where_nothing_is_to_be_gained():
    """200 tables of people without differences: at most 5 % of them get anything but the aggregate; a gain is seen."""
    rng = np.random.default_rng(0)
    assert COLUMNS == [
        ("person_constants", "aggregate"), ("mixed_logit", "aggregate"), ("mixed_logit", "person_constants")
    ]  # fmt: skip
    null = [recommended(drawn(rng, 0.0, 0.0)) for _ in range(200)]
    assert null.count("aggregate") >= 190
    assert [recommended(drawn(rng, 0.0, 0.2)) for _ in range(5)].count("mixed_logit") == 5
    assert [recommended(drawn(rng, 0.2, 0.2)) for _ in range(5)].count("person_constants") <= 5
    assert recommended(drawn(rng, 0.1, 0.3, people=5)) == "aggregate"  # too few people


def test_a_level_alone_recommends_constants_and_no_more():
    rng = np.random.default_rng(1)
    assert all(recommended(drawn(rng, 0.3, 0.25)) == "person_constants" for _ in range(3))


def test_intervals_hold_together_and_are_wider_than_one_alone():
    rng, missed, alone = np.random.default_rng(2), 0, 0
    for _ in range(150):
        gains = rng.normal(size=(80, 6))
        found = sure.together(gains, draws=300)
        missed += any(own.low > 0 or own.high < 0 for own in found)
        mean, error = gains.mean(0), gains.std(0, ddof=1) / math.sqrt(80)
        alone += bool((np.abs(mean) > 1.96 * error).any())
    assert missed <= 0.05 * 150 + 8 < alone


def test_spread_takes_binomial_noise_off():
    """All people alike: the spread of their figures is noise. Unlike people: what is left is theirs."""
    rng = np.random.default_rng(3)
    sizes = np.full(4000, 20)
    alike = rng.binomial(20, 0.83, 4000) / 20
    assert np.std(alike) > 0.08 and figures.spread(alike, sizes) < 0.02
    own = rng.beta(8, 2, 4000)
    unlike = rng.binomial(20, own) / 20
    assert figures.spread(unlike, sizes) == pytest.approx(np.std(own), abs=0.01)


def test_a_model_that_says_no_number_is_not_taken_for_one_that_was_not_asked():
    data = faro.load(votes(20, each=6), VOTES)
    coding = data.fit_coding()
    for weight in (0.5, np.nan, np.inf):
        params = {"intercept": np.zeros(()), "item": np.full(1, weight)}
        model = TrainedModel(faro.models.Linear(), params, coding, data.schema, {"seed": 0})
        if weight != 0.5:
            with pytest.raises(DataError, match=r"of \d+ of 120 choices the model says no number"):
                evidence.say(model, data)
        else:
            assert np.isfinite(evidence.say(model, data).loss).all()


def test_hurt_beside_chance():
    """Nobody is hurt, and many seem so: as many as are expected. A tenth that loses all is seen through the noise."""
    rng, person = np.random.default_rng(4), np.repeat(np.arange(2000), 8)
    gain = rng.choice([-1.0, 0.0, 1.0], len(person), p=[0.2, 0.6, 0.2])
    found = figures.helped_and_hurt(gain, person, 2000)
    assert found["hurt"] > 0.3 and found["hurt"] == pytest.approx(found["expected_if_nobody"], abs=0.02)
    assert found["hurt_without_noise"] is None
    single = np.where(np.arange(1000) == 5, -1.0, 0.0)  # one choice in a thousand: that nearly all are hurt was said
    assert figures.helped_and_hurt(single, np.repeat(np.arange(100), 10), 100)["hurt_without_noise"] is None
    losing = np.where(person < 200, -1.0, 1.0)
    found = figures.helped_and_hurt(losing, person, 2000)
    assert found["hurt"] == 0.1 and found["helped"] == 0.9 and found["hurt_without_noise"] < 0.15
    one = figures.helped_and_hurt(np.array([1.0, -1.0, 1.0]), np.array([0, 0, 1]), 2)
    assert one["hurt"] == 0 and one["helped"] == 0.5
    assert one["expected_if_nobody"] == pytest.approx((0.25 + 0.5) / 2)  # of two and of one that differ


def planted(shares, people=3000, choices=40, seed=5):
    """Two methods on the same people: one is right in so large a share of each one's choices, the other in half."""
    rng = np.random.default_rng(seed)
    right = rng.random((2, people, choices)) < np.stack([shares, np.full(people, 0.5)])[..., None]
    halves = np.stack([part.mean(-1) for part in np.split(right, 2, axis=-1)])
    return field.Served(halves.mean(0), halves, 1 - halves)


def test_the_tail_is_that_of_the_people_who_were_planted():
    """A fifth is decided right in .2 of choices, the others in .8: mean .68, and a tail of .2 exactly, for 20 choices
    tell the two apart (an error of 1 in 10,000). Where all are alike nobody is worse: .5, though the worst fifth of
    what was seen is far below."""
    shares = np.where(np.arange(3000) < 600, 0.2, 0.8)
    served = planted(shares)
    told = field.field(served, 1, (shares < 0.5).astype(int), ("most", "few"), draws=200)["methods"]
    assert told[0]["mean"]["value"] == pytest.approx(0.68, abs=0.005)
    assert told[0]["tail"]["value"] == pytest.approx(0.2, abs=0.01)
    assert told[0]["worst_group"]["value"] == pytest.approx(0.2, abs=0.01) and told[0]["group"] == "few"
    assert told[1]["tail"]["value"] == pytest.approx(0.5, abs=0.01) and "gain" not in told[1]["tail"]
    alone = field.field(served, 1, np.zeros(3000, int), (), draws=20)  # an attribute without levels
    assert alone["groups"] == [] and alone["methods"][0]["worst_group"] is None
    biased = field.tail(np.argsort(served.right), served.right, np.ones(3000))
    assert biased[1] < 0.4  # ranked and measured on the same choices
    for name, true in (("mean", 0.18), ("tail", -0.3), ("worst_group", -0.3)):
        assert told[0][name]["low"] < true < told[0][name]["high"]


def test_a_tail_takes_who_stands_at_its_edge_in_part():
    order, measured = np.array([[2, 0, 1]]), np.array([[1.0, 0.0, 0.5]])
    assert field.tail(order, measured, np.ones(3), 0.5)[0] == pytest.approx((0.5 + 0.5 * 1.0) / 1.5)
    assert field.tail(order, measured, np.array([1, 0, 2]), 1 / 3)[0] == 0.5  # drawn twice, counts twice
    assert field.tail(order, measured, np.ones(3), 1.0)[0] == 0.5


def test_halves_are_of_each_person_and_do_not_move():
    person, names = np.repeat([0, 1, 2], [4, 5, 1]), np.array([*"abcdefghij"])
    found = field.halves(person, names, np.ones(10, bool))
    assert np.bincount(person, found).tolist() == [2, 2, 0]
    order = np.random.default_rng(0).permutation(10)
    assert (field.halves(person[order], names[order], np.ones(10, bool)) == found[order]).all()
    assert not field.halves(person, names, person != 1)[person == 1].any()


def test_few_people_have_no_tail_and_small_groups_are_never_the_worst():
    few = planted(np.full(20, 0.8), people=20)
    told = field.field(few, 1, np.repeat([0, 1], [15, 5]), ("a", "b"), draws=50)
    assert told["few"] == ["b"] and all(row["tail"] is None and row["worst_group"] is None for row in told["methods"])
    assert "fewer than" in field.field(planted(np.full(5, 0.8), people=5), 1)["why"]


def test_people_count_once():
    values, weight = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 1.0, 2.0, 1.0])
    found = figures.by_person(values, weight, np.array([0, 0, 0, 1]), 3)
    assert figures.mean(found) == 0.5 and np.isnan(found[2])
    assert figures.mean(figures.over_seeds([found, np.array([np.nan, 1.0, np.nan])])) == 0.75


def test_names_and_what_is_simpler():
    assert methods.listed(["mixed_logit", "person_constants"]) == ["aggregate", "person_constants", "mixed_logit"]
    assert methods.listed(["linear"]) == ["aggregate"]
    assert methods.listed(["all"]) == list(methods.ALL) == methods.listed(["all", "mixed_logit"])
    assert methods.simpler("person_constants", ASKED) == ["aggregate"]
    assert methods.model_of("person_constants", 4).support == 4
    with pytest.raises(UsageError, match="twice"):
        methods.listed(["mlp", "mlp"])
    with pytest.raises(UsageError, match="unknown model"):
        methods.model_of("nobody", 3)


def test_all_methods_leave_out_what_would_take_hours():
    rows = [(n, side, n % 7, int(side == n % 2)) for n in range(40) for side in (0, 1)]
    frame = pd.DataFrame(rows, columns=["choice", "side", "who", "chosen"])
    frame["text"] = list(np.random.default_rng(0).normal(size=(80, 40)))
    schema = {"unit": "who", "choice": ["choice"], "alternative": "side", "label": "chosen", "vectors": ["text"]}
    data = faro.data.Dataset.from_table(frame, faro.Schema.from_dict(schema), name="wide")
    with pytest.raises(DataError, match="covariance of 40 weights"):
        methods.check_width("mixed_logit", ["all"], data)
    methods.check_width("mixed_logit", ["all", "mixed_logit"], data)
    methods.check_width("pref", ["all"], data)


def test_questions_share_no_choice_and_none_is_of_the_gate():
    data = faro.load("demo-people")
    question = Questions.of(data, 5)
    assert not set(question.rows) & set(data.rows("gate"))
    found = question.roles(data, 0)
    assert set(found) == {NEW_PEOPLE, SEEN_PEOPLE, "selection"} and prompts_of(data) is None
    assert sum(own.astype(int) for own in found.values()).max() == 1
    train = question.training(data)
    seen = {*question.rows[found[SEEN_PEOPLE]]}
    assert (train.weight[list(seen)] == 0).all() and (data.weight[list(seen)] > 0).all()
    assert not set(data.units[list(seen)]) & set(question.data.units[found[NEW_PEOPLE]])


@pytest.fixture(scope="module")
def coins(tmp_path_factory):
    """200 people who toss coins, a constraint, and how they are compared."""
    data = faro.load("demo-coins")
    few = data.take(np.flatnonzero(data.unit_codes < 200))
    held = demographic_parity(data.attributes["dialect"], 0.2)
    options = {"seeds": 1, "support": 3, "settings": {"steps": 2, "every": 1}}
    return few, ["person_constants"], options | {"constraint": held, "folder": tmp_path_factory.mktemp("coins")}


@pytest.fixture(scope="module")
def record(coins):
    few, names, options = coins
    return compare(few, names, **options)


@pytest.mark.slow
def test_coins_from_end_to_end(record, tmp_path):
    assert record["recommended"]["method"] == "aggregate"
    assert [row["method"] for row in record["methods"]][::2] == ["aggregate", "person_constants"]
    for row in record["methods"]:
        asked = row["questions"][NEW_PEOPLE]
        assert asked["nll"] > 0.65 and 0.3 < asked["accuracy"] < 0.7
    cold = record["cold_start"]
    assert cold["k"] == [0, 1, 2, 3] and cold["people"] > 5
    assert len({point["nll"] for point in cold["curves"]["aggregate"]}) == 1
    assert json.loads(json.dumps(record)) == record
    said = " ".join([head(record), verdict(record), *(line for own in sections(record) for line in own.said)])
    assert "No share is certified" in said and "recommended: aggregate" in said
    page = write_methods(record, tmp_path).read_text()
    assert (
        "Methods compared" in page
        and page.count("<svg") == 3
        and "of the worst group of" in page
        and "http" not in page.split("</style>")[1].split("<svg")[0]
    )
    drawn = (tmp_path / "field.svg").read_text()
    assert [row["method"] for row in record["field"]["methods"]][1] == "proportional"
    panels = sum(record["field"]["methods"][0][name] is not None for name in ("worst_group", "tail"))
    assert panels and drawn.count('id="field-') == panels * len(record["field"]["methods"])  # a dot each
    assert (tmp_path / "field.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on(coins, record, monkeypatch):
    """What is finished is read: nothing is trained again, and the record is the same."""
    few, names, options = coins
    monkeypatch.setattr(Batched, "fit", None)
    assert compare(few, names, **options) == record
    with pytest.raises(UsageError, match="another"):
        compare(few, names, **options | {"settings": {"steps": 3}})


@pytest.mark.slow
def test_one_more_method_trains_that_method_alone(coins, record, monkeypatch):
    few, names, options = coins
    trained, fit = [], Batched.fit
    monkeypatch.setattr(Batched, "fit", lambda own, trials: trained.append(own.game.model) or fit(own, trials))
    again = compare(few, [*names, "ensemble"], **options)
    assert [type(model).__name__ for model in trained] == ["Ensemble"]
    assert [row for row in again["methods"] if row["method"] != "ensemble"] == record["methods"]


@pytest.mark.slow
def test_what_could_be_certified(coins, record):
    """Of a method that reads support, and of one that does not; the gate is not looked at."""
    for row in record["methods"]:
        assert 0 < row["shown"]["least"] < 1 and row["gap"] < row["shown"]["upper"] <= 1
    assert [line.split()[1] for line in record["certify"]] == ["policy", "choose", "ledger", "certify"]
    assert not list(coins[2]["folder"].rglob("certificates"))
    said = next(own.said[-1] for own in sections(record) if "certified" in own.title)
    assert "no guarantee" in said and "The gate was not read" in said


@pytest.mark.slow
def test_a_method_that_cannot_read_the_table_is_left_out_and_the_rest_goes_on():
    """Under a constraint that the aggregate cannot move, too: what somebody else would change of it is 0."""
    data = faro.load("demo-people")
    plain = faro.data.Dataset.from_table(data.frame, data.schema.replace(context_categorical=()), name="plain")
    few = plain.take(np.flatnonzero(plain.unit_codes < 200))
    options = {"seeds": 1, "support": 3, "settings": {"steps": 2, "every": 1}}
    lines = []
    asked = ["position_tower", "group_conditional"]
    found = compare(few, asked, constraint=person_exchange(0.1), progress=lines.append, **options)
    assert list(found["refused"]) == ["position_tower"] and "'position'" in found["refused"]["position_tower"]
    rows = {(row["method"], row["constrained"]): row for row in found["methods"]}
    assert list(rows) == [(name, held) for name in ("aggregate", "group_conditional") for held in (False, True)]
    assert rows["aggregate", False]["gap"] == 0 < rows["group_conditional", False]["gap"]  # by community
    assert any("left out" in line for line in lines)
    assert any(own.title == "Left out" for own in sections(found))
    with pytest.raises(DataError, match="reads them all"):
        methods.table_of("group_conditional", data)


@pytest.mark.slow
def test_neighbours_are_compared_with_a_memory_of_the_aggregates_train_people():
    """Two kinds of people whom no feature tells apart: nothing but answers to the same questions helps, and it does."""
    data = faro.load(votes(), VOTES)
    found = compare(data, ["neighbours"], seeds=2, support=6, settings={"steps": 60})
    (gain,) = found["gains"]
    assert found["recommended"]["method"] == "neighbours" and gain["low"] > 0.1 and not found["refused"]
    curve = [point["nll"] for point in found["cold_start"]["curves"]["neighbours"]]
    assert curve[0] > curve[-1] + 0.05
    alone = data.frame.assign(x=np.arange(data.n) / 100.0)
    refused = compare(faro.load(alone, VOTES), ["neighbours"], seeds=1, support=6, settings={"steps": 60})["refused"]
    assert "no question was asked of two people" in refused["neighbours"]


def test_every_method_has_a_folder():
    names = ["pref(rank=2, support=8)", "pref(rank=3)", "pkg.mod:Own", "mixed_logit", "../up"]
    found = [methods.file_name(name) for name in names]
    assert found == ["pref-rank=2-support=8", "pref-rank=3", "pkg.mod-Own", "mixed_logit", "up"]


def test_what_cannot_be_compared(capsys):
    rows = pd.DataFrame(
        {"choice": [1, 1, 2, 2], "side": [0, 1, 0, 1], "x": [0.0, 1.0, 2.0, 3.0], "chosen": [0, 1, 1, 0]}
    )
    schema = {"unit": "row", "choice": ["choice"], "alternative": "side", "label": "chosen", "numeric": ["x"]}
    with pytest.raises(DataError, match="a column that names them"):
        compare(faro.data.Dataset.from_table(rows, faro.Schema.from_dict(schema)))
    assert main(["compare", "demo-people", "--seeds", "0"]) == 2
    assert "--seeds" in capsys.readouterr().err
