"""Methods side by side: closed forms, what is recommended where nothing is to be gained, and a run from end to end."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import faro
from constraints import demographic_parity
from faro.cli import main
from faro.compare import figures, methods, sure
from faro.compare.compare import _recommended, compare
from faro.compare.names import NEW_PEOPLE, SEEN_PEOPLE
from faro.compare.questions import Questions, prompts_of
from faro.compare.words import head, sections, verdict
from faro.errors import DataError, UsageError
from faro.report import write_methods
from faro.sweep.batched import Batched

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


def test_hurt_beside_chance():
    """Nobody is hurt, and many seem so: as many as are expected. A tenth that loses all is seen through the noise."""
    rng, person = np.random.default_rng(4), np.repeat(np.arange(2000), 8)
    gain = rng.choice([-1.0, 0.0, 1.0], len(person), p=[0.2, 0.6, 0.2])
    found = figures.helped_and_hurt(gain, person, 2000)
    assert found["hurt"] > 0.3 and found["hurt"] == pytest.approx(found["expected_if_nobody"], abs=0.02)
    losing = np.where(person < 200, -1.0, 1.0)
    found = figures.helped_and_hurt(losing, person, 2000)
    assert found["hurt"] == 0.1 and found["helped"] == 0.9 and found["hurt_without_noise"] < 0.15
    one = figures.helped_and_hurt(np.array([1.0, -1.0, 1.0]), np.array([0, 0, 1]), 2)
    assert one["hurt"] == 0 and one["helped"] == 0.5
    assert one["expected_if_nobody"] == pytest.approx((0.25 + 0.5) / 2)  # of two and of one that differ


def test_people_count_once():
    values, weight = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 1.0, 2.0, 1.0])
    found = figures.by_person(values, weight, np.array([0, 0, 0, 1]), 3)
    assert figures.mean(found) == 0.5 and np.isnan(found[2])
    assert figures.mean(figures.over_seeds([found, np.array([np.nan, 1.0, np.nan])])) == 0.75


def test_names_and_what_is_simpler():
    assert methods.listed(["mixed_logit", "person_constants"]) == ["aggregate", "person_constants", "mixed_logit"]
    assert methods.listed(["linear"]) == ["aggregate"]
    assert methods.simpler("person_constants", ASKED) == ["aggregate"]
    assert methods.model_of("person_constants", 4).support == 4
    with pytest.raises(UsageError, match="twice"):
        methods.listed(["mlp", "mlp"])
    with pytest.raises(UsageError, match="unknown model"):
        methods.model_of("nobody", 3)


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


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on(coins, record, monkeypatch):
    """What is finished is read: nothing is trained again, and the record is the same."""
    few, names, options = coins
    monkeypatch.setattr(Batched, "fit", None)
    assert compare(few, names, **options) == record
    with pytest.raises(UsageError, match="another"):
        compare(few, names, **options | {"settings": {"steps": 3}})


@pytest.mark.slow
def test_what_could_be_certified(coins, record):
    """Of a method that reads support, and of one that does not; the gate is not looked at."""
    for row in record["methods"]:
        assert 0 < row["shown"]["least"] < 1 and row["gap"] < row["shown"]["upper"] <= 1
    assert [line.split()[1] for line in record["certify"]] == ["policy", "choose", "ledger", "certify"]
    assert not list(coins[2]["folder"].rglob("certificates"))
    said = next(own.said[-1] for own in sections(record) if "certified" in own.title)
    assert "no guarantee" in said and "The gate was not read" in said


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
