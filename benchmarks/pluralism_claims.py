"""What the notes say of one answer for many people, of labels and of what personalising does: figure beside figure.

As `people_claims` does of models of people: a row has the note's figure, or range over its seeds, what is found with
faro's own version, and the claim that both are to bear out; a claim that is not borne out is counted. A line per part
and seed stands in OUT/pluralism_claims.jsonl.

`python -m benchmarks pluralism_claims -- --seeds 3 --out out/people`
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special

import constraints as ct
import faro
from faro.data import Schema
from faro.losses import Logit, Loss, Shown
from faro.models import MLP, Linear, MMoE, Model, PositionTower
from faro.people.consistency import TYPES, mixture
from faro.sweep.aggregates import everyones_error
from faro.voting import Ensemble, joint, stagewise

from . import _echo_claims, _serving_claims
from .people_claims import Claim, Found, repeated

# Votes of an ensemble ------------------------------------------------------------------------------------------------

SHARES = np.array([0.5, 0.3, 0.2])


def tastes(rng: np.random.Generator) -> np.ndarray:
    """Three random tastes of length 1, `[3, 4]`."""
    drawn = rng.standard_normal((3, 4))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def of_ensembles(seed: int) -> Found:
    """Three tastes in shares of .5, .3 and .2; shares of 600 pairs are told, or so many votes of so many pairs."""
    rng, found = np.random.default_rng([20, 20, 11, seed]), {}
    own = tastes(rng)
    apart, fresh = rng.standard_normal((600, 4)), rng.standard_normal((4000, 4))
    share, wanted = ((x @ own.T > 0) @ SHARES for x in (apart, fresh))

    def error(ensemble: Ensemble) -> float:
        return float(np.mean((ensemble.votes(fresh) - wanted) ** 2))

    def closest(ensemble: Ensemble) -> float:
        return float((own @ ensemble.heads.T).max(1).min())

    taste = _logistic(apart, share)
    found["one reward, a vote"] = float(np.mean(((fresh @ taste > 0) - wanted) ** 2))
    found["one reward, a probability"] = float(np.mean((scipy.special.expit(fresh @ taste) - wanted) ** 2))
    for members in (2, 3, 5):
        found[f"stagewise, {members}"] = error(stagewise(apart, share, members))
    found["joint, 2"] = error(joint(apart, share, 2))
    for name, fit in (("stagewise", stagewise), ("joint", joint)):
        ensemble = fit(apart, share, 3)
        found[f"{name}, 3"], found[f"{name}, 3: cosine"] = error(ensemble), closest(ensemble)
        found[f"{name}, 3: weights off"] = float(np.abs(ensemble.weights - SHARES).max())
    for votes, pairs in ((10, 300), (1, 3000), (1, 300)):
        asked = rng.standard_normal((pairs, 4))
        told = rng.binomial(votes, (asked @ own.T > 0) @ SHARES) / votes
        ensemble = joint(asked, told, 3)
        found[f"{votes} votes of {pairs}"], found[f"{votes} votes of {pairs}: cosine"] = (
            error(ensemble),
            closest(ensemble),
        )
    for name, kinds in (("random", own), ("opposed", np.stack([own[0], -own[0], own[2]]))):
        told = (apart @ kinds.T > 0) @ SHARES
        found |= {f"{name}: {key}": value for key, value in _served(rng, kinds, apart, told).items()}
    return found


def _served(rng: np.random.Generator, own: np.ndarray, apart: np.ndarray, share: np.ndarray) -> Found:
    """Mean rank, 1 for the favourite and 0 for the last, of the best of 8 by one reward, and by a member of an ensemble
    that is drawn by its weight: of everybody, and of the group that fares worst."""
    items = rng.standard_normal((2000, 8, 4))
    liked = items @ own.T
    rank = liked.argsort(1).argsort(1) / 7  # [n, 8, G]
    one, ensemble = _logistic(apart, share), joint(apart, share, 3)
    drawn = rng.choice(3, len(items), p=ensemble.weights)
    taken = {"one": items @ one, "drawn": np.einsum("nkd,nd->nk", items, ensemble.heads[drawn])}
    found: Found = {}
    for name, scores in taken.items():
        groups = rank[np.arange(len(items)), scores.argmax(1)].mean(0)
        found |= {f"{name}, mean": float(groups @ SHARES), f"{name}, worst": float(groups.min())}
    return found


# Types of answers ----------------------------------------------------------------------------------------------------

REAL = (0.45, 0.25, 0.3)  # genuine, constructed, non-attitude


def of_types(seed: int) -> Found:
    """120 people on 60 items in two frames, twice in each; a reward of the first reply, with the frame's cue."""
    rng = np.random.default_rng([20, 20, 12, seed])
    found = _of_types(rng, REAL)
    return found | {f"all genuine: {name}": value for name, value in _of_types(rng, (1.0, 0.0, 0.0)).items()}


