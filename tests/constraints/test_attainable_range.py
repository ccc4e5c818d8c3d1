"""What no model can move, exceed or meet: against every decision there is, against linear programs, and as the command
says it."""

import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import constraints as ct
from constraints.testing import COMMUNITY, GROUP, KIND
from faro.cli import main
from faro.errors import DataError, UsageError
from faro.training.notes import fit_for
from tests.builders.drawn import draw

PAIR = ct.Attribute("pair", ("p", "q"))
N, K = 4, 3
# all ways to decide among three alternatives, ties included: the best of every set shares equally
WAYS = np.array([np.array(best) / sum(best) for best in itertools.product((0, 1), repeat=K) if any(best)])


def random_choices(seed, n=N, k=K):
    """Masks, outside options, split votes, padding, a group that may be missing, strata that may have one group."""
    rng = np.random.default_rng(seed)
    available = rng.random((n, k)) < 0.8
    available[:, 0] = True
    outside = np.zeros((n, k), bool)
    outside[0, 0] = seed % 2
    votes = available * rng.random((n, k))
    chosen = np.eye(k)[votes.argmax(1)]
    chosen[::2] = (votes / votes.sum(1, keepdims=True))[::2]
    codes = {
        "group": rng.integers(-1, 2 + seed % 2, (n, k)),
        "kind": rng.integers(-1, 2, (n, k)),
        "pair": rng.integers(-1, 2, (n, k)),
        "community": np.repeat(rng.integers(-1, 2, (n, 1)), k, 1),
    }
    weight = rng.random(n) + 0.1
    weight[-1] = 0 if seed % 3 == 0 else 1
    side = {"pair": "items", "community": "context"}
    twins = {
        name: ct.Twin(valid=jnp.asarray(rng.random((n, k, 2)) < 0.9), **{side[name]: jnp.zeros((n, 1))})
        for name in side
    }
    return ct.make_choices(
        np.zeros((n, k, 1)), chosen, available=available, outside=outside, attributes=codes, weight=weight, twins=twins
    )


def decisions(available, seed=0):
    """`[W, n, K]`: every combination of ways to decide, for the alternatives that are available."""
    ways = [[way for way in WAYS if not way[~row].any()] for row in np.asarray(available)]
    worlds = np.array(list(itertools.product(*ways)))
    return np.resize(worlds, (len(WAYS) ** len(ways), *worlds.shape[1:]))  # one shape, so that one program measures all


ENTRIES = {
    "parity": ct.demographic_parity(GROUP),
    "parity, within": ct.demographic_parity(GROUP, within=COMMUNITY),
    "parity, of": ct.demographic_parity(COMMUNITY, of=(KIND, "x")),
    "parity of choosers": ct.demographic_parity(COMMUNITY),
    "parity, pairwise": ct.demographic_parity(GROUP, form="pairwise"),
    "odds": ct.equalized_odds(GROUP),
    "odds, of": ct.equalized_odds(PAIR, of=(KIND, "y")),
    "opportunity, within": ct.equal_opportunity(GROUP, within=KIND),
    "cap": ct.rate_cap(GROUP),
    "budget": ct.rate_cap(of=(KIND, "x")),
    "floor, within": ct.rate_floor(GROUP, within=COMMUNITY),
    "error": ct.group_error(COMMUNITY),
    "error, no worse": ct.group_error(GROUP, reference=[0.1, 0.2, 0.3, 0.4]),
}


def measurements(constraint):
    """A compiled function of (choices, decisions of all worlds) that gives every world's rates and gap."""

    def one(choices, decided):
        outcome = ct.Outcome(rewards=decided, decisions=decided, twins={}, available=choices.available)
        statistics = constraint.statistics(outcome, choices)
        return constraint.rates(statistics), constraint.gap(statistics)[0]

    return jax.jit(jax.vmap(one, (None, 0)))


def compared(constraint):
    """Pairs of cells whose difference the constraint bounds; the cells themselves where it bounds them."""
    if not isinstance(constraint, ct.Parity):
        return [(c,) for c in range(len(constraint.cells()))]
    size = len(constraint.groups())
    blocks = [range(b * size, (b + 1) * size) for b in range(len(constraint.blocks()))]
    return [pair for block in blocks for pair in itertools.combinations(block, 2)]


