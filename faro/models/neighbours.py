"""Nearest neighbours: what people who answered other questions alike said of this one, added to a model's rewards."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices, log_softmax
from constraints.alternatives import joined

from .base import FEATURES, InputSpec, Prediction, predict
from .wrapped import Wrapped

HASHES = 3  # numbers of 24 bits, exact in float32, that stand for the content of an alternative or of a question
ALIKE = 4  # questions whose first hash may be the same
AT_ONCE = 64  # choices whose neighbours are looked up at once, at most
NUMBERS = 2**22  # and of how many answers in memory these are at most: no table of people by people is ever held


class Heard(NamedTuple):
    """What others said of the questions of n choices, `[n, K]` each, 0 where nobody did.

    near: by those who are like the person: sum_v s_v r_v / (1 + sum_v |s_v|)
    crowd: by all: sum_v r_v / (1 + how many)
    """

    near: Array
    crowd: Array


@dataclasses.dataclass(frozen=True)
class Neighbours(Wrapped):
    """The rewards of a model, and what people of train who answered the same question said beyond it:

        score_k = reward_k + near * sum_v s_v r_vk / (1 + sum_v |s_v|) + crowd * sum_v r_vk / (1 + m)
        s_v     = <r_u, r_v> / (|r_u| |r_v|) * c / (c + shrink)           over the c questions that both answered

    r = answer less the model's probability, of the person u's earlier choices and of the m people v who answered. A
    question is the set of its alternatives, by content and in any order. Of one that nobody in memory answered nothing
    is added, as in the world of a twin that nobody was shown; to somebody without a common question only what all said.
    `faro.people.neighbours.fit` makes one: its fit knows no bound, so measure and certify it again.

    model: that was trained
    support: earlier choices of a person that are read
    size: of the memory: people, questions, alternatives of each
    Source: user-based neighbours with a baseline, Resnick et al. 1994; Koren, TKDD 2010 (shrunk similarity).
    """

    model: Any = "linear"
    support: int = 10
    size: tuple[int, int, int] = (1, 1, 1)

    def init(self, key: Array, spec: InputSpec) -> Any:
        """With an empty memory, which adds nothing."""
        people, questions, alternatives = self.size
        memory = {
            "question": jnp.zeros((questions, HASHES)),
            "alternative": jnp.zeros((questions, alternatives, HASHES)),
            "residual": jnp.zeros((people, questions, alternatives)),
            "answered": jnp.zeros((people, questions)),
        }
        context = sum(flags for _, flags in _parts(spec.context))
        numbers = {"near": jnp.zeros(()), "crowd": jnp.zeros(()), "shrink": jnp.ones(())}
        return {"model": self.model.init(key, spec), "memory": memory, "asked": jnp.zeros(context), **numbers}

    def heard(self, params: Any, choices: Choices, people: Any) -> Heard:
        """What others said of these questions, on the scale of `Neighbours`.

        params: with a memory
        choices: n choices
        people: of every person in `choices.unit` the earlier choices
        """
        memory, asked = jax.tree.map(jnp.asarray, params["memory"]), params["asked"]
        before = _flat(people)
        seen = predict(self.model, params["model"], before, people=people if self.model.support else None)
        share = jax.nn.softmax(jnp.where(before.available, joined(seen.scores), -jnp.inf), -1)
        which, there, place = _found(memory, before, asked)
        own = ((before.chosen - share) * before.weight[:, None])[:, : place.shape[1]]
        own = jnp.einsum("nk,nkl->nl", own, place)  # in the order of the memory
        shape = people.weight.shape

        def likeness(one: Any) -> Array:  # of a person with everybody in memory, [V]
            questions, residual, common = one
            theirs, both = memory["residual"][:, questions], memory["answered"][:, questions] * common
            product = jnp.einsum("sl,vsl->v", residual, theirs)
            sizes = jnp.einsum("vs,sl->v", both, residual**2) * jnp.einsum("vs,vsl->v", both, theirs**2)
            count = both.sum(-1)
            return product / jnp.sqrt(jnp.where(sizes > 0, sizes, 1)) * count / (count + params["shrink"])

        each = (which.reshape(shape), own.reshape(*shape, -1), (there * (before.weight > 0)).reshape(shape))
        which, _, place = _found(memory, choices, asked)

        def told(one: Any) -> tuple[Array, Array]:
            question, person = one
            answers, by = memory["residual"][:, question], memory["answered"][:, question]
            weight = likeness(tuple(part[person] for part in each)) * by
            return weight @ answers / (1 + jnp.abs(weight).sum()), by @ answers / (1 + by.sum())

        of_one = shape[1] * memory["answered"].shape[0] * place.shape[2]
        at_once = max(1, min(AT_ONCE, NUMBERS // max(1, of_one)))
        near, crowd = jax.lax.map(told, (which, choices.unit), batch_size=at_once)
        beyond = ((0, 0), (0, choices.shape[1] - place.shape[1]))
        return Heard(*(jnp.pad(jnp.einsum("nl,nkl->nk", own, place), beyond) for own in (near, crowd)))

    def apply(self, params: Any, choices: Choices, *, key: Any = None, train: bool = False, people: Any = None) -> Any:
        seen = predict(self.model, params["model"], choices, key=key, train=train, people=people)
        heard = self.heard(params, choices, people)
        scores = joined(seen.scores) + params["near"] * heard.near + params["crowd"] * heard.crowd
        inside = jax.tree.leaves(choices.items)[0].shape[1]
        # probabilities of its own: what others said is of the whole question, so no alternative has a reward alone
        return Prediction(joined(seen.rewards)[:, :inside], log_softmax(scores, choices.available), seen.extra)

    def trainable(self, params: Any) -> Any:
        return False

    def personal(self, params: Any) -> Any:
        theirs = {name: name in ("residual", "answered") for name in params["memory"]}
        return {**super().personal(params), "memory": theirs}


def contents(choices: Choices, asked: Any) -> tuple[Array, Array]:
    """(questions `[n, H]`, alternatives `[n, J, H]`) as hashes of features, raw arrays too: whole numbers below 2^24.

    choices: n choices
    asked: of every coded feature of the context, then of every raw array, 1 where it is a part of the question, 0 where
        it is the person's
    """
    inside = choices.inside[:, : jax.tree.leaves(choices.items)[0].shape[1]]
    items, context = [part for part, _ in _parts(choices.items)], _masked(choices.context, jnp.asarray(asked))
    salts = np.random.default_rng([20, 18]).integers(0, 2**31, (HASHES, 3), dtype=np.uint32) * 2 + 1
    questions, alternatives = [], []
    for of_items, of_question, of_context in salts:
        alternative = _mixed(_sum(items, 2, of_items))
        whole = jnp.sum(jnp.where(inside, _mixed(alternative * of_question), 0), 1, dtype=jnp.uint32)
        if choices.context is not None:
            whole = whole + _mixed(_sum(context, 1, of_context))
        alternatives.append(jnp.where(inside, alternative, 0))
        questions.append(_mixed(whole))
    return tuple((jnp.stack(own, -1) >> 8).astype(jnp.float32) for own in (questions, alternatives))  # type: ignore[return-value]


def _parts(side: Any) -> list[tuple[Any, int]]:
    """(coded features, how many), then (a raw array, 1) of each, in the order of their names."""
    if side is None:
        return []
    if not isinstance(side, dict):
        return [(side, side.shape[-1])]
    coded = [(side[FEATURES], side[FEATURES].shape[-1])] if FEATURES in side else []
    return [*coded, *((side[name], 1) for name in sorted({*side} - {FEATURES}))]


def _masked(context: Any, asked: Array) -> list[Array]:
    """What of the context is a part of the question, 0 for the rest of it."""
    found: list[Array] = []
    at = 0
    for part, flags in _parts(context):
        raw = isinstance(context, dict) and part is not context.get(FEATURES)
        own = asked[at] if raw else asked[at : at + flags]
        found, at = [*found, jnp.where(own > 0, part, 0)], at + flags
    return found


def _sum(parts: list[Array], lead: int, salt: np.uint32) -> Array:
    """Over all but the leading axes, of the bits of numbers, each mixed with its place; what is padded with 0 is the
    same however long it is."""
    total = jnp.uint32(0)
    for number, part in enumerate(parts):
        if jnp.issubdtype(part.dtype, jnp.floating):  # -0 is 0
            bits = jax.lax.bitcast_convert_type(part.astype(jnp.float32) + 0.0, jnp.uint32)
        else:
            bits = part.astype(jnp.uint32)
        place = jnp.uint32(number)
        for size in part.shape[lead:]:
            place = _mixed(place[..., None] + jnp.arange(size, dtype=jnp.uint32) * salt + salt)
        axes = tuple(range(lead, part.ndim))
        total = total + jnp.sum(_mixed(bits) * (place | 1), axes, dtype=jnp.uint32)
    return total


def _mixed(bits: Array) -> Array:
    """The finalizer of MurmurHash3: every bit of the input moves half of those of the output."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    return bits ^ (bits >> 16)


