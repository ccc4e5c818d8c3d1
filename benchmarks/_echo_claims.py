"""Agreement with stated views under a bound, and over rounds of retraining on what was served: parts of
`pluralism_claims`."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import constraints as ct
import faro
from faro.data import Schema
from faro.data.decided import read_decided
from faro.losses import Shown
from faro.models import Linear, PositionTower
from faro.transfer.agreement import agreement
from faro.transfer.exposure import apart, entropy, exposure
from faro.transfer.views import Asked, Views, read_served, read_views

from ._claims import Claim, Found

LEANINGS = ("little", "much")
WORTH = np.array([1.0, 0.5])  # of two features, to everybody


class People(NamedTuple):
    """taste: `[U]` what a candidate that agrees is worth more; view: `[U]` which of the viewpoints is theirs."""

    taste: np.ndarray
    view: np.ndarray


class Shelf(NamedTuple):
    """Candidates of n choices: whose `[n]`, features `[n, K, 2]`, viewpoints `[n, K]`."""

    unit: np.ndarray
    x: np.ndarray
    viewpoint: np.ndarray

    def agrees(self, people: People) -> np.ndarray:
        """`[n, K]`."""
        return self.viewpoint == people.view[self.unit][:, None]

    def worth(self, people: People) -> np.ndarray:
        """`[n, K]` to the person."""
        return self.x @ WORTH + people.taste[self.unit][:, None] * self.agrees(people)


def shelf(rng: np.random.Generator, people: int, each: int, size: int, viewpoints: int) -> Shelf:
    unit = np.repeat(np.arange(people), each)
    drawn = rng.integers(0, viewpoints, (len(unit), size))
    return Shelf(unit, rng.standard_normal((len(unit), size, 2)), drawn)


def table(of: Shelf, people: People, before: np.ndarray, place: np.ndarray, chosen: np.ndarray, **more: Any) -> Any:
    """A row per candidate; `before`: `[U]` share of what agrees among what the person chose before."""
    n, size = of.viewpoint.shape
    rows = np.repeat(of.unit, size)
    much = before[rows] > np.median(before)
    return pd.DataFrame(
        {
            "person": np.array([f"p{unit}" for unit in range(len(people.view))], object)[rows],
            "choice": np.repeat(np.arange(n), size),
            "alternative": np.tile(np.arange(size), n),
            "x0": of.x[..., 0].ravel(),
            "x1": of.x[..., 1].ravel(),
            "agrees": np.where(of.agrees(people).ravel(), "yes", "no"),
            "before": before[rows],
            "leaning": np.array(LEANINGS, object)[much.astype(int)],
            "position": place.ravel().astype(str),
            "chosen": (np.arange(size) == chosen[:, None]).astype(int).ravel(),
            **{name: np.repeat(values, size) for name, values in more.items()},
        }
    )


def schema(size: int, personal: bool) -> Schema:
    """A personal reward reads what the person chose before."""
    return Schema.from_dict(
        {
            "unit": "person", "choice": ["choice"], "alternative": "alternative", "label": "chosen",
            "numeric": ["x0", "x1"], "categorical": ["agrees"], "context_numeric": ["before"] if personal else [],
            "attributes": [
                {"name": "agrees", "levels": ["yes", "no"]},
                {"name": "leaning", "levels": list(LEANINGS), "chooser": True},
                {"name": "position", "levels": [str(place) for place in range(size)]},
            ],
        }
    )  # fmt: skip


# Under a bound --------------------------------------------------------------------------------------------------------


def of_bounds(seed: int, people: int = 500, each: int = 16, told: int = 20) -> Found:
    """Pairs of which one agrees with a view that is right with .6; 20 earlier answers are told as a share."""
    rng, found = np.random.default_rng([20, 20, 15, seed]), {}
    own = People(rng.normal(0.3, 1.0, people), np.zeros(people, int))

    def pairs(count: int) -> Shelf:
        drawn = shelf(rng, people, count, 2, 2)
        first = rng.integers(0, 2, len(drawn.unit))
        return drawn._replace(viewpoint=np.stack([first, 1 - first], 1))

    def answered(of: Shelf) -> np.ndarray:
        return (of.worth(own) + rng.gumbel(size=of.viewpoint.shape)).argmax(1)

    earlier = pairs(told)
    picked = np.take_along_axis(earlier.agrees(own), answered(earlier)[:, None], 1)[:, 0]
    before = (np.bincount(earlier.unit, picked, people) + 1) / (told + 2)
    asked = pairs(each)
    right = np.where(rng.random(len(asked.unit)) < 0.6, "yes", "no")
    frame = table(asked, own, before, np.zeros(asked.viewpoint.shape, int), answered(asked), right=right)
    frame["taste"] = own.taste[np.repeat(asked.unit, 2)]
    settings = {"steps": 200}
    for name, personal, bound, within in (
        ("aggregate", False, np.inf, None),
        ("personal", True, np.inf, None),
        ("bound on all", True, 0.05, None),
        ("bound within", True, 0.05, "leaning"),
    ):
        data = faro.load(frame, schema(2, personal))
        agrees, leaning = data.attributes["agrees"], data.attributes["leaning"]
        made = ct.demographic_parity(agrees, bound, within=leaning if within else None)
        trained = faro.train(data, made, settings=settings)
        scored = trained.score(data).merge(
            frame[["choice", "alternative", "right", "taste"]].astype({"choice": str, "alternative": str}),
            on=["choice", "alternative"],
        )
        views, kept = read_views(kept_of(scored), Asked("agrees", right="right", taste="taste"))
        record = agreement(views, read_served(kept_of(scored), kept))
        for row in record["agreement"]:
            view = "" if row["view"] == "any" else f", {row['view']}"
            found[f"{name}: {row['who']}{view}"] = row["served"]
        low = views.taste < views.taste.mean() - views.taste.std()
        share = views.means(views.share(read_served(kept_of(scored), kept).decisions, views.agrees))
        found[f"{name}: low"], found[f"{name}: right"] = float(share[low].mean()), record["label"][0]["served"]
    return found


def kept_of(scored: pd.DataFrame) -> Any:
    """Dev people, whom no training saw."""
    return read_decided(scored[scored["part"].isin(["dev", "gate"])].reset_index(drop=True))


# Over rounds ----------------------------------------------------------------------------------------------------------

SIZE, ROUNDS, VIEWPOINTS, SLOPE = 10, 5, 4, -0.5
ARMS = {  # personal, bound
    "aggregate": (False, np.inf),
    "personal": (True, np.inf),
    "aggregate, bound": (False, 0.05),
    "personal, bound": (True, 0.05),
}


def of_rounds(seed: int, people: int = 150, each: int = 8) -> Found:
    """Lists of ten from four viewpoints, one of which is the person's; a ranker that is trained anew, five times, on
    choices from the lists that it made, which are less likely by .5 in the logit at every place."""
    rng, found = np.random.default_rng([20, 20, 16, seed]), {}
    own = People(rng.normal(0.5, 1.0, people), rng.integers(0, VIEWPOINTS, people))
    shelves = [shelf(rng, people, each, SIZE, VIEWPOINTS) for _ in range(ROUNDS + 1)]
    noise = rng.gumbel(size=(ROUNDS + 1, people * each, SIZE))
    start = rng.standard_normal((people * each, SIZE))
    high = own.taste > own.taste.mean() + own.taste.std()
    for turn, offered in enumerate(shelves):  # the control: a reward that is each person's own, and learns nothing
        known = np.argsort(np.argsort(-offered.worth(own), 1), 1)
        found |= {f"tastes known, {turn}: {what}": value for what, value in _shown(offered, own, known, high).items()}
    for name, (personal, bound) in ARMS.items():
        chose, count, rewards = np.full(people, 1 / VIEWPOINTS), np.ones(people), start
        ranker: Any = None
        for turn, (offered, luck) in enumerate(zip(shelves, noise, strict=True)):
            before = chose / count
            frame = functools.partial(table, offered, own, before)
            if turn:
                blank = frame(np.zeros(start.shape, int), np.zeros(len(start), int))
                rewards = ranker.rewards(ranker.read(blank))
            place = np.argsort(np.argsort(-rewards, 1), 1)
            chosen = (offered.worth(own) + SLOPE * place + luck).argmax(1)
            for what, value in _shown(offered, own, place, high).items():
                found[f"{name}, {turn}: {what}"] = value
            chose = chose + np.bincount(offered.unit, offered.agrees(own)[np.arange(len(chosen)), chosen], people)
            count = count + each
            if turn < ROUNDS:
                ranker = _trained(frame(place, chosen), personal, bound)
    return found


def _trained(frame: pd.DataFrame, personal: bool, bound: float) -> Any:
    """With a tower of places, as in the part `position`, so that a place is not taken for merit."""
    data = faro.load(frame, schema(SIZE, personal))
    made = ct.demographic_parity(data.attributes["agrees"], bound, within=data.attributes["leaning"])
    settings: dict[str, Any] = {"steps": 400} | ({} if np.isfinite(bound) else {"solution": "last"})
    return faro.train(data, made, model=PositionTower(Linear(), SIZE), loss=Shown(), settings=settings)


def _shown(offered: Shelf, people: People, place: np.ndarray, high: np.ndarray) -> Found:
    """Entropy of each person's exposure, of high people's, distance between people, agreement and worth of firsts."""
    seen = np.exp(SLOPE * place)  # attention, as who chooses has it
    names = tuple(str(name) for name in range(VIEWPOINTS))
    agrees, there = offered.agrees(people), np.ones(place.shape, bool)
    views = Views(offered.unit, there, agrees, np.full(len(place), -1), viewpoint=offered.viewpoint, viewpoints=names)
    q = exposure(views, seen / seen.sum(1, keepdims=True))
    first = views.means(views.share(1.0 * (place == 0), agrees))
    return {
        "entropy": float(entropy(q).mean()), "high entropy": float(entropy(q[high]).mean()),
        "apart": float(apart(q).mean()), "first agrees": float(first.mean()), "high first": float(first[high].mean()),
        "worth": float((offered.worth(people) * (place == 0)).sum(1).mean()),
    }  # fmt: skip


PARTS = {"agreement_bound": of_bounds, "rounds": of_rounds}
WHICH = ("aggregate", "personal", "bound on all", "bound within")
CLAIMS = (
    Claim(
        "agreement_bound",
        "agreement of high people: aggregate, personal, under a bound of .05 on all, within halves by earlier answers",
        tuple(f"{name}: high" for name in WHICH),
        "not measured",
        lambda common, own, pooled, within: own > common + 0.1 and within < own - 0.1,
    ),
    Claim(
        "agreement_bound",
        "NEGATIVE: on all people it leaves the tail: agreement of all and of high people, and of low",
        ("bound on all: all", "bound on all: high", "bound on all: low"),
        "not measured",
        lambda every, high, low: abs(every - 0.5) < 0.06 and high > 0.65 and low < 0.4,
    ),
    Claim(
        "agreement_bound",
        "agreement where the view is wrong, high people",
        tuple(f"{name}: high, wrong" for name in WHICH),
        "not measured",
        lambda common, own, pooled, within: within < own - 0.1,
    ),
    Claim(
        "agreement_bound",
        "the price: how often what people chose is served",
        tuple(f"{name}: right" for name in WHICH),
        "not measured",
        lambda common, own, pooled, within: within < own,
    ),
    Claim(
        "rounds",
        "entropy of each one's exposure after five rounds (1.386 at most): at the start, then in the order of the arms",
        ("aggregate, 0: entropy", *(f"{arm}, 5: entropy" for arm in ARMS)),
        "not measured",
        lambda start, common, own, bound, mended: own < common and mended > own,
    ),
    Claim(
        "rounds",
        "the same of high people",
        ("aggregate, 0: high entropy", *(f"{arm}, 5: high entropy" for arm in ARMS)),
        "not measured",
        lambda start, common, own, bound, mended: own < common - 0.02 and mended > own + 0.02,
    ),
    Claim(
        "rounds",
        "how often the first agrees, high people (.25 by chance)",
        ("aggregate, 0: high first", *(f"{arm}, 5: high first" for arm in ARMS)),
        "not measured",
        lambda start, common, own, bound, mended: own > common + 0.1 and mended < own - 0.1,
    ),
    Claim(
        "rounds",
        "total variation between people",
        ("aggregate, 0: apart", *(f"{arm}, 5: apart" for arm in ARMS)),
        "not measured",
        lambda start, common, own, bound, mended: own > common and mended < own,
    ),
    Claim(
        "rounds",
        "what the first is worth to its person",
        ("aggregate, 0: worth", *(f"{arm}, 5: worth" for arm in ARMS)),
        "not measured",
        lambda start, common, own, bound, mended: own > common,
    ),
    Claim(
        "rounds",
        "personal, high people, entropy of exposure by round; of a reward that knows tastes and learns nothing",
        (*(f"personal, {turn}: high entropy" for turn in range(ROUNDS + 1)), f"tastes known, {ROUNDS}: high entropy"),
        "not measured",
        lambda *found: found[-2] < found[0],
    ),
    Claim(
        "rounds",
        "of all people: personal after five rounds, tastes known: entropy, total variation",
        tuple(f"{arm}, {ROUNDS}: {what}" for what in ("entropy", "apart") for arm in ("personal", "tastes known")),
        "not measured",
        lambda own, known, apart, its: own > known and apart < its,
    ),
)
