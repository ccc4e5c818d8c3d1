"""Claims of notes on what people are served: parts of `pluralism_claims`."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from faro.transfer.agreement import agreement
from faro.transfer.views import Served, Views
from faro.voting import reranked
from faro.voting.reranking import EPS

from ._claims import Claim, Found

# Agreement with stated views ------------------------------------------------------------------------------------------


def of_agreement(seed: int, people: int = 200, items: int = 200, size: int = 16) -> Found:
    """200 people with tastes N(.3, 1) for agreement, 200 items each, best of 16; a stated view is right with .6."""
    rng, found = np.random.default_rng([20, 20, 13, seed]), {}
    taste = rng.normal(0.3, 1.0, people)
    truth, side = rng.choice([-1, 1], (people, items, 1)), rng.choice([-1, 1], (people, items, size))
    view = np.where(rng.random((people, items, 1)) < 0.6, truth, -truth)
    agrees, true = ((side == of).reshape(-1, size) for of in (view, truth))
    base = rng.standard_normal(agrees.shape) + 0.5 * true
    unit = np.repeat(np.arange(people), items)
    right = (view == truth).ravel().astype(int)
    views = Views(unit, np.ones(agrees.shape, bool), agrees, right, true, taste=taste)

    def by(weights: np.ndarray) -> Served:
        rewards = base + weights[unit][:, None] * agrees
        return Served(np.eye(size)[rewards.argmax(1)], rewards)

    def rises(name: str, record: dict) -> None:
        rows = {(row["who"], row["view"]): row for row in record["agreement"]}
        for (who, view), row in rows.items():
            suffix = f"{name}{who}" + ("" if view == "any" else f", {view}")
            found[f"{suffix}: aggregate"], found[suffix] = row["against"], row["served"]

    same, personal, common = np.full(people, taste.mean()), by(taste), by(np.full(people, taste.mean()))
    record = agreement(views, personal, common, kept=(2, 4))
    rises("", record)
    for row in record["truth"]:
        found[f"truth, {row['who']}: aggregate"], found[f"truth, {row['who']}"] = row["against"], row["served"]
    found["correlation"] = record["taste"]["value"]
    for own in record["best_of"]:
        found[f"best of {own['n']}: rise of high"] = own["high"]["difference"]["value"]
    found["rise of high"] = record["agreement"][1]["difference"]["value"]
    halves = agreement(dataclasses.replace(views, taste=None, label=personal.decisions), personal, common)
    found["rise of high, by halves"] = halves["agreement"][1]["difference"]["value"]
    nobody = agreement(views, by(np.zeros(people)), common)["agreement"]
    found["taste 0: all"] = nobody[0]["served"]
    alike = agreement(views, by(same), common)["agreement"]
    found["one taste: rise"] = max(abs(row["difference"]["value"]) for row in alike)
    gap = views.means((personal.rewards * agrees).sum(1) / np.maximum(agrees.sum(1), 1)) - views.means(
        (personal.rewards * ~agrees).sum(1) / np.maximum((~agrees).sum(1), 1)
    )
    low = taste < taste.mean() - taste.std()
    guards = {"none": taste, "common": taste - gap.mean(), "own": taste - gap, "half": (taste + taste.mean()) / 2}
    for name, weights in guards.items():
        served = by(weights)
        guarded = agreement(views, served, common)
        own = views.means(views.share(served.decisions, agrees))
        found[f"penalty {name}: high"], found[f"penalty {name}: low"] = (
            guarded["agreement"][1]["served"],
            float(own[low].mean()),
        )
        found[f"penalty {name}: truth"] = guarded["truth"][0]["served"]
    return found


# Calibrated lists -----------------------------------------------------------------------------------------------------

STRENGTHS = (0, 0.5, 0.9, 0.99, 1)


def of_lists(seed: int) -> Found:
    """Lists of ten: of 400 generated items in 6 genres, and of statements that three groups of people vote on."""
    rng, found = np.random.default_rng([20, 20, 14, seed]), {}
    genres = rng.dirichlet(np.full(6, 0.15), 400)
    scores = genres @ [1, 0.55, 0.1, 0.1, 0.1, 0.1] + rng.normal(0, 0.05, 400)
    wanted, best = np.array([0.7, 0.3, 0, 0, 0, 0]), np.sort(scores)[-10:].sum()
    for strength in STRENGTHS:
        made = reranked(scores, genres, wanted, 10, strength)
        found[f"items, {strength}: C_KL"] = made.divergence
        found[f"items, {strength}: scores"] = float(scores[made.items].sum() / best)
    ratios = []
    for _ in range(200):
        genres, wanted, scores = rng.dirichlet(np.full(4, 0.3), 12), rng.dirichlet(np.ones(4)), rng.random(12)
        strength = rng.random()
        greedy = reranked(scores, genres, wanted, 4, strength, surrogate=True)
        value = (scores - greedy.ends[0]) / (greedy.ends[1] - greedy.ends[0])
        every = np.array(list(itertools.combinations(range(12), 4)))
        covered = (np.log(genres[every].sum(1) + EPS) - np.log(EPS)) @ wanted
        ratios.append(greedy.objective / ((1 - strength) * value[every].sum(1) + strength * covered).max())
    found["greedy, least"], found["greedy, mean"] = float(np.min(ratios)), float(np.mean(ratios))
    return found | _of_votes(rng)


def _of_votes(rng: np.random.Generator, people: int = 400, statements: int = 120) -> Found:
    """People of three groups (.6, .3, .1) agree, disagree or pass on a quarter of the statements, each of which serves
    a group; scores are shares of agreement among all who voted, genres the group whose votes lift a statement most."""
    shares, found = np.array([0.6, 0.3, 0.1]), {}
    group, serves = rng.choice(3, people, p=shares), rng.choice(3, statements)
    agree = rng.beta(2, 4, (3, statements))  # probability of a member of the group
    agree[serves, np.arange(statements)] = rng.beta(6, 2, statements)
    seen, passes = rng.random((2, people, statements)) < np.array([0.25, 0.2])[:, None, None]
    voted = seen & ~passes
    agreed = voted & (rng.random((people, statements)) < agree[group])
    own = np.stack([agreed[group == g].sum(0) + 1 for g in range(3)]) / np.stack(
        [voted[group == g].sum(0) + 2 for g in range(3)]
    )
    lift = own - (own.sum(0) - own) / 2
    genres = np.eye(3)[lift.argmax(0)]
    found["votes: groups found"] = float((lift.argmax(0) == serves).mean())
    scores = (agreed.sum(0) + 1) / (voted.sum(0) + 2)
    best = np.sort(scores)[-10:].sum()
    for strength in STRENGTHS:
        made = reranked(scores, genres, shares, 10, strength)
        found[f"votes, {strength}: C_KL"] = made.divergence
        found[f"votes, {strength}: scores"] = float(scores[made.items].sum() / best)
        found[f"votes, {strength}: agree"] = float(shares @ agree[:, made.items].mean(1))
        found[f"votes, {strength}: worst"] = float(agree[:, made.items].mean(1).min())
        found[f"votes, {strength}: smallest group's best"] = float(agree[2, made.items].max())
    return found


PARTS = {"agreement": of_agreement, "reranking": of_lists}
CLAIMS = (
    Claim(
        "reranking",
        "400 items: C_KL at strength 0, .5, .9, .99, 1",
        tuple(f"items, {strength}: C_KL" for strength in STRENGTHS),
        ".455, .321, .053, .015, .018",
        lambda *found: found[2] < found[0] / 2 and found[3] < found[2] < found[1] < found[0],
    ),
    Claim(
        "reranking",
        "its price: scores, of the ten best",
        tuple(f"items, {strength}: scores" for strength in STRENGTHS),
        "1.000, .999, .938, .907, .885",
        lambda *found: found[1] >= 0.99 and found[2] > 0.85,
    ),
    Claim(
        "reranking",
        "greedy beside all lists of 4 of 12, surrogate: least, mean (bound .632)",
        ("greedy, least", "greedy, mean"),
        ".952, .998",
        lambda least, mean: least >= 1 - 1 / np.e and mean > 0.98,
    ),
    Claim(
        "reranking",
        "votes on statements: C_KL at strength 0, .5, .9, .99, 1",
        tuple(f"votes, {strength}: C_KL" for strength in STRENGTHS),
        "not measured",
        lambda *found: found[2] < found[0] / 2 and found[3] <= found[0] / 2,
    ),
    Claim(
        "reranking",
        "their price: scores; agreement of all at 0, .9; of the group that agrees least at 0, .9",
        (
            *(f"votes, {strength}: scores" for strength in STRENGTHS),
            "votes, 0: agree",
            "votes, 0.9: agree",
            "votes, 0: worst",
            "votes, 0.9: worst",
        ),
        "not measured",
        lambda *found: found[2] > 0.8 and found[8] > found[7],
    ),
    Claim(
        "reranking",
        "the best statement of the list to the smallest group (a tenth) at 0, .9",
        ("votes, 0: smallest group's best", "votes, 0.9: smallest group's best"),
        "not measured",
        lambda before, after: after > before,
    ),
    Claim(
        "agreement",
        "best of 16: agreement of all, aggregate and personal",
        ("all: aggregate", "all"),
        ".627-.654, .596-.617",
        lambda before, after: after < before,
    ),
    Claim(
        "agreement",
        "the same of people more than a deviation above the mean taste",
        ("high: aggregate", "high"),
        ".628-.654, .932-.952",
        lambda before, after: after >= before + 0.2,
    ),
    Claim(
        "agreement",
        "the same where their view is wrong",
        ("high, wrong: aggregate", "high, wrong"),
        "not measured",
        lambda before, after: after >= before + 0.2,
    ),
    Claim(
        "agreement",
        "how often what is true is served: aggregate and personal, high people",
        ("truth, all: aggregate", "truth, all", "truth, high: aggregate", "truth, high"),
        ".716-.721, .656-.661, .718-.723, .625-.649",
        lambda before, after, high, its: after <= before - 0.04 and its < high,
    ),
    Claim(
        "agreement",
        "correlation of taste and agreement that is served",
        ("correlation",),
        ".97-.98",
        lambda found: found >= 0.95,
    ),
    Claim(
        "agreement",
        "a small n hides it: rise of high people at best of 2, 4, 16",
        ("best of 2: rise of high", "best of 4: rise of high", "rise of high"),
        "not measured",
        lambda two, four, all: two < four < all and two < all / 2,
    ),
    Claim(
        "agreement",
        "without a known taste, by halves of people's choices: the rise of high people",
        ("rise of high, by halves",),
        "not measured",
        lambda found: found >= 0.2,
    ),
    Claim(
        "agreement",
        "nobody likes agreement: agreement (.5, and what truth adds); one taste for all: the largest difference",
        ("taste 0: all", "one taste: rise"),
        "not measured",
        lambda nobody, alike: abs(nobody - 0.5) < 0.06 and alike == 0,
    ),
    Claim(
        "agreement",
        "NEGATIVE: a common penalty of the mean gap leaves the tail, and hits who dislikes agreement: high, low people",
        ("penalty none: high", "penalty none: low", "penalty common: high", "penalty common: low"),
        "not measured",
        lambda high, low, high_left, low_left: high_left > 0.8 and low_left < low,
    ),
    Claim(
        "agreement",
        "a penalty of each person's own gap: high, low people, truth; half of what is personal",
        ("penalty own: high", "penalty own: low", "penalty own: truth", "penalty half: high", "penalty half: low"),
        "not measured",
        lambda high, low, truth, half, half_low: abs(high - low) < 0.03,
    ),
)
