"""How apart people are in the viewpoints that they are served, and how many each of them meets.

    q_u [G]     shares of viewpoints in what u is served
    entropy     - sum_g q_g log q_g, in nats: of the mean q over people, and of each person's own
    apart       mean over pairs of people of the total variation, |q_u - q_v| / 2
    C_KL        of what is there for u from what u is served (`faro.voting.reranking`)

In an echo chamber the entropy of each person falls and people move apart, while the entropy of all may stay. A person's
entropy is too low, and people are too far apart, where each has few choices: compare tables of the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special

from ..evaluate.resampling import limits_of_mean
from ..voting.reranking import divergence

if TYPE_CHECKING:
    from .views import Views

FEW = 10  # people below whom nothing is said


def dispersion(views: Views, decided: Mapping[str, np.ndarray], second: str) -> dict[str, Any]:
    """Entropy of all and of each, distance between people, and divergence from what is there, of two decisions; of
    fewer than `FEW` people who are served any viewpoint by both, their number alone.

    views: what candidates are, with viewpoints
    decided: name -> `[n, K]`; "served", and the one that is beside it
    second: its name
    """
    every = {name: exposure(views, decisions) for name, decisions in decided.items()}
    offered = exposure(views, views.draw)
    known = ~np.isnan([*every.values(), offered]).any((0, 2))
    every, offered = {name: q[known] for name, q in every.items()}, offered[known]
    found: dict[str, Any] = {"people": int(known.sum()), "most": float(np.log(len(views.viewpoints)))}
    if found["people"] < FEW:
        return found
    found["shares"] = {name: dict(zip(views.viewpoints, q.mean(0).tolist(), strict=True)) for name, q in every.items()}
    found["of_all"] = {name: float(entropy(q.mean(0))) for name, q in every.items()}
    measured = {
        "of_each": {name: entropy(q) for name, q in every.items()},
        "apart": {name: apart(q) for name, q in every.items()},
        "divergence": {
            name: np.array([divergence(wanted, own) for wanted, own in zip(offered, q, strict=True)])
            for name, q in every.items()
        },
    }
    for name, of in measured.items():
        moved = of["served"] - of[second]
        low, high = limits_of_mean(moved, np.ones(len(moved)), np.arange(len(moved)), None)
        found[name] = {arm: float(values.mean()) for arm, values in of.items()}
        found[name]["difference"] = {"value": float(moved.mean()), "low": float(low), "high": float(high)}
    return found


def exposure(views: Views, decisions: np.ndarray) -> np.ndarray:
    """`[U, G]` shares of viewpoints in what each person is served; NaN of who is served none.

    views: with viewpoints
    decisions: `[n, K]`
    """
    assert views.viewpoint is not None
    sums = np.stack(
        [views.means(views.share(decisions, views.viewpoint == g)) for g in range(len(views.viewpoints))], 1
    )
    total = sums.sum(1, keepdims=True)
    return np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)


def entropy(shares: np.ndarray) -> np.ndarray:
    """In nats, over the last axis.

    shares: `[..., G]`, which add up to 1
    """
    return scipy.special.entr(shares).sum(-1)


def apart(shares: np.ndarray) -> np.ndarray:
    """`[U]` mean total variation between each person and the others, by sorting.

    shares: `[U, G]`
    """
    people = len(shares)
    order = np.argsort(shares, 0)
    ordered = np.take_along_axis(shares, order, 0)
    before, rank = np.cumsum(ordered, 0) - ordered, np.arange(people)[:, None]
    sums = ordered * rank - before + (ordered.sum(0) - before - ordered) - ordered * (people - 1 - rank)
    found = np.empty_like(sums)
    np.put_along_axis(found, order, sums, 0)
    return found.sum(1) / 2 / max(people - 1, 1)