def _of_types(rng: np.random.Generator, shares: tuple[float, ...]) -> Found:
    people, items, d = 120, 60, 6
    x, taste = rng.standard_normal((items, d)), rng.standard_normal(d)
    kind = rng.choice(3, (people, items), p=shares)
    pushed = rng.integers(0, 2, items)  # the side to which frame 0 pushes, frame 1 to the other
    sides = np.stack([pushed, 1 - pushed], -1)[None, :, :, None]

    def slipped(side: np.ndarray, lapse: float) -> np.ndarray:
        return np.where(rng.random((people, items, 2, 2)) < lapse, 1 - side, side)

    likes = (x @ taste > 0).astype(int)[None, :, None, None]
    coins = rng.integers(0, 2, (people, items, 2, 2))
    replies = np.choose(kind[..., None, None], [slipped(likes, 0.05), slipped(sides, 0.1), coins])
    who = np.broadcast_to(np.arange(people * items).reshape(people, items, 1, 1), replies.shape)
    frame = np.broadcast_to(np.arange(2)[:, None], replies.shape)
    types = mixture(who.ravel(), frame.ravel(), replies.ravel().astype(float))
    said = types.posterior.argmax(1).reshape(people, items)
    found = {f"recall {name}": float((said == k)[kind == k].mean()) for k, name in enumerate(TYPES) if shares[k]}
    found["coins taken for genuine"] = float((said == 0)[kind == 2].mean()) if shares[2] else 0.0
    found["share genuine"], found["lapse"] = float(types.shares[0]), types.lapse
    cue = 2.0 * pushed - 1
    features = np.concatenate(
        [np.broadcast_to(x, (people, items, d)), np.broadcast_to(cue[None, :, None], (people, items, 1))], -1
    )
    fresh = np.concatenate([rng.standard_normal((4000, d)), rng.choice([-1.0, 1.0], (4000, 1))], 1)
    truth, weight = fresh[:, :d] @ taste > 0, types.posterior[:, 0]
    arms = {
        "uniform": np.ones(people * items),
        "weighted": weight,
        "genuine alone": 1.0 * (said.ravel() == 0),
        "oracle": 1.0 * (kind.ravel() == 0),
    }
    for name, weights in arms.items():
        w = _logistic(features.reshape(-1, d + 1), replies[:, :, 0, 0].ravel().astype(float), weights, 0.5)
        found[f"{name}: accuracy"] = float(((fresh @ w > 0) == truth).mean())
        found[f"{name}: cue"] = float(abs(w[-1]) / np.linalg.norm(w[:-1]))
    return found


def _logistic(x: np.ndarray, share: np.ndarray, weight: np.ndarray | None = None, ridge: float = 1e-3) -> np.ndarray:
    """Weights `[d]` of least weighted nll of shares + ridge |w|^2 / 2."""
    weight = np.ones(len(x)) if weight is None else weight

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = x @ w
        nll = weight @ (np.logaddexp(0, margin) - share * margin)
        return nll + ridge / 2 * w @ w, x.T @ (weight * (scipy.special.expit(margin) - share)) + ridge * w

    return scipy.optimize.minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x


# What is told --------------------------------------------------------------------------------------------------------

# Places ---------------------------------------------------------------------------------------------------------------

PLACES, ITEMS = 10, 30


def lists_of(rng: np.random.Generator, lists: int, items: bool) -> np.ndarray:
    """Lists of ten, `[lists, 10, d]`: of eight features, or ten of thirty items, each a feature."""
    if not items:
        return rng.standard_normal((lists, PLACES, 8))
    return np.eye(ITEMS)[np.argsort(rng.random((lists, ITEMS)), 1)[:, :PLACES]]


