"""What the notes say of methods for people who disagree, and what is found here: figure beside figure.

Of each method that faro has, the small-scale claims of its note are repeated with faro's own version, the negative ones
too: what does not help is a row like what does. A row has the note's figure, or range over its seeds, what is found,
and the claim that both are to bear out; a claim that is not borne out is counted. Where faro's version or the scale
differs, the row says so; of those the direction is the claim, and not the figure. Of PAFO and SCPO the rows are those
of `people_groups`; of intervals of questions those of `people_ask`. The part `summaries` needs `make text`. A line per
part and seed stands in OUT/people_claims.jsonl.

`python -m benchmarks people_claims -- --seeds 3 --out out/people`
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from constraints import make_choices
from constraints.alternatives import joined
from faro.models import MLP, VPL, LatentClass, Linear, PReF, predict
from faro.people import pebs, questions
from faro.people.ceiling import bracket
from faro.people.majority import bradley_terry

from . import _lines, _model_claims, _summary_claims
from ._claims import Claim, Found, near
from ._claims import asked as asked_of
from ._claims import people as people_of
from .people import fit, logs, masked

# Calibration of raters (PEBS) ---------------------------------------------------------------------------------------

NOISE, RATINGS = 20.0, (1, 3, 5, 10, 20, 40)
SPREAD = np.log(1 + 0.16) ** 0.5  # of the logarithm of slopes of mean 10 and deviation 4


def raters(rng: np.random.Generator, count: int, ratings: Any, middle: float = 60.0, noise_only: bool = False) -> Any:
    """True slopes and intercepts, and the moments of so many ratings of each."""
    slope = rng.lognormal(np.log(10) - SPREAD**2 / 2, SPREAD, count)
    intercept = rng.normal(middle, 12, count)
    each = np.broadcast_to(ratings, count)
    whose = np.repeat(np.arange(count), each)
    x = rng.standard_normal(len(whose))
    seen = intercept[whose] + (0.0 if noise_only else slope[whose] * x)
    rated = seen + NOISE * rng.standard_normal(len(whose))
    return slope, intercept, pebs.moments(jnp.asarray(x), jnp.asarray(rated), jnp.asarray(whose), count)


def rmse(slope: Any, intercept: Any, true: tuple, which: Any = slice(None)) -> float:
    """Of a rating, its noise included, exactly over rewards N(0, 1)."""
    return float(np.sqrt(np.mean(_error(slope, intercept, true)[which]) + NOISE**2))


def _error(slope: Any, intercept: Any, true: tuple) -> np.ndarray:
    return (np.asarray(slope) - true[0]) ** 2 + (np.asarray(intercept) - true[1]) ** 2


def pairs(slope: Any, true: np.ndarray, noise: float) -> tuple[float, float]:
    """Accuracy and nll of which of two items a rater rates higher, over differences of rewards N(0, 2)."""
    nodes, share = np.polynomial.hermite_e.hermegauss(64)
    apart, share = 2**0.5 * nodes, share / share.sum()
    said = scipy.special.log_ndtr(np.asarray(slope)[:, None] * np.stack([apart, -apart])[:, None] / (noise * 2**0.5))
    chance = scipy.stats.norm.cdf(true[:, None] * apart / (NOISE * 2**0.5))
    nll = -(chance * said[0] + (1 - chance) * said[1]) @ share
    ahead = np.sign(np.asarray(slope)[:, None] * apart)
    right = np.where(ahead > 0, chance, np.where(ahead < 0, 1 - chance, 0.5)) @ share
    return float(right.mean()), float(nll.mean())


def of_pebs(seed: int) -> Found:
    with jax.enable_x64(True):
        return _of_pebs(np.random.default_rng([20, 18, 7, seed]))


def _of_pebs(rng: np.random.Generator) -> Found:
    found: Found = {}
    counts = rng.choice([3, 5, 8, 12, 20, 40], 600, p=[0.2, 0.2, 0.2, 0.15, 0.15, 0.1])
    _, _, pilot = raters(rng, 600, counts)
    law, (a, b, _) = pebs.population(pilot), pebs.pooled(pilot)
    noise = float(law.noise) ** 0.5
    plain = pebs.population(pilot, weighted=False)
    found["variance of slopes, weights"] = float(law.slope_variance)
    found["variance of slopes, plain moments"] = float(plain.slope_variance)
    for n in RATINGS:
        *true, moments = raters(rng, 4000, n)
        flat = np.full(4000, float(a)), np.full(4000, float(b))
        joint, only = pebs.calibrate(moments, law), pebs.calibrate(moments, law._replace(slope_variance=0.0))
        found[f"rmse pooled, {n}"] = rmse(*flat, true)
        found[f"rmse joint, {n}"] = rmse(joint.slope, joint.intercept, true)
        found[f"rmse intercept, {n}"] = rmse(only.slope, only.intercept, true)
        worse = _error(joint.slope, joint.intercept, true) > _error(*flat, true)
        found[f"hurt joint, {n}"] = float(worse.mean())
        accuracy, nll = pairs(joint.slope, true[0], noise)
        found[f"accuracy joint, {n}"], found[f"nll joint, {n}"] = accuracy, nll
        found[f"accuracy pooled, {n}"], found[f"nll pooled, {n}"] = pairs(flat[0], true[0], noise)
        gain = found[f"rmse pooled, {n}"] ** 2 - found[f"rmse joint, {n}"] ** 2
        found[f"forecast less gain, {n}"] = float(pebs.forecast(law, n, 1.0, 1.0)) - gain
        found[f"gain, {n}"] = gain
        if n < 3:
            continue
        least = pebs.least_squares(moments)
        found[f"rmse least squares, {n}"] = rmse(least.slope, least.intercept, true)
        alone = law._replace(noise=jnp.maximum(least.residual / (n - 2), 1e-6))
        found[f"rmse own variance, {n}"] = rmse(*pebs.separable(moments, alone), true)
        found[f"rmse separable, {n}"] = rmse(*pebs.separable(moments, law), true)
        accuracy, nll = pairs(least.slope, true[0], noise)
        found[f"accuracy least squares, {n}"], found[f"nll least squares, {n}"] = accuracy, nll
        if n == 5:
            apart = np.abs(true[1] - 60) / 12
            for low, high in ((0, 0.5), (2, np.inf)):
                found[f"hurt joint, 5, {low} to {high} deviations"] = float(
                    worse[(apart >= low) & (apart < high)].mean()
                )
    found["break-even"] = float(min(n for n in RATINGS if found[f"rmse joint, {n}"] < found[f"rmse pooled, {n}"]))
    enough = [n for n in RATINGS if f"rmse least squares, {n}" in found]
    found["break-even least squares"] = float(
        min(n for n in enough if found[f"rmse least squares, {n}"] < found[f"rmse pooled, {n}"])
    )
    # a reward that is noise
    _, _, pilot = raters(rng, 600, counts, noise_only=True)
    law, (a, b, _) = pebs.population(pilot), pebs.pooled(pilot)
    slope, *true, moments = raters(rng, 4000, 10, noise_only=True)
    true = [0 * slope, *true]  # rewards say nothing of ratings
    for name, arm in (("joint", law), ("intercept", law._replace(slope_variance=0.0))):
        lines = pebs.calibrate(moments, arm)
        found[f"noise: rmse {name}"] = rmse(lines.slope, lines.intercept, true)
    found["noise: rmse pooled"] = rmse(float(a), float(b), true)
    # a minority that rates lower, and little
    most, few = raters(rng, 3600, 20), raters(rng, 400, 4, middle=35.0)
    true = [np.concatenate(both) for both in zip(most[:2], few[:2], strict=True)]
    moments = jax.tree.map(lambda *both: jnp.concatenate(both), most[2], few[2])
    small = np.arange(4000) >= 3600
    law = pebs.population(moments)
    laws = [pebs.population(moments, jnp.asarray(which)) for which in (~small, small)]
    of_group = jax.tree.map(lambda *both: jnp.where(jnp.asarray(small), both[1], both[0]), *laws)
    for name, prior in (("one law", law), ("a law a group", of_group)):
        lines = pebs.calibrate(moments, prior)
        found[f"minority, {name}: bias"] = float(np.mean((np.asarray(lines.intercept) - true[1])[small]))
        found[f"minority, {name}: rmse"] = rmse(lines.slope, lines.intercept, true, small)
    return found


# What one aggregate cannot do ---------------------------------------------------------------------------------------


def of_aggregates(seed: int) -> Found:
    """51/49, Borda against expected utility, the plug-in ceiling of coins, and one reward for two kinds of people."""
    found: Found = {"logit of 51/49": float(np.log(0.51 / 0.49)), "proportional, unhappy": 2 * 0.51 * 0.49}
    ahead = np.array([[0, 0, 1], [1, 2, 2]])
    reward = bradley_terry(ahead, np.full(3, 0.6), 1e-9)
    found |= {f"Bradley-Terry of item {place}": float(value) for place, value in enumerate(reward - reward.mean())}
    rng = np.random.default_rng([20, 18, 8, seed])
    coins = rng.integers(0, 2, (4000, 3)).ravel()
    found["ceiling of coins, 3 votes"] = float(
        bracket(np.stack([coins, 1 - coins], 1).astype(float), np.repeat(np.arange(4000), 3))[1]
    )
    count, kinds, each, d = 60, np.arange(60) >= 55, 40, 8
    first = rng.standard_normal(d)
    taste = np.where(kinds[:, None], -first + 0.5 * rng.standard_normal(d), first)
    x = rng.standard_normal((count, each, d))
    label = (rng.random((count, each)) < scipy.special.expit(4 * np.einsum("und,ud->un", x, taste))).astype(float)
    fresh = rng.standard_normal((count, 500, d))
    right = np.einsum("und,ud->un", fresh, taste) > 0
    before = people_of(x[:, :20], label[:, :20])
    for name, model in (("one reward", Linear()), ("kinds", LatentClass(support=20, kinds=2))):
        params = fit(model, jax.random.key(seed), asked_of(x[:, 20:], label[:, 20:]), before, 300, 2e-3)
        said = logs(model, params, asked_of(fresh, np.zeros(fresh.shape[:2])), before)
        hit = ((np.asarray(said)[:, 0] > np.asarray(said)[:, 1]).reshape(right.shape) == right).mean(1)
        found |= {f"{name}: majority": float(hit[~kinds].mean()), f"{name}: minority": float(hit[kinds].mean())}
    return found


# A latent person (VPL) ----------------------------------------------------------------------------------------------

GOALS = np.array([[7.0, 1.0], [7.0, 10.0]])
AREA = np.array([8.0, 11.0])


def of_vpl(seed: int, train: int = 400, new: int = 200, steps: int = 400) -> Found:
    """Two goals: each person wants to be near one of them; 16 pairs are told, 16 asked."""
    rng, found = np.random.default_rng([20, 18, 9, seed]), {}

    def drawn(people: int) -> Any:
        goal = GOALS[rng.integers(0, 2, people)]
        at = rng.random((people, 32, 2, 2)) * AREA
        far = np.linalg.norm(at - goal[:, None, None], axis=-1)
        first = (far[..., 0] < far[..., 1]).astype(float)
        flat = (2 * at / AREA - 1).reshape(-1, 2, 2)
        chosen = np.stack([first, 1 - first], -1).reshape(-1, 2)
        every = make_choices(flat, chosen, unit=np.repeat(np.arange(people), 32))
        of_people = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(people, 32, *np.shape(leaf)[1:]), every)
        before = jax.tree.map(lambda leaf: leaf[:, :16], of_people)
        return before, jax.tree.map(lambda leaf: leaf[:, 16:].reshape(-1, *leaf.shape[2:]), of_people)

    (taught, asked), (told, questions_of) = drawn(train), drawn(new)
    others = jax.tree.map(lambda leaf: leaf[rng.permutation(new)], told)

    def accuracy(model: Any, params: Any, people: Any) -> float:
        said = np.asarray(logs(model, params, questions_of, people))
        return float(((said[:, 0] > said[:, 1]) == (np.asarray(questions_of.chosen)[:, 0] > 0.5)).mean())

    plain = MLP(widths=(32, 32))
    found["one reward"] = accuracy(plain, fit(plain, jax.random.key(seed), asked, taught, steps), told)
    for name, beta, dropout in (("beta 1", 1, 0.0), ("beta 30", 30, 0.0), ("beta 30, dropout", 30, 0.5)):
        model = VPL(support=16, size=8, width=32, kl=beta / 16, dropout=dropout)
        params = fit(model, jax.random.key(seed), asked, taught, steps)
        found[f"VPL, {name}"] = accuracy(model, params, told)
        found[f"VPL, {name}: somebody else's answers"] = accuracy(model, params, others)
        found[f"VPL, {name}: active units"] = float(np.sum(model.latent(params, masked(told, 16)).active()))
    return found


# Few directions (PReF) ----------------------------------------------------------------------------------------------


def of_pref(seed: int, steps: int = 300) -> Found:
    """Six directions of 64 features, 150 people with 20 answers each; then 40 new people are asked."""
    rng, found = np.random.default_rng([20, 18, 10, seed]), {}
    features = rng.standard_normal((600, 64))
    ways = rng.standard_normal((64, 6)) / 8
    ways = ways / ways.std(0) / 8 * np.array([1.6, 1.4, 1.2, 0.6, 0.5, 0.4])
    of_pairs = features @ ways
    taste, new = rng.standard_normal((150, 6)), rng.standard_normal((40, 6))

    def answers(own: np.ndarray, rows: np.ndarray) -> np.ndarray:
        margin = 4 * np.einsum("unq,uq->un", of_pairs[rows], own)
        return (rng.random(margin.shape) < scipy.special.expit(margin)).astype(float)

    rows = np.stack([rng.permutation(400)[:20] for _ in taste])
    label = answers(taste, rows)
    told, asked = people_of(features[rows[:, :10]], label[:, :10]), asked_of(features[rows[:, 10:]], label[:, 10:])
    every = np.broadcast_to(np.arange(600), (40, 600))
    said = answers(new, every)
    test = said[:, 400:]
    model = PReF(support=10, rank=6)
    params = fit(model, jax.random.key(seed), asked, told, steps, 2e-3)
    plain = fit(Linear(), jax.random.key(seed), asked, told, steps, 2e-3)
    shown = asked_of(features[None], np.zeros((1, 600)))
    common, directions = (np.asarray(part) for part in model.pieces(params, shown))
    v = jnp.asarray(np.concatenate([(common[:, 0] - common[:, 1])[:, None], directions[:, 0] - directions[:, 1]], 1))
    prior = questions.Gaussian(jnp.eye(1, 7)[0], jnp.diag(jnp.asarray([0.0, *[1.0] * 6])))
    pool, later = v[:400], v[400:]

    def auc(scores: np.ndarray) -> float:
        return float(np.mean([_auc(own, truth) for own, truth in zip(scores, test, strict=True)]))

    ask = jax.jit(jax.vmap(lambda own: questions.interview(prior, pool, own, questions.pref, 40)))
    _, persons = ask(jnp.asarray(said[:, :400]))
    order = np.stack([rng.permutation(400)[:40] for _ in new])
    for count in (5, 10, 20, 40):
        found[f"active, {count}"] = auc(np.asarray(persons.mean)[:, count - 1] @ np.asarray(later).T)
        first = order[:, :count]
        given = np.take_along_axis(said, first, 1)
        of_random = jax.vmap(functools.partial(questions.posterior, prior))(pool[first], jnp.asarray(given))
        found[f"random, {count}"] = auc(np.asarray(of_random.mean) @ np.asarray(later).T)
    alone = [_ridge(features[own[:20]], said[at][own[:20]]) for at, own in enumerate(order)]
    found["own fit, 20"] = auc(np.stack(alone) @ features[400:].T)
    whole = [_ridge(features[:400], said[at][:400]) for at in range(40)]
    found["own fit, 400"] = auc(np.stack(whole) @ features[400:].T)
    rewards = np.asarray(joined(predict(Linear(), plain, shown).scores))[:, 0]
    found["one reward"] = auc(np.broadcast_to(rewards[400:], (40, 200)))
    found["oracle"] = auc(np.einsum("nq,uq->un", of_pairs[400:], new))
    return found


def _auc(scores: np.ndarray, truth: np.ndarray) -> float:
    ranks, ones = scipy.stats.rankdata(scores), truth.sum()
    return (ranks[truth > 0].sum() - ones * (ones + 1) / 2) / (ones * (len(truth) - ones))


def _ridge(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Logistic weights of least nll + |w|^2 / 2, by Newton's steps."""
    w = np.zeros(x.shape[1])
    for _ in range(25):
        chance = scipy.special.expit(x @ w)
        curvature = (x.T * (chance * (1 - chance))) @ x + np.eye(len(w))
        w -= np.linalg.solve(curvature, x.T @ (chance - label) + w)
    return w


