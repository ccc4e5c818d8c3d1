"""Claims of notes on what people are served: parts of `pluralism_claims`."""

from __future__ import annotations

import dataclasses

import numpy as np

from faro.transfer.agreement import agreement
from faro.transfer.views import Served, Views

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


PARTS = {"agreement": of_agreement}
CLAIMS = (
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