def check(found, constraint, rates, gaps):
    """A `AttainableRange` against the rates `[W, C]` and gaps `[W]` of all worlds. Returns its verdicts."""
    names, some = constraint.cells(), ~np.isnan(rates).any(0)
    assert found.empty == tuple(name for name, own in zip(names, some, strict=True) if not own)
    live = [cells for cells in compared(constraint) if all(some[c] for c in cells)]
    moves = [np.subtract(*(rates[:, c] for c in cells)) if len(cells) > 1 else rates[:, cells[0]] for cells in live]
    stuck = [cells for cells, move in zip(live, moves, strict=True) if np.ptp(move) < 1e-6]
    assert len(found.immovable) == len(stuck)
    for said, cells in zip(found.immovable, stuck, strict=True):
        assert all(names[c].split(" | ")[0] in said for c in cells), said
        assert ("against" in said) == (len(cells) == 2)
    verdicts = set()
    if not live:
        assert found.verdict(0.1) == "inactive" and not gaps.any()
        return {"inactive"}
    assert found.highest == pytest.approx(gaps.max(), abs=1e-6)
    assert found.lowest <= gaps.min() + 1e-6
    for bound in (0.0, 0.1, 0.3, 0.6, 0.9, float(gaps.max()) + 1e-5):
        verdict = found.verdict(bound)
        verdicts.add(verdict)
        assert (verdict == "immovable") == bool(stuck)
        if not stuck:
            assert verdict != "infeasible" or gaps.min() > bound - 1e-6
            assert (verdict == "cannot bind") == (gaps.max() <= bound) or abs(gaps.max() - bound) < 1e-6
    return verdicts


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_every_decision_there_is(name):
    """16 draws of masks, votes, strata and groups; every world of four choices among three, ties included."""
    constraint, measure, seen = ENTRIES[name], measurements(ENTRIES[name]), set()
    for seed in range(16):
        choices = random_choices(seed)
        rates, gaps = map(np.asarray, measure(choices, jnp.asarray(decisions(choices.available))))
        (found,) = ct.attainable_range(constraint, choices)
        seen |= check(found, constraint, rates, gaps)
        lowest, exact = least_gap(constraint, choices, measure)
        assert found.lowest <= lowest + 1e-6
        assert not exact or found.lowest == pytest.approx(max(lowest, 0), abs=1e-6)
    assert len(seen) > 1, seen  # who sees one verdict proves little


def least_gap(constraint, choices, measure):
    """The smallest gap that shares of decisions can reach, by a linear program; and whether one pair decides it."""
    units = np.zeros((len(WAYS) ** N, N, K))
    units[np.arange(1, N * K + 1), np.repeat(np.arange(N), K), np.tile(np.arange(K), N)] = 1
    rates = np.asarray(measure(choices, jnp.asarray(units))[0], float)[: N * K + 1]
    start, slopes = rates[0], rates[1:] - rates[0]  # rates are affine in decisions
    reference = np.broadcast_to(getattr(constraint, "reference", 0.0), start.shape)
    live = [cells for cells in compared(constraint) if not np.isnan(start[list(cells)]).any()]
    rows, ends = [], []
    for cells in live:
        if len(cells) == 1:
            rows.append(slopes[:, cells[0]])
            ends.append(reference[cells[0]] - start[cells[0]])
        else:
            for g, h in (cells, cells[::-1]):
                rows.append(slopes[:, g] - slopes[:, h])
                ends.append(start[h] - start[g])
    if not live:
        return np.inf, False
    most = np.asarray(choices.available, float).ravel()
    solved = linprog(
        np.append(np.zeros(N * K), 1), A_ub=np.column_stack([rows, -np.ones(len(rows))]), b_ub=ends,
        A_eq=np.column_stack([np.kron(np.eye(N), np.ones(K)), np.zeros(N)]), b_eq=np.ones(N),
        bounds=[*((0, end) for end in most), (None, None)],
    )  # fmt: skip
    return solved.fun, len(live) == 1 and len(live[0]) == 2


TWINS = {
    "one alternative set": ct.counterfactual_parity(PAIR),
    "one alternative set, of": ct.counterfactual_parity(PAIR, of=(KIND, "x"), within=COMMUNITY),
    "a chooser set": ct.counterfactual_parity(COMMUNITY),
    "a chooser set, of": ct.counterfactual_parity(COMMUNITY, of=(KIND, "x")),
    "a chooser set, within": ct.counterfactual_parity(COMMUNITY, within=KIND),
}


