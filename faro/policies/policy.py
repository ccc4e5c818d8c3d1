"""What a policy is: answers to prompts, and their log-probabilities. A softmax over candidates; tokens, one by one."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices, KLTilted, Outcome, log_softmax
from constraints.alternatives import joined

from .. import models
from ..models import InputSpec, Model

GIBBS = KLTilted(beta=1.0)  # softmax(log_ref + logits): what a policy over candidates is


class Answers(NamedTuple):
    """G answers to each of N prompts.

    tokens: `[N, G, T]` int; of candidates T is 1, and the token is which one
    mask: `[N, G, T]` bool, which tokens an answer has
    """

    tokens: Array
    mask: Array


class Policy(abc.ABC):
    """A policy: hashable configuration and pure functions; the numbers live in `params`. Prompts are any pytree of
    arrays with leading axis N."""

    @abc.abstractmethod
    def init(self, key: Array, prompts: Any) -> Any:
        """Parameters, from the shapes of some prompts.

        key: a jax random key
        prompts: N of them
        """

    @abc.abstractmethod
    def answer(self, params: Any, prompts: Any, key: Array, each: int) -> Answers:
        """So many independent answers to each prompt.

        params: as `init` gave them, trained
        prompts: N of them
        key: a jax random key
        each: G
        """

    @abc.abstractmethod
    def log_probs(self, params: Any, prompts: Any, answers: Answers) -> Array:
        """Log-probabilities of tokens, `[N, G, T]`, differentiable in the parameters; 0 where an answer has none.

        params: as `init` gave them, trained
        prompts: N of them
        answers: to these prompts
        """

    def law(self, params: Any, prompts: Any) -> Array | None:
        """Log-probabilities of all K answers there are, `[N, K]`, where they can be listed; else None.

        params: as `init` gave them, trained
        prompts: N of them
        """
        return None

    def outcome(self, params: Any, prompts: Any, names: Iterable[str]) -> Outcome:
        """What a constraint looks at, where all answers can be listed: decisions `[N, K]` are the policy itself.

        params: as `init` gave them, trained
        prompts: N of them
        names: of the attributes whose twins are asked for
        """
        raise NotImplementedError(f"{type(self).__name__} does not list all answers")


@dataclasses.dataclass(frozen=True)
class Candidates(Policy):
    """softmax(log_ref + logits) over the candidates of a prompt; prompts are `Choices`, logits any model's rewards.

    model: whose rewards are the logits
    units: how many people it may know by number
    """

    model: Model
    units: int = 0

    def init(self, key, prompts):
        return self.model.init(key, InputSpec.of(prompts, self.units))

    def law(self, params, prompts):
        logits = joined(models.predict(self.model, params, prompts).scores)
        logits = logits if prompts.log_ref is None else prompts.log_ref + logits
        return log_softmax(logits, prompts.available)

    def answer(self, params, prompts, key, each):
        law = self.law(params, prompts)
        tokens = jax.random.categorical(key, law[:, None], shape=(law.shape[0], each))[..., None]
        return Answers(tokens, jnp.ones(tokens.shape, bool))

    def log_probs(self, params, prompts, answers):
        return jnp.take_along_axis(self.law(params, prompts)[:, None], answers.tokens, -1)

    def outcome(self, params, prompts, names):
        seen = models.predict(self.model, params, prompts)
        return models.decided(GIBBS, seen, prompts, models.twin_predictions(self.model, params, prompts, names))


class _Recurrent(nn.Module):
    """A recurrent network that reads one token and gives logits of the next."""

    vocabulary: int
    width: int

    def setup(self):
        self.embed = nn.Embed(self.vocabulary, self.width)
        self.cell = nn.GRUCell(self.width)
        self.head = nn.Dense(self.vocabulary)

    def __call__(self, carry, token):
        carry, out = self.cell(carry, self.embed(token))
        return carry, self.head(out)


@dataclasses.dataclass(frozen=True)
class Autoregressive(Policy):
    """A small recurrent policy over tokens; prompts are tokens `[N, S]`. An answer ends with token 0, or when it has
    `length` tokens.

    vocabulary: how many tokens there are
    length: T, tokens of an answer at most
    width: of the recurrent state
    """

    vocabulary: int
    length: int
    width: int = 16

    @property
    def _net(self) -> Any:
        return _Recurrent(self.vocabulary, self.width)

    def init(self, key, prompts):
        return self._net.init(key, jnp.zeros((1, self.width)), jnp.zeros(1, int))

    def _read(self, params: Any, prompts: Any) -> tuple[Array, Array]:
        """The state after the prompt, and logits of the first token of an answer."""
        start = jnp.zeros((len(prompts), self.width))
        first = self._net.apply(params, start, jnp.zeros(len(prompts), int))
        return jax.lax.scan(lambda seen, token: (self._net.apply(params, seen[0], token), None), first, prompts.T)[0]

    def answer(self, params, prompts, key, each):
        def write(seen, step):
            (carry, logits), open_ = seen
            token = jnp.where(open_, jax.random.categorical(jax.random.fold_in(key, step), logits), 0)
            return (self._net.apply(params, carry, token), open_ & (token != 0)), (token, open_)

        read = self._read(params, jnp.repeat(prompts, each, 0))
        there = jnp.ones(len(prompts) * each, bool)
        _, (tokens, mask) = jax.lax.scan(write, (read, there), jnp.arange(self.length))
        shape = (len(prompts), each, self.length)
        return Answers(tokens.T.reshape(shape), mask.T.reshape(shape))

    def log_probs(self, params, prompts, answers):
        n, each, length = answers.tokens.shape

        def score(seen, token):
            carry, logits = seen
            said = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], -1)[:, 0]
            return self._net.apply(params, carry, token), said

        read = self._read(params, jnp.repeat(prompts, each, 0))
        _, logs = jax.lax.scan(score, read, answers.tokens.reshape(n * each, length).T)
        return jnp.where(answers.mask, logs.T.reshape(n, each, length), 0)


def sampled_outcome(log_probs: Array, old: Array, mask: Array, kinds: Array, choices: Choices) -> Outcome:
    """What a constraint looks at, of G answers that a policy drew: the decision on a kind is the share of its answers.

        weights = softmax over the answers of  log pi - log pi of the rollout         decision k = sum of weights of k

    1 / G an answer where the policy is the one that answered, and with the gradient of the policy's own rates:
    self-normalised weights of importance. With the answers themselves for alternatives, K = G, rates would be 1 / G
    whatever the policy does: which answers there are is what it decides.

    log_probs: `[N, G, T]` of the policy
    old: `[N, G, T]` of the policy that answered
    mask: `[N, G, T]`
    kinds: `[N, G]`, which of the K alternatives an answer is
    choices: of each prompt the K kinds of answers that there are
    """
    weights = jax.nn.softmax(jnp.sum(jnp.where(mask, log_probs - old, 0), -1), -1)
    belongs = kinds[..., None] == jnp.arange(choices.available.shape[1])
    decisions = jnp.sum(weights[..., None] * belongs, 1)
    logs = jnp.log(jnp.maximum(decisions, 1e-30))
    return Outcome(rewards=logs, decisions=decisions, twins={}, available=choices.available)
