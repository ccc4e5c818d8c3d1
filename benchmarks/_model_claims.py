"""Claims of notes on summaries, distributions, points, and mixtures: parts of `people_claims`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from constraints import make_choices
from constraints.alternatives import joined
from faro.models import GPO, MLP, PLUS, VPL, Distributional, IdealPoint, InputSpec, Linear, LoRe, predict
from faro.people import kinds
from faro.people.mixed_logit import Panel
from faro.voting import maximin

from ._claims import Claim, Found, asked, near, people
from .people import figures, fit, logs, parts

# Summaries (PLUS) ---------------------------------------------------------------------------------------------------


def of_plus(seed: int, train: int = 8000, new: int = 2000, steps: int = 600) -> Found:
    """Four users, two tastes of R^8 and their opposites; three pairs are told, and every answer follows the taste."""
    rng, found = np.random.default_rng([20, 20, 1, seed]), {}
    ways = rng.standard_normal((2, 8))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    tastes = np.concatenate([ways, -ways])

    def drawn(count: int, questions: int) -> Any:
        kind = rng.integers(0, 4, count)
        x = rng.standard_normal((count, 3 + questions, 8))
        label = (np.einsum("und,ud->un", x, tastes[kind]) > 0).astype(float)
        return people(x[:, :3], label[:, :3]), asked(x[:, 3:], label[:, 3:]), kind

    (told, questions, _), (before, later, kind) = drawn(train, 2), drawn(new, 4)
    others = jax.tree.map(lambda leaf: leaf[rng.permutation(new)], before)
    first = np.asarray(later.chosen)[:, 0] > 0.5

    def right(model: Any, params: Any, of: Any) -> float:
        said = np.asarray(logs(model, params, later, of))
        return float(((said[:, 0] > said[:, 1]) == first).mean())

    def taught(model: Any, key: int) -> Any:
        return fit(model, jax.random.key(key), questions, told, steps)

    plain = Linear()
    found["one phrase"] = right(plain, taught(plain, seed), before)
    whole = PLUS(support=3)
    frozen = dataclasses.replace(whole, frozen=True)
    fitted = {"PLUS": (whole, taught(whole, seed)), "frozen": (frozen, taught(frozen, seed))}
    for name, (model, params) in fitted.items():
        found[name] = right(model, params, before)
        found[f"{name}, shuffled"] = right(model, params, others)
        found[f"{name}, phrases"] = float(len(set(np.argmax(model.summaries(params, before), -1).tolist())))
    for name, model in (("raw history", GPO(support=3, width=16)), ("latent vector", VPL(support=3))):
        params = taught(model, seed)
        found[name], found[f"{name}, shuffled"] = right(model, params, before), right(model, params, others)
    params = fitted["PLUS"][1]
    own = np.asarray(whole.summaries(params, before)).argmax(-1)
    opposed = own[[rng.choice(np.flatnonzero(kind == (of + 2) % 4)) for of in kind]]  # phrase of somebody opposed
    given = np.asarray(whole.given(params, later))
    ahead = given[:, 0] - given[:, 1]  # [n, phrases]
    rows, whose = np.arange(len(ahead)), np.asarray(later.unit)
    before_edit, after_edit = (ahead[rows, phrase[whose]] > 0 for phrase in (own, opposed))
    found["edited phrase flips"] = float((before_edit != after_edit).mean())
    language = {name: params[name] for name in ("summariser", "share")}
    other = taught(whole, seed + 1000)
    found["rewards of another summariser"] = right(whole, {**other, **language}, before)
    again = {**whole.init(jax.random.key(seed + 2000), InputSpec.of(questions)), **language}
    refit = fit(frozen, jax.random.key(seed), questions, told, steps, begun=again)
    found["rewards fitted anew"] = right(whole, refit, before)
    found["oracle"] = informed(tastes, before, later)
    return found


def informed(tastes: np.ndarray, before: Any, later: Any) -> float:
    """How often who knows the tastes that there are is right: by a vote of those that all told answers follow."""
    history, answers = np.asarray(before.items)[:, :, 0], np.asarray(before.chosen)[:, :, 0] > 0.5
    agree = ((np.einsum("usd,kd->usk", history, tastes) > 0) == answers[..., None]).all(1)
    votes = np.einsum("nd,kd->nk", np.asarray(later.items)[:, 0], tastes) > 0
    ahead = (agree[np.asarray(later.unit)] * (2 * votes - 1)).sum(-1)
    first = np.asarray(later.chosen)[:, 0] > 0.5
    return float(np.where(ahead == 0, 0.5, (ahead > 0) == first).mean())


def of_traits(
    seed: int, train: int = 8000, new: int = 2000, steps: int = 600, traits: int = 5, before: int = 10
) -> Found:
    """Every person has each of five traits or its opposite, apart from the others: 32 tastes of R^8, ten pairs told."""
    rng, found = np.random.default_rng([20, 20, 5, seed]), {}
    ways = np.linalg.qr(rng.standard_normal((8, 8)))[0][:traits]
    tastes = (2.0 * np.array(list(np.ndindex(*[2] * traits))) - 1) @ ways

    def drawn(count: int, questions: int) -> Any:
        kind = rng.integers(0, len(tastes), count)
        x = rng.standard_normal((count, before + questions, 8))
        label = (np.einsum("und,ud->un", x, tastes[kind]) > 0).astype(float)
        return people(x[:, :before], label[:, :before]), asked(x[:, before:], label[:, before:])

    (told, questions), (history, later) = drawn(train, 2), drawn(new, 4)
    others = jax.tree.map(lambda leaf: leaf[rng.permutation(new)], history)
    for name, model in {
        "one phrase of 12": PLUS(support=before),
        "one phrase of 32": PLUS(support=before, phrases=len(tastes)),
        "five of two phrases": PLUS(support=before, phrases=2, length=traits),
        "raw history": GPO(support=before, width=16),
    }.items():
        params = fit(model, jax.random.key(seed), questions, told, steps)
        for case, of in (("", history), (", shuffled", others)):
            found[name + case] = figures(logs(model, params, later, of), later)["accuracy"]
    found["oracle"] = informed(tastes, history, later)
    return found


# A law of the reward (DPL) ------------------------------------------------------------------------------------------

AT = (0.75, 0.85, 0.95)


def of_distributional(seed: int, pairs: int = 10_000, steps: int = 600) -> Found:
    """One feature s in [0, 1]; utility s below .8, above it 2 s or 0 by a coin in every choice: its mean is s."""
    rng, found = np.random.default_rng([20, 20, 2, seed]), {}
    s = rng.random((pairs, 2))
    utility = np.where(s < 0.8, s, 2 * s * rng.integers(0, 2, s.shape))
    first = (utility[:, 0] > utility[:, 1]) + 0.5 * (utility[:, 0] == utility[:, 1])
    chosen = np.stack([first, 1 - first], -1)
    whole = make_choices((s[..., None] - 0.5) * 12**0.5, chosen)
    at = jnp.asarray((np.asarray(AT) - 0.5) * 12**0.5)
    grid = make_choices(jnp.stack([at, at], 1)[..., None], np.full((3, 2), 0.5))
    nobody = people(np.zeros((1, 1, 1)), np.zeros((1, 1)))
    models: dict[str, Any] = {
        "one number": MLP(widths=(64, 64)),
        "normal": Distributional(widths=(64, 64)),
        "atoms": Distributional(head="atoms", widths=(64, 64), atoms=20),
    }
    for name, model in models.items():
        params = fit(model, jax.random.key(seed), whole, nobody, steps)
        if name == "one number":
            mean = joined(predict(model, params, grid).scores)[:, 0]
        else:
            mean, variance = (part[:, 0] for part in model.moments(params, grid))
            found |= {f"{name}: deviation at {x:g}": float(v**0.5) for x, v in zip(AT, variance, strict=True)}
            below = (whole.items[:, :, 0] < 0.25 * 12**0.5)[..., None]
            there = whole.replace(available=below[..., 0])
            found[f"{name}: share seen"] = model.hidden_context(params, whole)
            found[f"{name}: share seen below .75"] = model.hidden_context(params, there)
            found |= {
                f"{name}: 1 % quantile at {x:g}": float(v)
                for x, v in zip(AT, model.quantile(params, grid)[:, 0], strict=True)
            }
        found |= {f"{name}: at {x:g}": float(v) for x, v in zip(AT, mean, strict=True)}
    return found


# Kinds and the worst served of them (MaxMin) ------------------------------------------------------------------------


def of_kinds(seed: int, each: int = 20, d: int = 8) -> Found:
    """55 people of a taste, 5 of one near its opposite, 20 noisy answers each; one law over 200 answers for both."""
    rng, found = np.random.default_rng([20, 20, 3, seed]), {}
    first = rng.standard_normal(d)
    few = np.arange(60) >= 55
    taste = np.where(few[:, None], -first + 0.5 * rng.standard_normal(d), first)
    x = rng.standard_normal((60, each, d))
    label = (rng.random((60, each)) < scipy.special.expit(4 * np.einsum("und,ud->un", x, taste))).astype(float)
    told = asked(x, label)
    items = np.asarray(told.items)
    panel = Panel(*map(jnp.asarray, (items, told.available, told.chosen, told.unit, np.ones(len(items)))))
    fresh = rng.standard_normal((2000, d))
    right = fresh @ taste.T > 0
    said = {}
    for name, count, hard in (("one reward", 1, True), ("kinds, hard", 2, True), ("kinds, soft", 2, False)):
        fitted = said[name] = kinds.fit(panel, count, restarts=5, rounds=20, hard=hard, seed=seed)
        hits = ((fresh @ fitted.weights.T > 0)[:, :, None] == right[:, None]).mean(0)  # [kinds, people]
        for who, whose in (("majority", ~few), ("minority", few)):
            found[f"{name}: {who}"] = float(hits[:, whose].mean(1).max())  # the best kind of each taste: reads groups
        own = np.take_along_axis(hits, fitted.member.argmax(-1)[None], 0)[0]
        found[f"{name}: minority, by their own answers"] = float(own[few].mean())
        found[f"{name}: starts at the best"] = float(np.mean(fitted.ends > fitted.ends.max() - 0.1))
    answers = rng.standard_normal((200, d))
    answers /= np.linalg.norm(answers, axis=1, keepdims=True)
    worth = np.stack([answers @ taste[~few].mean(0), answers @ taste[few].mean(0)])
    values = said["kinds, soft"].weights @ answers.T
    laws = {
        "one reward": np.eye(200)[(answers @ said["one reward"].weights[0]).argmax()],
        "smallest of expectations": maximin(values).chances,
        "smallest of samples": np.eye(200)[values.min(0).argmax()],
        "in proportion": said["kinds, soft"].share @ np.eye(200)[values.argmax(1)],
    }
    for name, law in laws.items():
        found |= {f"law of {name}: {who}": float(own @ law) for who, own in zip(("most", "few"), worth, strict=True)}
        found[f"law of {name}: least kind"] = float((values @ law).min())
    return found


# A point (PAL) ------------------------------------------------------------------------------------------------------


def of_points(seed: int, train: int = 400, new: int = 200, steps: int = 300) -> Found:
    """Points in R^2 mixed from three; ten answers told, ten asked; liking falls with distance, or along a direction."""
    rng, found = np.random.default_rng([20, 20, 4, seed]), {}
    angles = 2 * np.pi * np.arange(3) / 3
    three = 1.5 * np.stack([np.cos(angles), np.sin(angles)], 1)

    def drawn(count: int, peaked: bool) -> Any:
        point = rng.dirichlet(np.full(3, 0.3), count) @ three
        x = 1.5 * rng.standard_normal((count, 20, 2, 2))
        apart = ((x - point[:, None, None]) ** 2).sum(-1)
        liked = -apart if peaked else 2 * np.einsum("unkd,ud->unk", x, point)
        p = scipy.special.expit(liked[..., 0] - liked[..., 1])
        first = (rng.random(p.shape) < p).astype(float)
        chosen = np.stack([first, 1 - first], -1).reshape(-1, 2)
        whole = make_choices(x.reshape(-1, 2, 2), chosen, unit=np.repeat(np.arange(count), 20))
        return *parts(whole, 20, 10), float(np.maximum(p, 1 - p)[:, 10:].mean())

    for law, peaked in (("peaked", True), ("straight", False)):
        (told, questions, _), (before, later, best) = drawn(train, peaked), drawn(new, peaked)
        found[f"{law}: oracle that knows the person"] = best
        models = {"one reward": Linear(), "lore": LoRe(rewards=3), "ideal point": IdealPoint(prototypes=3, size=2)}
        for name, model in models.items():
            params = fit(model, jax.random.key(seed), questions, told, steps)
            found[f"{law}: {name}"] = figures(logs(model, params, later, before), later)["accuracy"]
    return found


PARTS = {
    "plus": of_plus,
    "traits": of_traits,
    "distributional": of_distributional,
    "kinds": of_kinds,
    "ideal_point": of_points,
}

CLAIMS = (
    Claim(
        "plus",
        "one phrase, frozen summariser, PLUS (at least .02 and .15 between them)",
        ("one phrase", "frozen", "PLUS"),
        ".49-.50, .55-.59, .835-.848",
        lambda one, frozen, own: own >= frozen + 0.15 and frozen >= one + 0.02,
    ),
    Claim(
        "plus",
        "shuffled summaries are a coin: frozen, PLUS",
        ("frozen, shuffled", "PLUS, shuffled"),
        ".49-.51, .50-.51",
        near(0.5, 0.5, by=0.03),
    ),
    Claim("plus", "phrases used, of 12", ("PLUS, phrases",), "5-6", lambda found: found > 1),
    Claim(
        "plus",
        "the phrase of somebody opposed flips the choice (share of pairs)",
        ("edited phrase flips",),
        "flips",
        lambda found: found > 0.7,
    ),
    Claim(
        "plus",
        "NEGATIVE: rewards fitted with another summariser do not read these phrases; fitted anew they do",
        ("rewards of another summariser", "rewards fitted anew", "PLUS"),
        "not measured",
        lambda other, anew, own: other < own - 0.1 and abs(anew - own) < 0.02,
    ),
    Claim(
        "plus",
        "no summary: raw history by gpo, a latent vector by vpl, who knows the tastes",
        ("raw history", "latent vector", "oracle"),
        "not measured",
        lambda raw, latent, oracle: max(raw, latent) <= oracle + 0.01,
    ),
    Claim(
        "plus",
        "somebody else's history is a coin: gpo, vpl",
        ("raw history, shuffled", "latent vector, shuffled"),
        "not measured",
        near(0.5, 0.5, by=0.03),
    ),
    Claim(
        "traits",
        "a summary of several phrases says traits that people have apart: one phrase of 12, of 32, five of two",
        ("one phrase of 12", "one phrase of 32", "five of two phrases"),
        "not measured",
        lambda few, many, own: own >= max(few, many) + 0.01,
    ),
    Claim(
        "traits",
        "shuffled it is a coin",
        ("five of two phrases, shuffled",),
        "not measured",
        near(0.5, by=0.03),
    ),
    Claim(
        "traits",
        "the history itself, by gpo, and who knows the 32 tastes",
        ("raw history", "oracle"),
        "not measured",
        lambda raw, oracle: raw <= oracle + 0.01,
    ),
    Claim(
        "distributional",
        "NEGATIVE: one number dips above .8: at .75, .85, .95",
        tuple(f"one number: at {x:g}" for x in AT),
        "2.0-3.5, -.0-1.6",
        lambda low, mid, high: mid < low - 0.5,
    ),
    Claim(
        "distributional",
        "the mean of a normal law keeps rising (its deviation is bounded here)",
        tuple(f"normal: at {x:g}" for x in AT),
        "20-24, 25-29, 30-33",
        lambda low, mid, high: low < mid < high,
    ),
    Claim(
        "distributional",
        "its deviation jumps by more than one order: .75, .85",
        ("normal: deviation at 0.75", "normal: deviation at 0.85"),
        ".83-55, 150-6758",
        lambda low, high: high > 10 * low,
    ),
    Claim(
        "distributional",
        "NEGATIVE: atoms tell ranks, whose mean dips as one number does",
        tuple(f"atoms: at {x:g}" for x in AT),
        "not measured",
        lambda low, mid, high: mid < low,
    ),
    Claim(
        "distributional",
        "share of the variance that is seen (r^2): by atoms, and below .75 alone",
        ("atoms: share seen", "atoms: share seen below .75"),
        "not measured",
        lambda whole, below: below > 0.9 > whole + 0.1,
    ),
    Claim(
        "distributional",
        "who is averse to risk takes .75 before .95: 1 % quantiles of the normal law",
        ("normal: 1 % quantile at 0.75", "normal: 1 % quantile at 0.95"),
        "not measured",
        lambda low, high: low > high,
    ),
    Claim(
        "kinds",
        "NEGATIVE: one reward: majority, minority",
        ("one reward: majority", "one reward: minority"),
        ".974, .150",
        lambda most, few: most > 0.9 and few < 0.3,
    ),
    Claim(
        "kinds",
        "two kinds, hard, the best for each taste (which reads who is who): majority, minority",
        ("kinds, hard: majority", "kinds, hard: minority"),
        ".987, .959",
        lambda most, few: most > 0.9 and few > 0.9,
    ),
    Claim(
        "kinds",
        "the same, soft; the minority by their own 20 answers, which reads no groups",
        ("kinds, soft: majority", "kinds, soft: minority", "kinds, soft: minority, by their own answers"),
        "not measured",
        lambda most, few, own: most > 0.9 and few > 0.9 and own > 0.9,
    ),
    Claim(
        "kinds",
        "share of 5 starts that reach the best: hard, soft",
        ("kinds, hard: starts at the best", "kinds, soft: starts at the best"),
        "restarts needed",
        lambda hard, soft: True,
    ),
    Claim(
        "kinds",
        "one answer by one reward: what it is worth to most, to few",
        ("law of one reward: most", "law of one reward: few"),
        "not measured",
        lambda most, few: most > 0 > few,
    ),
    Claim(
        "kinds",
        "the law of the smallest expectation: to most, to few; the least kind by the model",
        tuple(f"law of smallest of expectations: {who}" for who in ("most", "few", "least kind")),
        "not measured",
        lambda most, few, least: least > 0,
    ),
    Claim(
        "kinds",
        "NEGATIVE: the smallest of samples serves the least kind no better: the model's figures",
        ("law of smallest of samples: least kind", "law of smallest of expectations: least kind"),
        "not the same",
        lambda samples, expected: samples <= expected,
    ),
    Claim(
        "ideal_point",
        "liking that falls with distance: one reward, lore, ideal point, who knows the person",
        tuple(f"peaked: {name}" for name in ("one reward", "lore", "ideal point", "oracle that knows the person")),
        "not measured",
        lambda one, lore, point, oracle: oracle >= point > lore > one,
    ),
    Claim(
        "ideal_point",
        "NEGATIVE: liking along a direction: lore, ideal point",
        ("straight: lore", "straight: ideal point"),
        "not measured",
        lambda lore, point: abs(point - lore) < 0.02,
    ),
)
