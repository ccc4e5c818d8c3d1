"""What a reward model is: `Model`, what it may read (`InputSpec`), what it says of choices (`Prediction`)."""

from __future__ import annotations

import abc
import dataclasses
import functools
import inspect
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from constraints import Choices, DecisionRule, Outcome, Twin, decide
from constraints.alternatives import joined, pieces

from ..errors import UsageError


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """All that `Model.init` may know of the data: shapes, and how many people are known.

    items: `jax.ShapeDtypeStruct` of `[n, J, d]`, or a dict of such (`{"tokens": [n, J, T], ...}`)
    context: that of `[n, c]`, or None
    units: how many people are known, `choices.unit_index` in 0..units-1; 0 if the schema asks for no `unit_index`
    """

    items: Any
    context: Any = None
    units: int = 0

    @classmethod
    def of(cls, choices: Choices, units: int = 0) -> InputSpec:
        """The shapes of these choices.

        choices: n choices, of arrays or of shapes
        units: how many people are known
        """

        def shape(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(np.shape(leaf), jnp.result_type(leaf))

        context = None if choices.context is None else jax.tree.map(shape, choices.context)
        return cls(jax.tree.map(shape, choices.items), context, units)

    def example(self, n: int = 1) -> InputSpec:
        """Items and context of a few choices, all 0: what a network may be initialised on.

        n: how many choices
        """

        def zeros(leaf: Any) -> Array:
            return jnp.zeros((n, *leaf.shape[1:]), leaf.dtype)

        return dataclasses.replace(self, **jax.tree.map(zeros, {"items": self.items, "context": self.context}))


class Prediction(NamedTuple):
    """What a model says of choices; `Model.apply` may return the rewards alone.

    rewards: `[n, J]` of the alternatives that have items
    log_probs: `[n, K]` log of choice probabilities, the outside option included, where these are no conditional logit
        of the rewards (mixtures, latent classes); then decisions and losses are of them
    extra: what losses of the model's own read, by name, leading axis n
    """

    rewards: Array
    log_probs: Array | None = None
    extra: Mapping[str, Array] = {}


class Seen(NamedTuple):
    """A `Prediction` with the outside option in its place, as pieces `[k, n]` of `constraints.alternatives`.

    rewards: 0 for the outside option
    log_probs: log of choice probabilities, or None where these are the conditional logit of the rewards
    extra: name -> array with leading axis n, what the model says besides
    """

    rewards: list[Array]
    log_probs: list[Array] | None
    extra: Mapping[str, Array]

    @property
    def scores(self) -> list[Array]:
        """What decisions and losses are made of: log-probabilities where the model has them, else rewards."""
        return self.rewards if self.log_probs is None else self.log_probs


SHOWN = "shown"  # what a `Prediction` calls the scores by which people chose, where these are not what is served
FEATURES = "features"  # the name of the coded features where items or context are a dict


def numeric(given: Any) -> Any:
    """`Choices` or an `InputSpec` with the coded features alone, for models that read one matrix: of a dict (a schema
    with raw arrays) its "features".

    given: whose items `[n, J, d]` and context `[n, c]` are asked for, twins likewise

    `UsageError` where there are none.
    """
    if not isinstance(given.items, dict) and not isinstance(given.context, dict):
        return given

    def matrix(side: Any) -> Any:
        return side.get(FEATURES) if isinstance(side, dict) else side

    if matrix(given.items) is None:
        raise UsageError(
            f"items: expected coded features, got raw arrays alone ({', '.join(given.items)}); name a numeric feature "
            "in the schema, or choose a model that reads arrays"
        )
    changed = {"items": matrix(given.items), "context": matrix(given.context)}
    if isinstance(given, Choices):
        twins = given.twins.items()
        moved = {
            name: dataclasses.replace(twin, items=matrix(twin.items), context=matrix(twin.context))
            for name, twin in twins
        }
        return given.replace(**changed, twins=moved)
    return dataclasses.replace(given, **changed)


def levels_of(schema: Any, name: str, count: int, who: str) -> int:
    """How many levels an attribute has that a model reads; `UsageError` where there is none, or it has not `count`.

    schema: of the data
    name: of the attribute
    count: levels that the model was made for; 0: any
    who: what the model is called, and what it calls the number
    """
    try:
        levels = schema.attribute(name).levels
    except UsageError as error:
        raise UsageError(f"{who}: {error}; declare it, or name another (by=...)") from None
    if count not in (0, len(levels)):
        raise UsageError(f"{who}={count}, and the attribute {name!r} has {len(levels)} levels ({', '.join(levels)})")
    return len(levels)


class LinearHead(NamedTuple):
    """The rewards of a model as those of `faro.models.Linear`.

    choices: the same choices with features of the head `[n, J, d]` for items, and no context
    params: of `Linear` on them: {"item": `[d]`, "intercept": scalar, ...}
    """

    choices: Choices
    params: Any


class Dense(NamedTuple):
    """activation(weight x + bias) of one alternative.

    weight: `[out, in]`
    bias: `[out]`
    activation: "identity", or the name of that of hidden units (`faro.models.networks.ACTIVATIONS`)
    """

    weight: Any
    bias: Any
    activation: str = "identity"


class Model(abc.ABC):
    """A reward model: hashable configuration and pure functions; the numbers live in `params`, a pytree.

    A model gives `init` and `apply`. What else there is has a default, and says of a model what it can do.
    """

    linear: ClassVar[bool] = False  # rewards are a product of features and parameters: `linear_features` are these
    support: int = 0  # how many earlier choices of each person `apply` is given as `people`
    settings: ClassVar[Mapping[str, Any]] = {}  # of training, by name: what suits it where nobody says otherwise
    loss: ClassVar[str] = "logit"  # what training minimises of it, by name, where nobody says otherwise
    own_layers: int = 0  # how many last layers of the encoder of texts it has: items are what comes before them
    reads: tuple[str, ...] = ()  # names of the attributes without which `apply` gives no rewards

    @abc.abstractmethod
    def init(self, key: Array, spec: InputSpec) -> Any:
        """Parameters for data of this shape; pure.

        key: a jax random key
        spec: what may be known, see `InputSpec`
        """

    @abc.abstractmethod
    def apply(self, params: Any, choices: Choices) -> Any:
        """Rewards `[n, J]` of the alternatives that have items, or a `Prediction`; pure.

        params: what `init` gave, trained
        choices: n choices; `items [n, J, d]` (or a dict), `context [n, c]`, `unit [n]` into `people`, and `unit_index
            [n]` of known people, -1 for others

        A model that declares them is also given, by keyword:
        key: a jax random key in training steps, else None
        train: True in training steps
        people: of every person in `choices.unit`, its `support` earlier choices: a `Support`
        """

    def of_schema(self, schema: Any) -> Model:
        """The same model on data of this schema, whose names, levels or encoder it is to know; before training.

        schema: of the data (`faro.data.Schema`)

        `UsageError` where the model cannot read such data.
        """
        return self

    def prepare(self, choices: Choices) -> Choices:
        """The same choices with what can be computed once, before training: `apply` gives the same rewards on them.

        choices: n choices
        """
        return choices

    def penalty(self, params: Any, seen: Seen) -> Any:
        """What is added to the loss, in its units: a scalar, the mean over the choices seen (of an ELBO the KL).

        params: as `init` gave them
        seen: what the model said of the choices of a step, with its `extra`
        """
        return 0.0

    def alarms(self, params: Any, people: Any) -> Sequence[str]:
        """What is to be known of a trained model that no figure says, a sentence each; nothing by default.

        params: trained
        people: of every person, its `support` earlier choices, or None
        """
        return ()

    def shares(self, params: Any, interactions: Any) -> Any:
        """How strongly each parameter is punished, as a share of the weight decay: a pytree of numbers like `params`,
        or a prefix of it; all alike by default. 0: not at all; inf: it stays 0.

        params: as `init` gave them; only shapes are read
        interactions: share of products of features and context, >= 0
        """
        return 1.0

    @property
    def widths_offered(self) -> tuple[float, ...]:
        """Shares of its hidden units in (0, 1], the largest first, of which the selection part chooses one for every
        seed; all of them by default."""
        return (1.0,)

    def narrowed(self, params: Any, width: Any) -> Any:
        """The parameters, 0 where they are of hidden units beyond the first `width` of each layer; a unit without
        parameters then stays without. Needed where `widths_offered` are several.

        params: as `init` gave them
        width: share of the hidden units that are there, in (0, 1]
        """
        return params

    def personal(self, params: Any) -> Any:
        """Which parameters are of single people whom training knew, a row each by `choices.unit_index`: a pytree of
        bools like `params`, or a prefix of it; none by default. They are personal data, without which it can be saved.

        params: as `init` gave them; only shapes are read
        """
        return False

    def trainable(self, params: Any) -> Any:
        """Which parameters training moves: a pytree of bools like `params`, or a prefix of it; all by default.

        params: as `init` gave them
        """
        return True

    def linear_features(self, params: Any, choices: Choices) -> list[Array]:
        """Pieces `[k, n, D]` of what the rewards of a `linear` model are the product of with its D parameters in one
        vector (`ravel_pytree`); 0 for the outside option. By default of one parameter after another.

        params: of a `linear` model; their values do not matter
        choices: n choices
        """
        flat, unravel = ravel_pytree(params)
        features_of = jax.vmap(lambda unit: reward_pieces(self, unravel(unit), choices), out_axes=-1)
        return features_of(jnp.eye(flat.size, dtype=flat.dtype))

    def linear_head(self, params: Any, choices: Choices) -> LinearHead | None:
        """The model as a linear one on features (of a network: the outputs of its last hidden layer), twins likewise;
        None if it has no such head. What is known of linear models (exact optima, envelopes) is then known of it.

        params: whose head it is
        choices: n choices
        """
        return None

    def with_head(self, params: Any, head: Any) -> Any:
        """Parameters with another head.

        params: of the model
        head: parameters as those of `linear_head`, which take their place
        """
        raise NotImplementedError(f"{type(self).__name__} has no linear head")

    def dense(self, params: Any) -> list[Dense] | None:
        """The reward as one dense layer behind another, where features are those of an alternative alone: on the coded
        ones, or of a model with layers of an encoder on the vector that these give; None of a model that is no such.

        params: of the model
        """
        return None

    def config(self) -> dict[str, Any]:
        """The configuration as plain values, which is stored with a trained model; of a dataclass its fields."""
        if not dataclasses.is_dataclass(self):
            return {}
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """The model of this configuration: lists are tuples again.

        config: what `config` gave, perhaps read from JSON
        """
        return cls(**{name: _tuples(value) for name, value in config.items()})


def at_least(model: Any, **least: int) -> None:
    """`ValueError` unless these options of a model are whole numbers, and none below what is said.

    model: with these fields
    least: of each option the least, by its name
    """
    for name, low in least.items():
        value = getattr(model, name)
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
            raise ValueError(f"{name}: expected a whole number of at least {low}, got {value!r}")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@functools.cache
def declared(kind: type[Model]) -> frozenset[str]:
    """Which of `key`, `train` and `people` a model's `apply` takes.

    kind: the class
    """
    parameters = inspect.signature(kind.apply).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return frozenset({"key", "train", "people"})
    return frozenset({"key", "train", "people"} & set(parameters))


def overrides(model: Model, method: str) -> bool:
    """Whether a model's class says something else than `Model` does.

    model: of that class
    method: its name
    """
    return getattr(type(model), method) is not getattr(Model, method)


def initial(model: Model, key: Array, choices: Choices, units: int = 0) -> Any:
    """Parameters that the model begins with, on data of the shape of these choices.

    model: whose `init` is called
    key: a jax random key
    choices: of which only shapes are read
    units: how many people are known
    """
    return model.init(key, InputSpec.of(choices, units))


def parameter_count(model: Model, choices: Choices, units: int = 0) -> int:
    """How many parameters the model has on data of the shape of these choices.

    model: whose `init` is traced
    choices: of which only shapes are read
    units: how many people are known
    """
    params = jax.eval_shape(lambda own: initial(model, jax.random.key(0), own, units), choices)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def predict(
    model: Model, params: Any, choices: Choices, *, key: Array | None = None, train: bool = False, people: Any = None
) -> Seen:
    """What the model says of choices, with the outside option in its place.

    model: whose `apply` is called with what it declares
    params: its parameters
    choices: n choices
    key: a jax random key in training steps, else None
    train: whether this is a training step
    people: a pytree of the earlier choices of every person in `choices.unit`, where the model has `support`
    """
    given = {"key": key, "train": train, "people": people}
    said = model.apply(params, choices, **{name: given[name] for name in declared(type(model))})
    prediction = said if isinstance(said, Prediction) else Prediction(said)
    inside = prediction.rewards
    outside = pieces(choices.outside[:, : inside.shape[1]])
    parts = [jnp.where(out, 0, reward) for reward, out in zip(pieces(inside), outside, strict=True)]
    parts = [*parts, *[jnp.zeros_like(parts[0][:1])] * (choices.shape[1] - inside.shape[1])]
    return Seen(parts, None if prediction.log_probs is None else pieces(prediction.log_probs), prediction.extra)


def reward_pieces(model: Model, params: Any, choices: Choices) -> list[Array]:
    """Rewards as pieces `[k, n]` of `constraints.alternatives`, which steps work on without putting them side by side;
    0 for the outside option.

    model: without `support`
    params: its parameters
    choices: n choices
    """
    return predict(model, params, choices).rewards


def rewards(model: Model, params: Any, choices: Choices) -> Array:
    """Rewards `[n, K]` of a model, 0 for the outside option.

    model: without `support`
    params: its parameters
    choices: n choices
    """
    return joined(reward_pieces(model, params, choices))


def twin_rewards(model: Model, params: Any, choices: Choices, names: Iterable[str]) -> dict[str, Array]:
    """Rewards `[n, K, L]` with an attribute set to each of its L levels, by attribute.

    model: without `support`
    params: its parameters
    choices: n choices with these twins
    names: of the attributes
    """
    return {name: twin.rewards for name, twin in twin_predictions(model, params, choices, names).items()}


class TwinPrediction(NamedTuple):
    """Of an attribute set to each of its L levels.

    rewards: `[n, K, L]`
    scores: None where decisions are of the rewards; else log-probabilities: of a chooser's attribute `[n, K, L]`, of an
        alternative's `[n, K, K, L]`, the world in which the first of the two axes says who alone is set
    """

    rewards: Array
    scores: Array | None = None


def twin_predictions(
    model: Model, params: Any, choices: Choices, names: Iterable[str], **given: Any
) -> dict[str, TwinPrediction]:
    """What the model says with an attribute set to each of its levels, by attribute.

    model: whose `apply` is called
    params: its parameters
    choices: n choices with these twins
    names: of the attributes
    given: `key`, `train` and `people`, as `predict` takes them
    """
    plain = choices.replace(twins={})

    def said(set_choices: Choices) -> tuple[Array, Array | None]:
        seen = predict(model, params, set_choices, **given)
        return joined(seen.rewards), None if seen.log_probs is None else joined(seen.log_probs)

    result = {}
    for name in names:
        twin = choices.twins[name]
        moved, axes = twin_sides(twin, choices)

        def at_level(sides: Any, level: Array, name: str = name) -> tuple[Array, Array | None]:
            return said(_set(plain, name, level).replace(**sides))

        rewards, logs = jax.vmap(at_level, (axes, 0), -1)(moved, jnp.arange(twin.valid.shape[-1]))
        if logs is not None and not twin.chooser:
            logs = _alone(said, plain, name, twin.items)
        result[name] = TwinPrediction(rewards, logs)
    return result


def twin_sides(twin: Twin, choices: Choices) -> tuple[dict[str, Any], dict[str, int]]:
    """(what a twin sets, by field of `Choices`; where in each the axis of levels is).

    twin: of one attribute
    choices: whose it is
    """
    sides = {"items": (twin.items, 2), "context": (None if choices.context is None else twin.context, 1)}
    sides |= {"unit": (twin.unit, 1), "unit_index": (twin.unit_index, 1)}
    there = {side: (values, axis) for side, (values, axis) in sides.items() if values is not None}
    return {side: values for side, (values, _) in there.items()}, {side: axis for side, (_, axis) in there.items()}


def _set(choices: Choices, name: str, level: Array, alternatives: Array | bool = True) -> Choices:
    """The choices with the attribute of these alternatives at a level, where it applies to them."""
    if name not in choices.attributes:
        return choices
    codes = choices.attributes[name]
    moved = jnp.where((codes >= 0) & alternatives, level, codes)
    return choices.replace(attributes={**choices.attributes, name: moved})


def _alone(said: Any, plain: Choices, name: str, twin_items: Any) -> Array:
    """Log-probabilities `[n, K, K, L]` of the worlds in which one alternative alone is set; the outside option has no
    attribute, so its world is that of the choices."""
    inside = jax.tree.leaves(plain.items)[0].shape[1]

    def world(who: Array) -> Array:  # -> [n, K, L]
        def set_alone(as_it_is: Array, at_level: Array) -> Array:
            mine = (jnp.arange(inside) == who).reshape(1, inside, *[1] * (as_it_is.ndim - 2))
            return jnp.where(mine, at_level, as_it_is)

        def at_level(items: Any, level: Array) -> Array:
            alone = _set(plain, name, level, jnp.arange(plain.shape[1]) == who)
            return said(alone.replace(items=jax.tree.map(set_alone, plain.items, items)))[1]

        return jax.vmap(at_level, (2, 0), -1)(twin_items, jnp.arange(levels))

    levels = jax.tree.leaves(twin_items)[0].shape[2]
    worlds = jax.lax.map(world, jnp.arange(inside))
    rest = jnp.broadcast_to(said(plain)[1][None, ..., None], (plain.shape[1] - inside, *worlds.shape[1:3], levels))
    return jnp.moveaxis(jnp.concatenate([worlds, rest]), 0, 1)


def outcome(
    model: Model, params: Any, choices: Choices, rule: DecisionRule, twins: Iterable[str], people: Any = None
) -> Outcome:
    """The `Outcome` of a model on choices under a decision rule, with the twins that a constraint asks for.

    model: whose `apply` is called
    params: its parameters
    choices: n choices
    rule: from rewards to decisions
    twins: names of the attributes whose twins the outcome has
    people: a pytree of the earlier choices of every person in `choices.unit`, where the model has `support`
    """
    seen = predict(model, params, choices, people=people)
    return decided(rule, seen, choices, twin_predictions(model, params, choices, twins, people=people))


def decided(rule: DecisionRule, seen: Seen, choices: Choices, twins: Mapping[str, TwinPrediction]) -> Outcome:
    """The `Outcome` of what a model says, and says of twins, under a decision rule.

    rule: from rewards, or the model's own log-probabilities, to decisions
    seen: what the model says of the choices
    choices: those n choices
    twins: attribute name -> what it says of its twins
    """
    return decide(
        rule,
        seen.rewards,
        choices,
        {name: twin.rewards for name, twin in twins.items()},
        scores=seen.log_probs,
        twin_scores={name: twin.scores for name, twin in twins.items() if twin.scores is not None},
    )