# What is told -------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[int], Found]] = {
    "rater_calibration": of_pebs,
    "disagreement": of_aggregates,
    "vpl": of_vpl,
    "pref": of_pref,
    **_model_claims.PARTS,
    **_summary_claims.PARTS,
}


CLAIMS = (
    *(
        Claim(
            "rater_calibration",
            f"rmse after {n}: pooled, joint",
            (f"rmse pooled, {n}", f"rmse joint, {n}"),
            note,
            lambda pooled, joint, close=close: abs(joint - close) < 0.2 and joint <= pooled,
        )
        for n, note, close in (
            (1, "23.6, 22.8-22.9", 22.85),
            (3, "23.6-23.8, 22.0-22.1", 22.05),
            (5, "23.6-23.8, 21.6", 21.6),
            (10, "23.6-23.7, 21.0-21.1", 21.05),
            (20, "23.6-23.7, 20.7", 20.7),
            (40, "23.7, 20.4", 20.4),
        )
    ),
    *(
        Claim(
            "rater_calibration",
            f"share hurt after {n}",
            (f"hurt joint, {n}",),
            note,
            lambda found, low=low, high=high: low - 0.02 <= found <= high + 0.02,
        )
        for n, note, low, high in (
            (1, ".41-.42", 0.41, 0.42),
            (3, ".33-.35", 0.33, 0.35),
            (5, ".31", 0.31, 0.31),
            (10, ".24-.25", 0.24, 0.25),
            (20, ".18-.20", 0.18, 0.20),
            (40, ".12-.13", 0.12, 0.13),
        )
    ),
    Claim(
        "rater_calibration",
        "break-even: ratings, of joint and of own lines",
        ("break-even", "break-even least squares"),
        "1, 10",
        lambda joint, least: joint == 1 and least > joint,
    ),
    Claim(
        "rater_calibration",
        "NEGATIVE: after 3 own variance is worse than pooled, pooled variance not",
        ("rmse own variance, 3", "rmse pooled, 3", "rmse separable, 3"),
        "25.2-25.4, 23.7, 22.4",
        lambda own, pooled, weights: own > pooled > weights,
    ),
    Claim(
        "rater_calibration",
        "NEGATIVE: own lines after 3 are far worse",
        ("rmse least squares, 3",),
        "48-153",
        lambda found: found > 30,
    ),
    Claim(
        "rater_calibration",
        "NEGATIVE: accuracy of pairs does not move: pooled, joint, own lines after 5",
        ("accuracy pooled, 5", "accuracy joint, 5", "accuracy least squares, 5"),
        ".643-.647 twice, .592-.597",
        lambda pooled, joint, least: abs(pooled - joint) < 5e-4 and least < pooled - 0.03,
    ),
    Claim(
        "rater_calibration",
        "gains in nll of pairs are small: pooled, joint after 40",
        ("nll pooled, 40", "nll joint, 40"),
        ".628-.631, .623-.627",
        lambda pooled, joint: 0 < pooled - joint < 0.01,
    ),
    Claim(
        "rater_calibration",
        "NEGATIVE: losses are not: own lines after 5",
        ("nll least squares, 5",),
        ".73-.75",
        lambda found: found > 0.7,
    ),
    Claim(
        "rater_calibration",
        "NEGATIVE: a reward of noise gains as much: pooled, intercept, joint after 10",
        ("noise: rmse pooled", "noise: rmse intercept", "noise: rmse joint"),
        "23.3-23.4, 20.7-20.8, the same",
        lambda pooled, only, joint: pooled - only > 1 and abs(only - joint) < 0.1,
    ),
    Claim(
        "rater_calibration",
        "hurt after 5: typical raters, extreme ones",
        ("hurt joint, 5, 0 to 0.5 deviations", "hurt joint, 5, 2 to inf deviations"),
        ".6, .00",
        lambda typical, extreme: typical > 0.5 and extreme < 0.03,
    ),
    Claim(
        "rater_calibration",
        "NEGATIVE: a minority that rates little is pulled to the others: bias, with a law a group",
        ("minority, one law: bias", "minority, a law a group: bias"),
        "+8, within 1",
        lambda one, own: one > 5 and abs(own) < 2,
    ),
    Claim(
        "rater_calibration",
        "its rmse",
        ("minority, one law: rmse", "minority, a law a group: rmse"),
        "23.1-23.3, 21.7-21.8",
        lambda one, own: own < one - 0.5,
    ),
    Claim(
        "rater_calibration",
        "forecast within a fifth after 10: forecast less gain, gain",
        ("forecast less gain, 10", "gain, 10"),
        "118-130 against 112-116",
        lambda off, gain: abs(off) < 0.2 * gain,
    ),
    Claim(
        "disagreement",
        "logit of 51/49; unhappy if served in proportion",
        ("logit of 51/49", "proportional, unhappy"),
        ".0400, .4998",
        near(0.04, 0.4998, by=5e-5),
    ),
    Claim(
        "disagreement",
        "Bradley-Terry orders as Borda does, not by utility (.6, .62, 4.0)",
        tuple(f"Bradley-Terry of item {place}" for place in range(3)),
        ".272, 0, -.272",
        near(0.272, 0, -0.272, by=1e-3),
    ),
    Claim(
        "disagreement",
        "the plug-in ceiling of coins with 3 votes",
        ("ceiling of coins, 3 votes",),
        ".75",
        near(0.75, by=0.01),
    ),
    Claim(
        "disagreement",
        "NEGATIVE: one reward of 55 and 5 people: majority, minority",
        ("one reward: majority", "one reward: minority"),
        ".974, .150",
        lambda most, few: most > 0.9 and few < 0.3,
    ),
    Claim(
        "disagreement",
        "two kinds (the note: hard EM of 20 pairs; here after 20 answers)",
        ("kinds: majority", "kinds: minority"),
        ".987, .959",
        lambda most, few: few > 0.9 and most > 0.9,
    ),
    Claim(
        "vpl",
        "one reward, latent person (the note: 2,000 sets; here 400 people)",
        ("one reward", "VPL, beta 1"),
        ".659-.665, .918-.935",
        lambda one, own: own - one >= 0.15,
    ),
    Claim("vpl", "active of 8", ("VPL, beta 1: active units",), "8", lambda found: found > 0),
    Claim(
        "vpl",
        "at beta 30 the published encoder collapses; ours, whose points are fixed, does not: accuracy, active",
        ("VPL, beta 30", "VPL, beta 30: active units"),
        ".646-.655, 0",
        lambda accuracy, active: active > 0 and accuracy > 0.9,
    ),
    Claim(
        "vpl",
        "the same with dropout of the common part: accuracy, active",
        ("VPL, beta 30, dropout", "VPL, beta 30, dropout: active units"),
        "not measured",
        lambda accuracy, active: True,
    ),
    Claim(
        "vpl",
        "somebody else's answers: at the level of one reward, or below",
        ("VPL, beta 1: somebody else's answers", "one reward"),
        "not measured",
        lambda other, one: other < one + 0.02,
    ),
    Claim(
        "pref",
        "10 questions, active and random",
        ("active, 10", "random, 10"),
        ".84-.85, .78",
        lambda active, random: active > random,
    ),
    Claim(
        "pref",
        "active at 10 against random at 20",
        ("active, 10", "random, 20"),
        ".84-.85, .84",
        lambda active, random: active >= random - 0.02,
    ),
    Claim(
        "pref",
        "5, 20 and 40 questions, active",
        ("active, 5", "active, 20", "active, 40"),
        ".77-.79, .88, .89",
        lambda five, twenty, forty: five < twenty <= forty + 0.01,
    ),
    Claim(
        "pref",
        "NEGATIVE: an own fit is far worse after 20, and better after 400",
        ("own fit, 20", "own fit, 400", "active, 40"),
        ".684, .959, .89",
        lambda few, many, active: few < active - 0.1 and many > active,
    ),
    Claim(
        "pref",
        "NEGATIVE: one reward is a coin; the oracle",
        ("one reward", "oracle"),
        ".498, .983",
        lambda one, oracle: abs(one - 0.5) < 0.05 and oracle >= 0.95,
    ),
    *_model_claims.CLAIMS,
    *_summary_claims.CLAIMS,
)