def twin_decisions(choices, chooser):
    """`[W, n, K, 2]`: all decisions on alternatives set to a level. A chooser's sum to 1 at each level; an alternative
    set alone is chosen or not, and always if there is no other."""
    available = np.asarray(choices.available)
    if chooser:
        at_level = decisions(available)
        first, second = np.divmod(np.arange(len(at_level) ** 2), len(at_level))
        return np.stack([at_level[first], at_level[second]], -1)
    free = np.array(list(itertools.product((0, 1), repeat=available.size * 2))).reshape(-1, *available.shape, 2)
    free = np.maximum(free, (available.sum(1) == 1)[:, None, None])
    return free * available[..., None]


@pytest.mark.parametrize("name", TWINS)
def test_every_decision_on_twins(name):
    constraint, seen = TWINS[name], set()
    (attribute,) = constraint.twins()
    k = 3 if constraint.who.attribute.chooser else 2

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def measure(choices, twin):
        factual = jnp.zeros(choices.shape)
        worlds = {attribute: ct.TwinOutcome(rewards=twin, decisions=twin)}
        statistics = constraint.statistics(ct.Outcome(rewards=factual, decisions=factual, twins=worlds), choices)
        return constraint.rates(statistics), constraint.gap(statistics)[0]

    for seed in range(12):
        choices = random_choices(seed, n=2, k=k)
        worlds = twin_decisions(choices, constraint.who.attribute.chooser)
        rates, gaps = map(np.asarray, measure(choices, jnp.asarray(worlds, float)))
        (found,) = ct.attainable_range(constraint, choices)
        seen |= check(found, constraint, rates, gaps)
    assert len(seen) > 1, seen


def test_many_alternatives():
    """The largest difference of two rates, choice by choice; too many worlds to list."""
    for seed in range(6):
        choices = random_choices(seed, n=6, k=14)
        rows = ct.demographic_parity(GROUP).prepare(choices)
        cell, share = np.asarray(rows.cell)[..., 0], np.asarray(rows.share, float)[..., 0]
        parts = [np.where(cell == g, share, 0) / max(share[cell == g].sum(), 1e-9) for g in range(3)]
        live = [g for g in range(3) if (share[cell == g] > 0).any()]
        most = [
            np.where(choices.available, parts[g] - parts[h], -np.inf).max(1).sum() for g in live for h in live if g != h
        ]
        (found,) = ct.attainable_range(ct.demographic_parity(GROUP), choices)
        assert found.highest == pytest.approx(max(most), abs=1e-6)


def test_of_scores_ratios_and_losses_nothing_is_known_beforehand():
    for constraint in (ct.reward_parity(GROUP), ct.group_loss(GROUP), ct.exposure_parity(GROUP), ct.rate_ratio(GROUP)):
        (found,) = ct.attainable_range(constraint, random_choices(1))
        assert found.verdict(0.0) == found.verdict(1.0) == "unknown"  # so they are never refused
        assert found.empty and found.small  # who is in their cells is known all the same
    stack = ct.Stack(members=(ct.rate_ratio(GROUP), ct.rate_cap(GROUP), ct.demographic_parity(GROUP)))
    names = [found.name for found in ct.attainable_range(stack, random_choices(0))]
    assert names == ["rate_ratio(group)", "rate_cap(group)", "demographic_parity(group)"]


# Messages -------------------------------------------------------------------------------------------------------------


def among(group, available=None, **attributes):
    """Choices among alternatives of these groups, the first of which people chose; all of one shape, with padding."""
    n, k = np.shape(group)
    there = np.zeros((n, 3), bool)
    there[:, :k] = True if available is None else available
    codes = {name: np.full((n, 3), -1) for name in (*attributes, "group")}
    for name, values in {**attributes, "group": group}.items():
        codes[name][:, :k] = values
    return ct.make_choices(np.zeros((n, 3, 1)), np.zeros(n, int), available=there, attributes=codes).pad(100)


FREE = among([[0, 1], [1, 2], [2, 0]] * 20)
CHOOSERS = among([[0, 1]] * 40, community=[[0, 0]] * 20 + [[1, 1]] * 20)
NO_CHOICE = among([[0, 0]] * 40, np.eye(2)[[0] * 40] > 0)
FIXED = among([[0, 0]] * 49 + [[1, 1]] * 49 + [[0, 1]])
ALWAYS = among([[0, -1, -1]] * 40 + [[1, 1, -1]] * 40, np.array([[1, 0, 0]] * 40 + [[1, 1, 1]] * 40) > 0)
STRATA = among([[0, 1]] * 40 + [[0, 0]] * 40, community=[[0, 0]] * 40 + [[1, 1]] * 40)
BLOCKS = among([[0, 0], [1, 1], [2, 2]] * 2, community=[[0, 0]] * 3 + [[1, 1]] * 3)
TWINNED = FREE.replace(twins={"group": ct.Twin(items=jnp.ones((100, 3, 4, 1)), valid=jnp.ones((100, 3, 4)))})
PARITY, WITHIN = ct.demographic_parity(GROUP), ct.demographic_parity(GROUP, within=COMMUNITY)

