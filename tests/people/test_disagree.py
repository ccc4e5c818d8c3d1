"""What is said of people who disagree, against closed forms and planted populations."""

from __future__ import annotations

import html
import json

import numpy as np
import pandas as pd
import pytest

from faro import cli
from faro.data import Dataset, Schema
from faro.errors import DataError, UsageError
from faro.people import taste, words
from faro.people.ceiling import bracket, ceiling
from faro.people.disagree import disagree, of_votes
from faro.people.groups import differences, holm
from faro.people.majority import bradley_terry, dips, service
from faro.people.shares import components, habit, level_spread, moments, order_agreement
from faro.people.taste import foretold
from faro.people.votes import ACCEPT, PAIRS, SETS, Votes, votes_of
from faro.report._people import page_of


def accepting(chances: np.ndarray, seed: int = 0, groups=None, times: int = 1) -> Votes:
    """Everybody on every item, once or more, with these chances `[P, I]` of accepting."""
    person, item = (np.tile(of.ravel(), times) for of in np.indices(chances.shape))
    yes = (np.random.default_rng(seed).random(len(person)) < chances[person, item]).astype(float)
    share = np.stack([yes, 1 - yes], 1)
    alternative = np.stack([item, np.full(len(item), -1)], 1)
    return Votes(ACCEPT, share, np.ones_like(share, bool), alternative, person, item, "accepted", groups=groups or {})


def compared(pairs, shares, groups=None) -> Votes:
    """Pairs `[n, 2]` of alternatives, `shares [P, n]` of the first, each person on each pair."""
    pairs, shares = np.asarray(pairs), np.asarray(shares, float)
    person, item = (of.ravel() for of in np.indices(shares.shape))
    share = np.stack([shares.ravel(), 1 - shares.ravel()], 1)
    return Votes(PAIRS, share, np.ones_like(share, bool), pairs[item], person, item, "", groups=groups or {})


COINS = np.full((60, 40), 0.5)
LEVELS = np.where(np.arange(60) % 2, 0.9, 0.1)[:, None] * np.ones(40)
SIDES = np.arange(60) % 2
OPPOSITE = np.where((SIDES[:, None] == np.arange(40) % 2), 0.9, 0.1)
GROUPS = {"side": (("left", "right"), SIDES)}


def test_ceiling_of_coins_by_all_sequences():
    """Three fair votes: all of them see .75, the others .5, two people agree .5, over the 8 sequences."""
    votes = np.array([[(code >> i) & 1 for i in range(3)] for code in range(8)], float).ravel()
    found = bracket(np.stack([votes, 1 - votes], 1), np.repeat(np.arange(8), 3))
    np.testing.assert_allclose(found, [0.5, 0.75, 0.5], atol=1e-12)


@pytest.mark.parametrize("k", [2, 3])
def test_the_bracket_holds_the_ceiling_on_average(k):
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(k), 4000)
    item = np.repeat(np.arange(4000), 5)
    chosen = (rng.random(len(item))[:, None] < np.cumsum(p, 1)[item]).argmax(1)
    low, high, agreement = bracket(np.eye(k)[chosen], item)
    assert low < p.max(1).mean() < high
    assert agreement == pytest.approx((p**2).sum(1).mean(), abs=0.01)


def test_one_vote_an_item_is_not_identified():
    votes = accepting(np.full((50, 1), 0.5))
    alone = Votes(**{**vars(votes), "item": np.arange(50)})
    top = ceiling(alone)
    assert top.low.value is None and "below two votes" in top.low.why
    assert components(alone).items.value is None
    assert foretold(alone).taste.value is None
    record = of_votes(alone, deals=99) | {"data": "alone"}
    assert "NaN" not in json.dumps(record)
    assert all("nan" not in str(section).lower() for section in words.sections(record))
    assert "nothing can be said" in record["verdicts"][0]


def test_components_of_a_table_without_noise():
    """Yes to items that all like: everything is shared; yes of a person to all items: everything is level."""
    everybody = accepting((np.ones((20, 1)) * (np.arange(20) < 10)).astype(float))
    total, items, level, _ = moments(everybody)
    assert items / total == pytest.approx(1, abs=1e-9) and level == pytest.approx(0, abs=0.03)
    person = accepting((np.ones((1, 20)) * (np.arange(20)[:, None] < 10)).astype(float))
    total, items, level, _ = moments(person)
    assert level / total == pytest.approx(1, abs=1e-9) and items == pytest.approx(0, abs=0.03)