def told(lines: dict[tuple[str, int], Found], seeds: int, claims: Sequence[Claim]) -> int:
    """The table, and whether every claim is borne out; with several seeds two standard errors beside each figure."""
    borne, part = 0, ""
    for claim in claims:
        of_seeds = [lines[claim.part, seed] for seed in range(seeds)]
        values = np.array([[found[name] for name in claim.figures] for found in of_seeds])
        holds = claim.holds(*values.mean(0))
        borne += holds
        if claim.part != part:
            part = claim.part
            print(f"\n{part}")
        errors = 2 * values.std(0, ddof=1) / seeds**0.5 if seeds > 1 else [None] * values.shape[1]
        each = zip(values.mean(0), errors, strict=True)
        shown = ", ".join(f"{mean:.4g}" + ("" if error is None else f" ±{error:.2g}") for mean, error in each)
        print(f"  {claim.says:98} note {claim.note:32} found {shown:28} {'' if holds else 'NOT BORNE OUT'}")
    print(f"{borne} of {len(claims)} claims borne out")
    return 0 if borne == len(claims) else 1


def repeated(text: str, parts: Mapping[str, Callable[[int], Found]], claims: Sequence[Claim], file: str) -> int:
    """Every part at every seed, of which a line is kept in a file, and what is told of them."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(parts), help="some of them, by name")
    parser.add_argument("--out", type=Path, default=Path("out/people"))
    options = parser.parse_args()
    path, chosen = options.out / file, options.parts.split(",")
    if unknown := set(chosen) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))} (known: {', '.join(parts)})")
    known = _lines.finished(path, lambda line: (line["part"], line["seed"]))
    for part in chosen:
        for seed in range(options.seeds):
            if (part, seed) not in known:
                line = {"part": part, "seed": seed, "found": parts[part](seed)}
                known[part, seed] = line
                _lines.add(path, line)
    of_parts = [claim for claim in claims if claim.part in chosen]
    return told({key: line["found"] for key, line in known.items()}, options.seeds, of_parts)


def main() -> int:
    return repeated(__doc__ or "", PARTS, CLAIMS, "people_claims.jsonl")


if __name__ == "__main__":
    sys.exit(main())