MESSAGES = {
    "an empty group": (PARITY, FREE, None, "no train data for group=empty"),
    "immovable": (ct.demographic_parity(COMMUNITY), CHOOSERS, UsageError, "community=north against community=south"),
    "what to do": (ct.demographic_parity(COMMUNITY), CHOOSERS, UsageError, "name the kind of alternative with `of`"),
    "an immovable budget": (ct.rate_cap(), FREE, UsageError, "no model can move the rate of everyone"),
    "many immovable": (WITHIN, BLOCKS, UsageError, "group=b against group=c | community=north; and 3 more"),
    "one group": (PARITY, among([[0, 0]] * 40), DataError, "only one group has data"),
    "one group, and none": (PARITY, among([[0, -1]] * 40), DataError, "it needs two groups"),
    "no group": (PARITY, among([[-1, -1]] * 40), DataError, "no group has data"),
    "no group in a cap": (ct.rate_cap(GROUP), among([[-1, -1]] * 40), DataError, "no group has data"),
    "nothing rejected": (ct.predictive_equality(GROUP), NO_CHOICE, DataError, "no group has data"),
    "cannot bind": (ct.demographic_parity(GROUP, 0.5), FIXED, None, "no model exceeds 0.0101, so the bound 0.5 cannot"),
    "a cap cannot bind": (ct.rate_cap(GROUP, 0.7), FIXED, None, "no model exceeds 0.5051, so the bound 0.7 cannot"),
    "infeasible": (ct.demographic_parity(GROUP, 0.3), ALWAYS, None, "every model has a gap of 0.5 or more, the bound"),
    "an infeasible floor": (ct.rate_floor(GROUP, 0.3), among([[0, 0, -1]] * 40), None, "every model has a gap of 0.5"),
    "one group in a stratum": (WITHIN, STRATA, None, "one group only in community=south; nothing to compare there"),
    "few": (PARITY, among([[0, 1]] * 40 + [[2, 0]] * 5), None, "fewer than 30 train units in group=c (5)"),
    "twins alike": (ct.counterfactual_parity(GROUP), TWINNED, UsageError, "the twins of 'group' look alike"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_each_case_has_its_own_message(case):
    constraint, choices, error, words = MESSAGES[case]
    if error is None:
        assert words in "\n".join(fit_for(constraint, choices, "here").all)
    else:
        with pytest.raises(error) as caught:
            fit_for(constraint, choices, "here")
        assert words in str(caught.value)


# The command ----------------------------------------------------------------------------------------------------------

SCHEMA = """
unit = "person"
choice = ["choice"]
label = "chosen"
numeric = ["x"]
attributes = [
    { name = "group", levels = ["a", "b", "never"], others = "exclude" },
    { name = "size", levels = ["small", "large"], others = "exclude" },
    { name = "camp", levels = ["north", "west"], chooser = true },
]
"""
# Alternatives (group, size) of the choices of every person. North: a is always alone, b mostly against itself; in both
# camps few choices are between a small and a large one. West: only a.
NORTH = [["a "], *[["b small", "b small"], ["b large", "b large"]] * 2, ["b small", " large"]]
WEST = [*[["a small", "a small"], ["a large", "a large"]] * 2, ["a small", "a large"]]


def write(north=NORTH, west=WEST, people=60):
    """t.csv and t.toml in the working folder."""
    rows, rng = [], np.random.default_rng(0)
    for person in range(people):
        for own, sets in enumerate(north if person % 2 else west):
            for k, alternative in enumerate(sets):
                group, size = alternative.split(" ")
                camp = "north" if person % 2 else "west"
                rows.append((f"p{person}", camp, f"{person}-{own}", group, size, rng.normal(), int(k == 0)))
    pd.DataFrame(rows, columns=["person", "camp", "choice", "group", "size", "x", "chosen"]).to_csv(
        "t.csv", index=False
    )
    Path("t.toml").write_text(SCHEMA)
    Path("quick.toml").write_text("seeds = 1\n[settings]\nsteps = 3\n")


@pytest.fixture
def faro(tmp_path, monkeypatch, capsys):
    """The command, in a folder of its own; (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main(["frontier", "--data", "t.csv", "--schema", "t.toml", "--config", "quick.toml", *words])
        return code, capsys.readouterr().err

    return call


@pytest.mark.slow
def test_the_command_notes_what_cannot_bind_and_what_cannot_be_met(faro, monkeypatch):
    draw(monkeypatch)  # notes are of the data, whatever is trained
    write()
    code, said = faro("--attribute", "group,size", "--within", "camp", "--bounds", "0.3", "--out", "out")
    assert code == 3, said  # no member is FEASIBLE
    group, size = (f"faro: note: demographic_parity({name}, within=camp): " for name in ("group", "size"))
    absent = "group=never | camp=north, group=b | camp=west, group=never | camp=west"

    def few(cells):
        return f"fewer than 30 train units in {' (20), '.join(cells)} (20); their rates are noisy"

    present = ["group=a | camp=north", "group=b | camp=north", "group=a | camp=west"]
    sizes = [f"size={size} | camp={camp}" for camp in ("north", "west") for size in ("small", "large")]
    *of_data, of_what_came_of_it = said.splitlines()
    assert "predicts no better than a constant" in of_what_came_of_it
    assert of_data == [
        f"{group}every model has a gap of 0.4444 or more, the bound is 0.3",
        f"{group}no train data for {absent}; these rows are inactive",
        f"{group}{few(present)}",
        f"{group}one group only in camp=west; nothing to compare there",
        f"{size}no model exceeds 0.2, so the bound 0.3 cannot bind",
        f"{size}{few(sizes)}",
        f"{group}dev gap over {', '.join(present)}; no dev data for {absent}",
    ]


@pytest.mark.parametrize(
    ("north", "west", "words", "code", "said"),
    [
        (NORTH, WEST, "--attribute camp", 2, "no model can move camp=north against camp=west"),
        ([["a "], ["b "]], [["a "], ["b "]], "--attribute group", 2, "no model can move group=a against group=b"),
        (NORTH, [["a "], ["b "]], "--attribute group --within camp", 2, "group=a against group=b | camp=west"),
        (WEST, WEST, "--attribute group", 5, "only one group has data"),
        (WEST, [["b ", "b "]], "--attribute group --within camp", 5, "only one group has data"),
        ([[" small"]], [[" small"]], "--attribute group", 5, "no group has data"),
    ],
)
def test_the_command_refuses(north, west, words, code, said, faro):
    write(north, west)
    got, error = faro(*words.split(), "--bounds", "0.3", "--out", "out")
    assert got == code and said in error and error.count("\n") == 1, error
    assert not Path("out").exists()


class Apart(ct.RateConstraint):
    """Of somebody's own: how much more often long alternatives are chosen than short ones."""

    def cells(self):
        return ("short", "long")

    def columns(self):
        return ("length",)

    def members(self, choices):
        long = jnp.asarray(choices.columns["length"] > 0, int)[..., None]
        return ct.Members(long, jnp.broadcast_to(choices.weight[:, None, None], long.shape))

    def labels(self):
        return ("long - short", "short - long")

    def combine(self, statistics):
        short, long = self.rates(statistics)
        return jnp.stack([long - short, short - long])


class Product(Apart):
    """No sum of rates, so nobody knows its range."""

    def combine(self, statistics):
        short, long = self.rates(statistics)
        return jnp.stack([short * long, long])


@pytest.mark.slow
def test_a_measurement_of_ones_own_is_bounded_by_its_rates_or_unknown():
    """All decisions there are, on few choices: none exceeds what is said, and of a product nothing is said."""
    rng = np.random.default_rng(3)
    length = rng.normal(size=(7, 2))
    choices = ct.make_choices(rng.normal(size=(7, 2, 1)), rng.integers(0, 2, 7), columns={"length": length})
    (own,) = ct.attainable_range(Apart(bound=0.1), choices)
    gaps = []
    for picks in itertools.product((0, 1), repeat=7):
        rewards = jnp.eye(2)[jnp.array(picks)]
        gaps.append(float(Apart(bound=0.1).measure(ct.decide(ct.Argmax(), rewards, choices), choices).max()))
    assert min(gaps) >= own.lowest - 1e-6 and max(gaps) <= own.highest + 1e-6 <= max(gaps) + 0.5
    assert own.verdict(0.1) == "ok" and ct.attainable_range(Product(bound=0.1), choices)[0].verdict(0.1) == "unknown"