def test_coins_are_all_rest():
    parts = components(accepting(COINS))
    for part in (parts.items, parts.level):
        assert part.value == pytest.approx(0, abs=0.02) and part.low == 0
    assert parts.noise.value is None and "twice" in parts.noise.why
    again = components(accepting(COINS, times=2))
    assert again.noise.value == pytest.approx(1, abs=0.05) and again.taste.value == pytest.approx(0, abs=0.05)


def test_levels_and_sides_are_told_apart():
    """Accepting at .1 or .9 has variance .16 of .25: of the level, or of the taste, by planting."""
    level, taste = accepting(LEVELS), accepting(OPPOSITE, groups=GROUPS)
    assert components(level).level.value == pytest.approx(0.64, abs=0.05)
    assert of_votes(level, 99)["verdicts"][0].startswith("people differ in level, 0.6")
    assert level_spread(level).value == pytest.approx(0.4, abs=0.03)
    assert components(taste).level.value == pytest.approx(0, abs=0.03)
    told = foretold(taste)
    assert told.taste.low is not None and 0.5 < told.taste.low < 0.64 < told.taste.high + 0.1
    flat = foretold(level)
    assert flat.shared.value == pytest.approx(0.62, abs=0.05) and abs(flat.taste.value) < 0.005


@pytest.mark.parametrize(
    "planted", [COINS, LEVELS, np.tile(np.linspace(0.1, 0.9, 40), (60, 1))], ids=["coins", "levels", "items"]
)
def test_nulls_have_no_taste(planted):
    told = foretold(accepting(planted, seed=3))
    assert told.taste.value < 0.005 and told.taste.low <= 0


def test_of_many_choices_those_of_some_people_are_used(monkeypatch):
    monkeypatch.setattr(taste, "MOST", 1000)
    told = foretold(accepting(OPPOSITE))
    assert told.people == 1000 // 40 and told.taste.value > 0.3


def test_shuffled_people_have_none():
    """Votes exchanged among people within each item: all shares of items stay, people are nobody."""
    votes = accepting(OPPOSITE)
    rng, share = np.random.default_rng(5), votes.share.copy()
    for item in range(votes.items):
        rows = np.flatnonzero(votes.item == item)
        share[rows] = share[rng.permutation(rows)]
    assert foretold(Votes(**{**vars(votes), "share": share})).taste.value < 0.005
    assert foretold(votes).taste.value > 0.4


def test_order_is_one_of_levels_without_noise_and_half_of_coins():
    ladder = (np.arange(20)[:, None] > np.arange(20)).astype(float)
    assert order_agreement(accepting(ladder)).value == 1
    assert order_agreement(accepting(COINS)).value == pytest.approx(0.5, abs=0.03)
    assert order_agreement(accepting((np.arange(20)[:, None] > 9) * np.ones(20))).value is None


def test_groups_that_differ_are_found_and_random_ones_are_not():
    random = np.random.default_rng(2).permutation(SIDES)
    both = {**GROUPS, "dealt": (("a", "b"), random), "one": (("a", "b"), np.where(np.arange(60) == 0, 0, 1))}
    by_name = {of.attribute: of for of in differences(accepting(OPPOSITE, groups=both), deals=199)}
    side, dealt, one = by_name["side"], by_name["dealt"], by_name["one"]
    assert (
        side.p_taste == pytest.approx(4 / 200) and side.taste == pytest.approx(0.64, abs=0.06) and side.opposite == 40
    )
    assert dealt.p_taste > 0.05 and abs(dealt.taste) < 0.05
    assert side.p_level > 0.05 and "one person" in one.why
    level = differences(accepting(LEVELS, groups=GROUPS), deals=199)[0]
    assert level.p_level == pytest.approx(2 / 200) and level.level == pytest.approx(0.64, abs=0.06)
    assert abs(level.taste) < 0.01


def test_p_of_random_groups_is_uniform_enough():
    """Of 40 tables of coins the least corrected p of two groupings is at most .1 about one time in ten."""
    small = 0
    for seed in range(40):
        sides = {
            name: (("a", "b"), np.random.default_rng([seed, i]).permutation(20) % 2) for i, name in enumerate("xy")
        }
        found = differences(accepting(np.full((20, 8), 0.5), seed, sides), deals=99)
        small += min(min(of.p_level, of.p_taste) for of in found) <= 0.1
    assert small <= 9


def test_groups_that_were_asked_about_other_items_are_not_compared():
    votes = accepting(COINS)
    apart = Votes(**{**vars(votes), "item": votes.item + 40 * SIDES[votes.person], "groups": GROUPS})
    assert "other items" in differences(apart, deals=99)[0].why


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])