def _found(memory: Any, choices: Choices, asked: Any) -> tuple[Array, Array, Array]:
    """(index of each question in the memory `[n]`, whether it is there `[n]`, which of its alternatives is which there
    `[n, J, L]`, 0 where it is not there)."""
    questions, alternatives = contents(choices, asked)
    known = memory["question"]
    first = jnp.searchsorted(known[:, 0], questions[:, 0].astype(known.dtype))
    near = jnp.minimum(first[:, None] + jnp.arange(ALIKE), len(known) - 1)
    match = jnp.all(known[near] == questions[:, None], -1)
    which = jnp.take_along_axis(near, jnp.argmax(match, 1)[:, None], 1)[:, 0]
    theirs = memory["alternative"][which]
    same = jnp.all(alternatives[:, :, None] == theirs[:, None], -1) & jnp.any(alternatives > 0, -1)[..., None]
    there = match.any(1)
    return which, there.astype(known.dtype), (same & there[:, None, None]).astype(memory["residual"].dtype)


def _flat(people: Any) -> Choices:
    """Earlier choices `[U, S]` of people as choices `[U S]`, each of its person."""
    persons, each = people.weight.shape
    flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (persons * each, *leaf.shape[2:])), people)
    return flat.replace(unit=jnp.repeat(jnp.arange(persons), each))