def clicks(rng: np.random.Generator, x: np.ndarray, w: np.ndarray, ranker: np.ndarray, slope: float) -> pd.DataFrame:
    """Lists in the order of a ranker, and who was clicked: sigma(1 + x . w + slope place)."""
    x = np.take_along_axis(x, np.argsort(-(x @ ranker), 1)[..., None], 1)
    place = np.broadcast_to(np.arange(PLACES), x.shape[:2])
    clicked = rng.random(x.shape[:2]) < scipy.special.expit(1 + x @ w + slope * place)
    frame = pd.DataFrame(x.reshape(-1, len(w)), columns=[f"x{i}" for i in range(len(w))])
    lists = np.repeat(np.arange(len(x)), PLACES)
    return frame.assign(list=lists, click=clicked.ravel().astype(int), position=place.ravel().astype(str))


def learned(frame: pd.DataFrame, tower: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the features, and what places add, of a linear model with or without a tower."""
    places = {"name": "position", "levels": [str(place) for place in range(PLACES)]}
    numbers = [name for name in frame if name.startswith("x")]
    schema = {"format": "accept", "unit": "list", "label": "click", "numeric": numbers, "attributes": [places]}
    data = faro.load(frame, Schema.from_dict(schema))
    settings = {"steps": 1000, "solution": "last"} if tower else {}
    model, loss = (PositionTower(Linear(), PLACES), Shown()) if tower else (Linear(), Logit())
    found = faro.train(data, ct.rate_cap(None, float("inf")), model=model, loss=loss, settings=settings)
    params = found.params["model"] if tower else found.params
    scale = np.array([number.scale for number in found.coding.items.numbers])
    effects = np.asarray(model.effects(found.params)) if tower else np.zeros(PLACES)
    return np.asarray(params["item"], float) / scale, effects


def of_places(seed: int) -> Found:
    """An imperfect ranker puts answers in their places; then one that is retrained on the clicks it causes."""
    rng, found = np.random.default_rng([20, 26, seed]), {}

    def right(weights: np.ndarray, w: np.ndarray, fresh: np.ndarray) -> float:
        """Share of pairs of a list that are in the order of what is liked."""
        given, liked = fresh @ weights, fresh @ w
        agree = (given[:, :, None] - given[:, None]) * (liked[:, :, None] - liked[:, None]) > 0
        return float(agree[:, *np.triu_indices(PLACES, 1)].mean())

    def slope(places: np.ndarray) -> float:
        return float(np.polyfit(np.arange(PLACES), places, 1)[0])

    w, fresh = rng.standard_normal(8) / 2, lists_of(rng, 500, False)
    imperfect = w + rng.standard_normal(8) / 2
    for name, planted in (("planted", -0.35), ("none", 0.0)):
        frame = clicks(rng, lists_of(rng, 3000, False), w, imperfect, planted)
        plain, (towered, places) = learned(frame, False)[0], learned(frame, True)
        found |= {f"{name}: plain": right(plain, w, fresh), f"{name}: tower": right(towered, w, fresh)}
        found[f"{name}: slope"] = slope(places)
    found["no errors: slope"] = slope(learned(clicks(rng, lists_of(rng, 3000, False), w, w, -0.35), True)[1])
    merit, fresh = rng.standard_normal(ITEMS) / 4, lists_of(rng, 500, True)
    start = rng.standard_normal(ITEMS)
    found["five rounds: start"] = right(start, merit, fresh)
    for name, tower in (("plain", False), ("tower", True)):
        ranker = start
        for _ in range(5):
            ranker = learned(clicks(rng, lists_of(rng, 1500, True), merit, ranker, -0.5), tower)[0]
        found[f"five rounds: {name}"] = right(ranker, merit, fresh)
    return found


# Objectives -----------------------------------------------------------------------------------------------------------

CHOSEN_FOR = (3000, 300)  # pairs of each objective: a click is told often, what people think of it afterwards is not


def of_objectives(seed: int) -> Found:
    """Two objectives with tastes in the same eight hidden features; the second has a tenth of the choices."""
    rng = np.random.default_rng([20, 26, 5, seed])
    hidden, tastes = rng.standard_normal((8, 8)) / 2, rng.standard_normal((2, 8))

    def utilities(x: np.ndarray) -> np.ndarray:
        return 1.5 * np.tanh(x @ hidden) @ tastes.T

    goal = np.repeat([0, 1], CHOSEN_FOR)
    x = rng.standard_normal((len(goal), 2, 8))
    liked = np.take_along_axis(utilities(x), goal[:, None, None], -1)[..., 0]
    sides = ("left", "right")
    numbers = [f"x{i}" for i in range(8)]
    table = {f"{side}_{name}": x[:, own, i] for own, side in enumerate(sides) for i, name in enumerate(numbers)}
    won = rng.random(len(goal)) < scipy.special.expit(liked[:, 0] - liked[:, 1])
    levels = ["first", "second"]
    frame = pd.DataFrame({**table, "objective": np.array(levels)[goal], "won": won.astype(int)})
    fresh = rng.standard_normal((4000, 2, 8))
    asked = {f"{side}_{name}": fresh[:, own, i] for own, side in enumerate(sides) for i, name in enumerate(numbers)}
    wanted = utilities(fresh)[:, 0] - utilities(fresh)[:, 1]
    schema = Schema.from_dict({
        "format": "wide", "unit": "row", "sides": list(sides), "label": "won", "numeric": numbers,
        "attributes": [{"name": "objective", "chooser": True, "levels": levels}],
    })  # fmt: skip

    def ranked(rows: pd.DataFrame, model: Model, loss: Loss) -> np.ndarray:
        data = faro.load(rows, schema)
        free = everyones_error().at(float("inf"))
        own = faro.train(data, free, model=model, loss=loss, settings={"steps": 600})
        rewards = own.rewards(pd.DataFrame({**asked, "objective": "first", "won": 0}))
        return rewards[:, 0] - rewards[:, 1]

    found = {}
    for name, weights in (("first", (1.0, 0.0)), ("second", (0.0, 1.0)), ("sum", (0.5, 0.5))):
        models = {
            "mmoe": (frame, MMoE(weights=weights), Shown()),
            "shared bottom": (frame, MMoE(weights=weights, experts=1, width=64), Shown()),
            "one reward": (frame, MLP(), Logit()),
        }
        if name != "sum":
            models["alone"] = (frame[frame["objective"] == name], MLP(), Logit())
        for called, (rows, model, loss) in models.items():
            order = ranked(rows.reset_index(drop=True), model, loss) * (wanted @ np.array(weights)) > 0
            found[f"{name}: {called}"] = float(order.mean())
    return found


PARTS: dict[str, Callable[[int], Found]] = {
    "proportional": of_ensembles,
    "annotation_types": of_types,
    "position": of_places,
    "objectives": of_objectives,
    **_serving_claims.PARTS,
    **_echo_claims.PARTS,
}
CLAIMS = (
    Claim(
        "proportional",
        "error of shares: one reward as a vote, as a probability",
        ("one reward, a vote", "one reward, a probability"),
        ".130, .031",
        lambda vote, chance: vote > 0.08 and chance < vote,
    ),
    Claim(
        "proportional",
        "stagewise with 2, 3 and 5 (ours fits each reward from 8 starts)",
        ("stagewise, 2", "stagewise, 3", "stagewise, 5"),
        ".070, .016, .0034",
        lambda two, three, five: two > three > five and three < 0.03,
    ),
    Claim(
        "proportional",
        "joint with 2 and 3",
        ("joint, 2", "joint, 3"),
        ".018, .0016",
        lambda two, three: three < 0.005 and two > 3 * three,
    ),
    Claim(
        "proportional",
        "worst cosine with a taste: stagewise (our 8 starts bring it nearer), joint",
        ("stagewise, 3: cosine", "joint, 3: cosine"),
        "-.08 to .85, 1.00",
        lambda stage, together: stage < together - 0.01 and together > 0.98,
    ),
    Claim(
        "proportional",
        "joint weights, largest error",
        ("joint, 3: weights off",),
        "within .012",
        lambda off: off < 0.02,
    ),
    Claim(
        "proportional",
        "single votes, joint with 3: 10 of 300 pairs, 1 of 3000, 1 of 300",
        ("10 votes of 300", "1 votes of 3000", "1 votes of 300"),
        ".0035, .0052, .026",
        lambda ten, many, few: max(ten, many) < 0.02 and few > max(ten, many),
    ),
    Claim(
        "proportional",
        "best of 8, random tastes: mean rank and worst group, by one reward, by a member drawn",
        ("random: one, mean", "random: one, worst", "random: drawn, mean", "random: drawn, worst"),
        ".76, .51, .67, .53",
        lambda one, worst, drawn, its: drawn < one,
    ),
    Claim(
        "proportional",
        "the same, the second group opposed to the first",
        ("opposed: one, mean", "opposed: one, worst", "opposed: drawn, mean", "opposed: drawn, worst"),
        ".60, .23, .53, .43",
        lambda one, worst, drawn, its: drawn < one and its > worst + 0.1,
    ),
    Claim(
        "position",
        "a slope of -.35: pairs in order, plain, with a tower; of clicks without an effect",
        ("planted: plain", "planted: tower", "none: plain"),
        "Spearman .847-.913, .910-.938, -",
        lambda plain, tower, unbiased: tower >= plain + 0.005 and tower >= unbiased - 0.01,
    ),
    Claim(
        "position",
        "the slope that is found",
        ("planted: slope",),
        "-.35, not measured",
        lambda found: abs(found + 0.35) < 0.05,
    ),
    Claim(
        "position",
        "without an effect a tower costs nothing: plain, tower, slope",
        ("none: plain", "none: tower", "none: slope"),
        "not measured",
        lambda plain, tower, its: tower >= plain - 0.002 and abs(its) < 0.03,
    ),
    Claim(
        "position",
        "five rounds on its own clicks, from a ranker that knows nothing, a slope of -.5: start, plain, tower",
        ("five rounds: start", "five rounds: plain", "five rounds: tower"),
        "not measured",
        lambda start, plain, tower: tower >= plain + 0.1,
    ),
    Claim(
        "position",
        "NEGATIVE: after a ranker without errors the slope",
        ("no errors: slope",),
        "not recovered",
        lambda found: abs(found + 0.35) > 0.05,
    ),
    Claim(
        "objectives",
        "pairs in order, the objective with many choices: mmoe, shared bottom, alone, one reward for both",
        tuple(f"first: {name}" for name in ("mmoe", "shared bottom", "alone", "one reward")),
        "not measured",
        lambda mmoe, shared, alone, one: mmoe >= alone - 0.01,
    ),
    Claim(
        "objectives",
        "the one with a tenth of them",
        tuple(f"second: {name}" for name in ("mmoe", "shared bottom", "alone", "one reward")),
        "mmoe above a shared bottom (live)",
        lambda mmoe, shared, alone, one: mmoe > shared + 0.005 and mmoe > one + 0.1,
    ),
    Claim(
        "objectives",
        "their sum",
        tuple(f"sum: {name}" for name in ("mmoe", "shared bottom", "one reward")),
        "not measured",
        lambda mmoe, shared, one: mmoe > one + 0.1,
    ),
    Claim(
        "annotation_types",
        "recall of genuine, constructed, non-attitude (closed forms .815, .656, .75)",
        tuple(f"recall {name}" for name in TYPES),
        ".81-.82, .64-.66, .74-.76",
        lambda *found: bool(np.all(np.abs(np.subtract(found, (0.815, 0.656, 0.75))) < 0.03)),
    ),
    Claim(
        "annotation_types",
        "NEGATIVE: a coin passes as genuine one time in eight",
        ("coins taken for genuine",),
        ".12-.13",
        lambda found: abs(found - 0.125) < 0.02,
    ),
    Claim(
        "annotation_types",
        "accuracy: uniform, by P(genuine), types known",
        ("uniform: accuracy", "weighted: accuracy", "oracle: accuracy"),
        ".73-.86, .95-.97, .95-.98",
        lambda uniform, weighted, oracle: weighted >= uniform + 0.05 and abs(weighted - oracle) <= 0.02,
    ),
    Claim(
        "annotation_types",
        "the same with weights of 0 and 1 by the likeliest type",
        ("genuine alone: accuracy",),
        ".95-.97",
        lambda found: found > 0.9,
    ),
    Claim(
        "annotation_types",
        "weight of the frame's cue: uniform, by P(genuine), 0 and 1, types known",
        ("uniform: cue", "weighted: cue", "genuine alone: cue", "oracle: cue"),
        ".36-.75, -, .01-.07, .02-.09",
        lambda uniform, weighted, alone, oracle: uniform > 0.2 and weighted < 0.1 and alone < 0.1,
    ),
    Claim(
        "annotation_types",
        "where all is genuine weights change nothing: accuracy, uniform and weighted; share",
        ("all genuine: uniform: accuracy", "all genuine: weighted: accuracy", "all genuine: share genuine"),
        "not measured",
        lambda uniform, weighted, share: abs(uniform - weighted) < 0.005 and share > 0.97,
    ),
    *_serving_claims.CLAIMS,
    *_echo_claims.CLAIMS,
)


def main() -> int:
    return repeated(__doc__ or "", PARTS, CLAIMS, "pluralism_claims.jsonl")


if __name__ == "__main__":
    sys.exit(main())