def test_51_49():
    """100 people, 51 for the first of every pair: .49 are unhappy always, the same ones; .4998 in proportion."""
    votes = compared([(2 * i, 2 * i + 1) for i in range(20)], np.repeat((np.arange(100) < 51)[:, None], 20, 1))
    top = ceiling(votes)
    served = service(votes, top)
    assert served.always[0].value == pytest.approx(0.49)
    assert served.proportional.value == pytest.approx(0.4998 * 100 / 99)
    assert served.unclear == served.items == 20
    assert served.worst.value == 0 and served.spread.value == pytest.approx(0.5, abs=0.01)


def test_coins_have_no_minority():
    served = service(accepting(COINS), ceiling(accepting(COINS)))
    assert served.worst.value == pytest.approx(0.5, abs=0.06) and served.spread.value < 0.05


def test_borda_counts_and_dips():
    """60 % with 0 > 1 > 2 and 40 % with 2 > 1 > 0: scores (.272, 0, -.272), no dip; a cycle of majorities has one."""
    pairs = [(0, 1), (0, 2), (1, 2)]
    first = np.repeat((np.arange(100) < 60)[:, None], 3, 1).astype(float)
    votes = compared(pairs, first)
    found = bradley_terry(votes.alternative.T, votes.share[:, 0], 1e-9)
    np.testing.assert_allclose(found - found[1], [0.2719, 0, -0.2719], atol=2e-3)
    assert dips(votes).against == 0
    cycle = first.copy()
    cycle[:, 1] = np.arange(100) < 25  # most want 2 rather than 0, which the scores of 0 > 1 > 2 cannot hold
    cycle[:, [0, 2]] = (np.arange(100) < 85)[:, None]
    assert dips(compared(pairs, cycle)).beyond == 1
    assert dips(accepting(COINS)).why


def test_a_habit_of_place_is_no_taste():
    rng = np.random.default_rng(0)
    turned = rng.random((40, 30)) < 0.5
    first = np.where(np.arange(40)[:, None] < 20, 0.9, 0.1) > rng.random((40, 30))
    votes = compared([(2 * i, 2 * i + 1) for i in range(30)], first ^ turned)
    placed = Votes(**{**vars(votes), "place": first.ravel().astype(float)})
    assert habit(placed).value == pytest.approx(0.64, abs=0.08)
    assert habit(votes).value is None and foretold(votes).taste.value < 0.02


# From tables ----------------------------------------------------------------------------------------------------------

PAIR = Schema(unit="rater", format="wide", sides=("first", "second"), label="prefers", numeric=("x",))
TABLE = pd.DataFrame(
    {
        "rater": ["a", "b", "c", "a", "b", "c", "a"],
        "first_x": [1.0, 2.0, 1.0, 3.0, 3.0, 4.0, 5.0],
        "second_x": [2.0, 1.0, 2.0, 4.0, 4.0, 3.0, 5.0],
        "prefers": [1.0, 0.0, 0.5, 0.0, 0.3, 1.0, 1.0],
    }
)


def test_exchanged_pairs_are_one_item_and_votes_are_turned():
    votes = votes_of(Dataset.from_table(TABLE, PAIR))
    assert votes.kind == PAIRS and votes.items == 2 and votes.n == 5
    np.testing.assert_allclose(votes.share[:3, 0], [1, 1, 0.5])
    np.testing.assert_allclose(votes.share[3:, 0], [0, 0])
    np.testing.assert_allclose(votes.place, [1, 0, 0.5, 0, 1])
    said = " ".join(votes.notes)
    assert (
        "1 rows have the share of several" in said
        and "1 pairs are of two equal" in said
        and "1 choices are ties" in said
    )


def test_alternatives_with_names_have_levels_and_sets_without_have_none():
    rows = [
        {"who": who, "task": task, "mode": mode, "cost": float(task), "y": int(mode == choice)}
        for who, choice in (("a", "bus"), ("b", "car"), ("c", "car"))
        for task in range(3)
        for mode in ("bus", "car", "walk")
    ]
    schema = Schema(
        unit="who", choice=("who", "task"), alternative="mode", label="y", numeric=("cost",), categorical=("mode",)
    )
    named = votes_of(Dataset.from_table(pd.DataFrame(rows), schema))
    assert named.kind == SETS and named.level == "modes" and named.items == 3 and named.share.shape == (9, 3)
    assert moments(named)[2] / moments(named)[0] == pytest.approx(1, abs=0.35)
    assert not votes_of(Dataset.from_table(pd.DataFrame(rows), schema.replace(alternative=""))).level


def test_the_context_of_a_person_is_none_of_the_item():
    """Age is the person's and the question varies within people: the same x under two questions are two items."""
    frame = pd.DataFrame(
        {
            "who": list("aabb"),
            "x": 1.0,
            "age": [20.0, 20.0, 60.0, 60.0],
            "asked": ["p", "q", "p", "q"],
            "y": [1, 0, 0, 1],
        }
    )
    schema = Schema(
        unit="who", format="accept", label="y", numeric=("x",), context_numeric=("age",), context_categorical=("asked",)
    )
    votes = votes_of(Dataset.from_table(frame, schema))
    assert votes.items == 2 and votes.kind == ACCEPT
    np.testing.assert_array_equal(votes.item[:2], votes.item[2:])
    assert votes_of(Dataset.from_table(frame, schema), "who").items == 2
    with pytest.raises(UsageError, match="--item nothing"):
        votes_of(Dataset.from_table(frame, schema), "nothing")


def test_an_item_of_other_alternatives_is_refused():
    with pytest.raises(DataError, match="has other alternatives"):
        votes_of(Dataset.from_table(TABLE.assign(item="one"), PAIR), "item")
    named = votes_of(
        Dataset.from_table(TABLE.assign(item=list("ppqqqqr")), PAIR.replace(on_missing="drop")).take(np.arange(2)),
        "item",
    )
    assert named.items == 1 and named.share[:, 0].tolist() == [1, 1]


def test_nobody_named_is_said():
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [1, 0]})
    with pytest.raises(DataError, match="nobody is known"):
        disagree(Dataset.from_table(frame, Schema(unit="row", format="accept", label="y", numeric=("x",))))


@pytest.fixture
def table(tmp_path):
    votes = accepting(OPPOSITE[:30, :20])
    frame = pd.DataFrame(
        {"who": votes.person, "x": votes.item, "side": SIDES[votes.person], "y": votes.share[:, 0].astype(int)}
    )
    frame.to_csv(tmp_path / "votes.csv", index=False)
    (tmp_path / "schema.toml").write_text(
        'unit = "who"\nformat = "accept"\nlabel = "y"\nnumeric = ["x"]\n'
        '[[attributes]]\nname = "side"\nlevels = ["0", "1"]\nchooser = true\n'
    )
    return tmp_path


def test_the_order_of_rows_does_not_matter(table):
    frame = pd.read_csv(table / "votes.csv")
    one, other = (disagree(of, table / "schema.toml", deals=99) for of in (frame, frame.sample(frac=1, random_state=0)))
    plain = [json.dumps({key: of[key] for key in sorted(of)}, default=str) for of in map(rounded, (one, other))]
    assert plain[0] == plain[1]


def rounded(record):
    """Numbers to ten digits: sums in another order differ in the last."""
    if isinstance(record, dict):
        return {key: rounded(value) for key, value in record.items() if key not in ("data", "digest")}
    if isinstance(record, list):
        return [rounded(value) for value in record]
    return round(record, 10) + 0.0 if isinstance(record, float) else record


def test_all_equal_votes_and_people_with_one_choice_are_said():
    same = of_votes(accepting(np.ones((20, 10)), groups={"side": (("a", "b"), np.arange(20) % 2)}), deals=99)
    assert same["ceiling"]["low"]["value"] == same["ceiling"]["high"]["value"] == 1
    assert same["parts"]["rest"]["why"] == same["groups"][0]["why"] == "everybody chose the same"
    many = accepting(np.full((2000, 1), 0.5))
    once = of_votes(many, deals=99)
    assert once["parts"]["level"]["value"] is None and once["foretold"]["taste"]["value"] is None
    assert once["ceiling"]["agreement"]["value"] == pytest.approx(0.5, abs=0.01)
    for record in (same, once):
        assert all(words.sections(record | {"data": "x"})) and "NaN" not in json.dumps(record)


def test_the_command(table, capsys):
    given = ["disagree", str(table / "votes.csv"), "--schema", str(table / "schema.toml")]
    assert cli.main([*given, "--out", str(table / "out")]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "Hidden context" in shown and "differ in taste" in shown and "nan" not in shown.lower()
    assert cli.main([*given, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((table / "out" / "disagreement.json").read_text())
    assert record["foretold"]["taste"]["low"] > 0.3
    page = (table / "out" / "disagreement.html").read_text("utf-8")
    assert page.count("<svg") == 3 and "NaN" not in page and "http-equiv" in page
    for section in words.sections(record):
        assert html.escape(section.title) in page
        assert all(html.escape(cell.strip()) in page for row in section.rows for cell in row)


def test_a_page_shows_names_as_text_and_no_picture_of_what_is_unknown():
    alone = accepting(np.full((50, 1), 0.5))
    record = of_votes(Votes(**{**vars(alone), "item": np.arange(50)}), deals=99) | {"data": "<script>x</script>"}
    page = page_of(record)
    assert "<script" not in page and "&lt;script&gt;" in page and "<svg" not in page
