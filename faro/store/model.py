"""A trained model: parameters, coding and schema, so that it can score a table; saved as safetensors + JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import safetensors.numpy

import constraints as ct
from constraints.alternatives import joined

from .. import files, models
from ..data import PARTS, Coding, Dataset, Schema, Seen, assign, read_table, units_text
from ..data.candidates import check_sets, named_rule
from ..data.containers import frame_of, unique_columns
from ..data.exchange import pair_names
from ..data.preferences import labelled
from ..data.slices import Slices
from ..data.split import uniform
from ..data.support import QUERY, SupportRule, roles, support_sets
from ..errors import DAMAGE, DataError, FaroError, UsageError
from ..models.evaluate import BLOCK
from ..runtime import locks
from ..units import PAIR
from . import others
from .coefficients import CODING
from .parameters import begun_with, named, nested, tensor_name
from .run import units_of
from .spec import crossed, from_record, to_record

FORMAT = "faro-model/3"
ITS_NAME_ALONE = "files of this older format have its name alone"
FORGOTTEN = "known people were dropped: no parameters and codes of them are in this model"
PERSONAL = "salted hashes that a known name can be looked up by, and what was learned of each; see docs/privacy.md"
# the first has a constraint's name alone, both a model's kind and the coding's vectors as lists in the JSON file
FORMATS = ("faro-model/1", "faro-model/2", FORMAT)


@dataclasses.dataclass(frozen=True)
class Draw:
    """How a randomised model decides: component j with probability `weights[j]`, drawn once per unit (or per choice).

    u = the hash of the salt "faro mixture SEED" and the id (blake2b keyed by the salt, 53 bits), in [0, 1); the
    component is the first one whose cumulative weight exceeds u. So a person meets one model whatever the order of
    rows, and anyone can repeat the draw.
    """

    weights: tuple[float, ...]  # sum to 1
    seed: int = 0
    by: str = "unit"  # or "choice"

    def components(self, data: Dataset) -> np.ndarray:
        """`[n]` which component decides each choice."""
        ids = [str(unit) for unit in data.units]
        if self.by == "choice":
            ids = [f"{unit} {choice}" for unit, choice in zip(ids, data.choice_ids, strict=True)]
        u = uniform(f"faro mixture {self.seed}", ids)
        return np.searchsorted(np.cumsum(self.weights)[:-1], u, side="right")


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model with its parameters and all that turns a table into what it reads, so that it can score one.

    model: the configuration, a `faro.models.Model`
    params: its parameters; with a `draw` their leaves have a leading axis of components
    coding: features as numbers, learned from train
    schema: which column of a table is what
    about: how it was made, as plain values: data set, digest, seed, constraint, bound, status, figures
    seen: hashes of the units of train, dual and selection, where the model comes from training; else None
    draw: how a randomised model picks one of its components; None for one that is not
    specification: the constraint that it was trained under, as data (`faro.store.spec`); None after no training
    loss: the objective that it was trained to minimise, as data; None: the mean of the conditional logit
    """

    model: models.Model
    params: Any
    coding: Coding
    schema: Schema
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    seen: Seen | None = None
    draw: Draw | None = None
    specification: dict[str, Any] | None = None
    loss: dict[str, Any] | None = None

    @functools.cached_property
    def constraint(self) -> ct.Constraint | None:
        """The constraint that it was trained under, at its bound; None after no training. `UsageError` for one that is
        not stored as data, or whose module has to be imported first."""
        return None if self.specification is None else from_record(self.specification)

    @property
    def candidates(self) -> str:
        """What its sets are: as the schema says, else as training took them; "" where nobody said."""
        return self.schema.candidates or self.about.get("candidates", "")

    def rule_named(self, text: str | None = None) -> ct.DecisionRule:
        """A decision rule on its sets; `UsageError` for a text that names none.

        text: as `constraints.rule_of` reads it; None: the rule that its training read
        """
        return named_rule(text or self.about.get("rule", "argmax"), self.candidates)

    @functools.cached_property
    def crossed(self) -> dict[str, ct.Attribute]:
        """The crossed attributes of its constraint, by name: a scored table has a column of each."""
        declared = {spec.name: spec.attribute for spec in self.schema.attributes}
        attributes = crossed(self.specification)
        for name, attribute in attributes.items():
            if name in declared:
                raise UsageError(f"the crossed attribute {name!r} has the name of a declared one; rename that")
            for part in _parts(attribute):
                if part != declared.get(part.name):
                    raise UsageError(f"{name!r} is crossed of {part.name!r}, which the schema does not declare so")
        return attributes

    @property
    def support(self) -> SupportRule:
        """Which earlier choices of a person it reads; k is 0 for a model that reads none."""
        return SupportRule(self.model.support, self.schema.order)

    def told(self, schema: Schema) -> SupportRule:
        """Which earlier choices of a person it knows of, when it is asked of a table: those that it reads, or those
        that summaries are of.

        schema: of the table, which says of which these are
        """
        summary = next(iter(schema.summaries.values()), None)
        return self.support if summary is None else SupportRule(summary.k, summary.order)

    def read(self, data: Any, labels: bool | None = None) -> Dataset:
        """A table as this model's schema reads it, by the types of its columns and the rule of its units.

        data: a `Dataset`, a data frame, or the path of a table, beside which the schema's arrays are
        labels: whether the table says what was chosen; None: if it has the label's column

        `DataError` for a table that cannot be read so.
        """
        rule = self.about.get("unit_rule", 1)  # models that carry no number were trained under rule 1
        if isinstance(data, Dataset):
            self._check_encoders(data)
            if self.model.support and data.schema.order != self.schema.order:
                theirs, mine = (repr(of.order) if of.order else "none" for of in (data.schema, self.schema))
                raise DataError(f"{data.name}: the schema has the order {theirs}, and in training it was {mine}")
            return data.read_by(self.schema, rule)
        held = frame_of(data)
        table = read_table(data) if held is None else unique_columns(held, "table")
        folder = None if held is not None else Path(data).parent  # of the schema's arrays
        if labels is None:
            labels = not self.schema.label or labelled(table, self.schema.label)
        name = None if held is not None else Path(data).name
        return Dataset.from_table(table, self.schema, name=name, labels=labels, unit_rule=rule, folder=folder)

    def own_data(self, data: Any) -> Dataset:
        """The table that it was trained on, as it reads it: what is fitted after training is fitted to that.

        data: a `Dataset`, a data frame, or the path of a table

        `DataError` for another table.
        """
        table = self.read(data)
        if self.about.get("digest", table.digest) != table.digest:
            raise DataError(
                f"{table.name}: other data than the model was trained on; its list of people seen has none of these, "
                "so an audit of them would not be independent: take its own data"
            )
        return table

    def refitted(self, model: models.Model, params: Any, said: Mapping[str, Any], note: str) -> TrainedModel:
        """What was made of this model after training; what was known of its rewards is not known of that one.

        model: around the one that was trained
        params: of it
        said: what `about` says of the making
        note: that in words
        """
        about = {key: value for key, value in self.about.items() if key != "rewards"}
        about |= {**said, "notes": [*about.get("notes", []), note]}
        return dataclasses.replace(self, model=model, params=params, about=about)

    def _check_encoders(self, data: Dataset) -> None:
        """`DataError` for texts that another encoder read than in training."""
        theirs = {spec.name: spec.digest for spec in data.schema.texts}
        for spec in self.schema.texts:
            if theirs.get(spec.name, spec.digest) != spec.digest:
                read = f"was read by encoder {spec.digest[:12]} in training, and here by {theirs[spec.name][:12]}"
                raise DataError(f"{data.name}: text {spec.name!r} {read}")

    def _check_rules(self, data: Dataset, name: str) -> None:
        """`DataError` for twins that arise otherwise than in training, by other rules or with another history;
        `UsageError` where the data have none."""
        here = data.schema.twin(name)
        there = next((twin for twin in self.schema.twins if twin.attribute == name), here)
        theirs, mine = here.rules, there.rules
        if mine is not None and theirs is not None and mine.sha256 != theirs.sha256:
            words = f"have other words ({theirs.sha256[:12]}) than in training ({mine.sha256[:12]})"
            raise DataError(f"{data.name}: the {theirs.called} of the twins of {name!r} {words}")
        if here.history != there.history:
            raise DataError(
                f"{data.name}: twins of {name!r}: history = {here.history!r} here, and {there.history!r} in training; "
                "one attribute has one kind of twins: declare another one of the same column for the other kind"
            )

    def rewards(self, data: Any) -> np.ndarray:
        """Rewards `[n, K]` in float64, 0 for an outside option, NaN where there is no alternative; of the component
        that is drawn for each choice, if the model is randomised.

        data: a `Dataset`, a data frame, or the path of a table

        `DataError` for a table that cannot be read, and for a reward that is no finite number.
        """
        return self._rewards(self.read(data), ())[0]

    def twin_rewards(self, data: Any, name: str) -> np.ndarray:
        """Rewards `[n, K, L]` in float64 when an attribute is set to each level, NaN where there is no such twin.

        data: a `Dataset`, a data frame, or the path of a table
        name: of the attribute

        `DataError` as for `rewards`, and for twins by other rules than in training.
        """
        data = self.read(data)
        self._check_rules(data, name)
        return self._rewards(data, (name,))[1][name]

    def _rewards(self, data: Dataset, twins: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rewards, and `[n, K, L]` of twins, of the component that is drawn for each choice."""
        rewards, moved = self._components(data, twins)
        drawn = np.zeros(data.n, int) if self.draw is None else self.draw.components(data)
        every = np.arange(data.n)
        return rewards[drawn, every], {name: values[drawn, every] for name, values in moved.items()}

    def _has_probabilities(self, data: Dataset) -> bool:
        """Whether its choice probabilities are other than the conditional logit of its rewards."""
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], self.params) if self.draw else self.params
        some, people = (
            data.choices(self.coding, np.arange(1)),
            support_sets(data, self.coding, self.support, np.float32),
        )
        said = jax.eval_shape(
            lambda params, some, people: models.predict(self.model, params, some, people=people), one, some, people
        )
        return said.log_probs is not None

    def _components(self, data: Dataset, twins: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rewards of every component, `[A, n, K]`, and of twins, `[A, n, K, L]`; NaN where the design supports none."""
        self.coding.check_known(data.parsed.items, data.parsed.context)
        with jax.enable_x64(True):
            params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self.params)
            if self.draw is None:
                params = jax.tree.map(lambda leaf: leaf[None], params)
            people = support_sets(data, self.coding, self.support, np.float64)
            options = {"twins": tuple(twins), "dtype": np.float64}
            slices = []
            for choices in Slices.of([(data, np.arange(data.n))], self.coding, options, BLOCK):
                valid_here = {name: choices.twins[name].valid for name in twins}
                of_slice = _rewards(self.model, params, choices, people, tuple(twins))
                slices.append((jax.tree.map(np.asarray, of_slice), valid_here))
        of_slices, valid_in_slices = zip(*slices, strict=True)
        rewards, moved = jax.tree.map(lambda *some: np.concatenate(some, 1)[:, : data.n], *of_slices)
        valid = jax.tree.map(lambda *some: np.concatenate(some)[: data.n], *valid_in_slices)
        available = data.parsed.available
        available_rewards = np.where(available, rewards, np.nan)
        twin_rewards = {name: np.where(valid[name], moved[name], np.nan) for name in twins}
        endless = [~np.isfinite(available_rewards) & available]
        endless += [(~np.isfinite(level_rewards) & valid[name]).any(-1) for name, level_rewards in twin_rewards.items()]
        if any(map(np.any, endless)):
            choice = data.choice_ids[int(np.argmax(np.logical_or.reduce(endless).any((0, 2))))]
            raise DataError(
                f"{data.name}: choice {str(choice)[:40]}: its reward is no finite number; are its features too large "
                "for this model, or is the model one that DIVERGED?"
            )
        return available_rewards, twin_rewards

    def score(
        self, data: Any, twins: Sequence[str] = (), *, expected: bool = False, rule: ct.DecisionRule | None = None
    ) -> pd.DataFrame:
        """The scored table: a row per alternative that is not the outside option, in the order of the data.

        data: a `Dataset`, a data frame, or the path of a table
        twins: attributes, for each of which a column `reward:NAME=LEVEL` per level has the reward when it is set so; of
            `constraints.ANOTHER` it is `reward:another person`, beside the column `pair of people`, that names the two
        expected: decisions of a randomised model as means over its draw; then there is no one `reward` (NaN), so no
            twins either. For any other model nothing changes
        rule: from rewards to decisions, in [0, 1] and exact; None: `Argmax`. Under another the table has the column
            `log_ref`, where the schema declares one

        Columns `unit, choice, alternative`, one per attribute, also a crossed one of the model's own constraint (its
        level; empty = does not apply) and per shared column, `outside` where the schema declares one (whether the
        choice has the outside option), `label` (share of the choice; NaN without labels), `reward`, `decision` (hard,
        ties shared, in [0, 1]), `weight`, and `part`, where this model's seed puts the unit (empty where the table
        lacks what places units: `Dataset.unit_origin`). Of a model that reads earlier choices also `role`: "query",
        "support" or "neither" (`faro.data.support`); `part` is the role of what is no query, for no audit is of it.

        `DataError` for a table that cannot be read, or sets on which the rule has no law; `UsageError` for an attribute
        that has no twins.
        """
        data = self.read(data)
        rule = rule or ct.Argmax()
        check_sets(data, rule)
        for name in twins:
            self._check_rules(data, name)
        draw = self.draw if expected else None
        if draw is not None and twins:
            raise UsageError("twins: a randomised model has no one reward to expect; leave out twins, or expected")
        parsed = data.parsed
        alone = [name for name in twins if name != ct.ANOTHER and not data.attributes[name].chooser]
        argmax = isinstance(rule, ct.Argmax)
        if alone and not argmax and parsed.available.shape[1] > 2 and self._has_probabilities(data):
            raise UsageError(
                f"twins of {alone[0]!r}: this model has probabilities of its own, and one number says of more than two "
                "alternatives who is best and no other law; score by argmax, or with a model that has none"
            )
        rewards, moved = self._rewards(data, twins) if draw is None else (np.full(parsed.available.shape, np.nan), {})
        with jax.enable_x64(True):
            components = rewards[None] if draw is None else self._components(data, ())[0]
            log_ref = np.zeros_like(components[0]) if parsed.log_ref is None else parsed.log_ref
            decided = [
                np.asarray(_decided(rule, np.nan_to_num(rewards_of), parsed.available, log_ref))
                for rewards_of in components
            ]
        hard = decided[0] if draw is None else np.tensordot(np.asarray(draw.weights), np.stack(decided), 1)
        n, k = parsed.available.shape
        inside = parsed.inside
        parts = np.full(n, "", object)
        if data.unit_origin != "none":
            parts = np.array(PARTS, object)[assign(data.placement, self.about.get("seed", 0))]
        told = roles(data, self.support) if self.support.k else np.full(n, QUERY, object)
        parts = np.where(told == QUERY, parts, told)
        knows = bool(self.told(data.schema).k)
        if knows and "role" in {*self.attributes(data), *data.shared}:
            raise DataError(f"{data.name}: 'role' says what was told; call the column of the data otherwise")

        def flat(values: Any) -> np.ndarray:
            return np.broadcast_to(np.asarray(values).reshape(n, -1), (n, k))[inside]

        columns = {
            "unit": flat(data.units),
            "choice": flat(data.choice_ids),
            "alternative": flat(data.alternatives),
        }
        for name, attribute in self.attributes(data).items():
            codes = np.asarray(attribute.codes(parsed))
            columns[name] = np.array([*attribute.levels, ""], object)[flat(codes)]
        columns |= {name: texts[inside] for name, texts in data.shared.items() if name not in columns}
        if self.schema.outside:
            columns["outside"] = flat(parsed.outside.any(1, keepdims=True).astype(int))
        columns["label"] = flat(parsed.chosen) if parsed.chosen is not None else np.full(inside.sum(), np.nan)
        columns |= {"role": flat(told)} if knows else {}
        columns |= {"reward": flat(rewards), "decision": flat(hard), "weight": flat(parsed.weight), "part": flat(parts)}
        if parsed.log_ref is not None and not argmax:
            if "log_ref" in {*self.attributes(data), *data.shared}:
                raise DataError(f"{data.name}: 'log_ref' is the reference's; call the attribute or item otherwise")
            columns["log_ref"] = flat(parsed.log_ref)
        for name in twins:
            if name == ct.ANOTHER:
                columns[f"reward:{name}"] = flat(moved[name][..., 0])
                columns[PAIR] = flat(pair_names(data, self.coding.seed))
                continue
            for code, level in enumerate(data.attributes[name].levels):
                columns[f"reward:{name}={level}"] = flat(moved[name][..., code])
        columns |= {name: flat(values) for name, values in self._rewards_of_others(data).items()}
        return pd.DataFrame(columns)

    def _rewards_of_others(self, data: Dataset) -> dict[str, np.ndarray]:
        """Column -> `[n, K]` rewards in float64 of the models that its constraint reads."""
        names = tuple(others.others(self.coding))
        if not names:
            return {}
        with jax.enable_x64(True):
            options = {"columns": names, "dtype": np.float64}
            slices = Slices.of([(data, np.arange(data.n))], self.coding, options, BLOCK)
            read = [choices.columns for choices in slices]
        return {name: np.concatenate([columns[name] for columns in read])[: data.n] for name in names}

    def attributes(self, data: Dataset) -> dict[str, ct.Attribute]:
        """The attributes that a scored table has columns of: name -> `Attribute`.

        data: that would be scored
        """
        return data.attributes | self.crossed

    @property
    def people(self) -> int:
        """How many people of training it knows, by a code of their own or by parameters that are theirs: personal
        data."""
        if self.coding.units is not None:
            return len(self.coding.units)
        theirs = zip(jax.tree.leaves(self._personal()), jax.tree.leaves(self.params), strict=True)
        return max((len(leaf) for personal, leaf in theirs if personal and np.any(leaf)), default=0)

    def _personal(self) -> Any:
        """Of every parameter whether it is of people."""
        return jax.tree.broadcast(self.model.personal(self.params), self.params)

    def without_people(self) -> TrainedModel:
        """The same model for people it does not know: codes of known people are gone, and the parameters that its model
        calls theirs (`faro.models.Model.personal`) are 0. What it says of new people stays what it was.

        `UsageError` for a model that knows nobody, or may have parameters of people and does not say which.
        """
        if not self.people:
            raise UsageError("drop people: the model knows nobody by name (unit_index in the schema): nothing to drop")
        coding, rows = self.coding, None
        if coding.units is not None:
            rows, coding = coding.units.size, dataclasses.replace(coding, units=coding.units.forgotten())
        by_row = [leaf for leaf in jax.tree.leaves(self.params) if rows in np.shape(leaf)]
        if by_row and not models.overrides(self.model, "personal"):
            raise UsageError(
                f"drop people: {type(self.model).__name__} has parameters with {rows} rows, as many as people may be "
                "known, and does not say whose they are; give its class `personal`"
            )
        params = jax.tree.map(lambda own, leaf: np.zeros_like(leaf) if own else leaf, self._personal(), self.params)
        notes = [*self.about.get("notes", []), FORGOTTEN]
        return dataclasses.replace(self, params=params, coding=coding, about=self.about | {"notes": notes})

    def _personal_data(self) -> str:
        if self.coding.units is not None:
            return f"codes of {self.people:,} people, {PERSONAL}"
        return f"what {self.people:,} people of training said, without their names; see docs/privacy.md"

    def save(self, path: str | os.PathLike) -> Path:
        """Write PATH.safetensors, PATH.json and, after training, PATH.units.txt; returns the path of the JSON file.

        path: what the files begin with; an ending .json or .safetensors is left out

        Where there is a JSON file, what it names is of one model. `UsageError` if another process writes there.
        """
        base = base_of(path)
        with locks.alone(base):
            return self._save(base)

    def _save(self, base: Path) -> Path:
        arrays = {f"{CODING}{name}": np.asarray(array, order="C") for name, array in self.coding.arrays().items()}
        records, of_others = others.stored(self.coding)
        tensors = safetensors.numpy.save(named(self.params) | arrays | of_others)
        record = {
            "format": FORMAT,
            "model": to_record(self.model),
            "parameters_sha256": hashlib.sha256(tensors).hexdigest(),
            "constraint": self.specification,
            "loss": self.loss,
            "about": self.about,
            "draw": None if self.draw is None else dataclasses.asdict(self.draw),
            "features": {"items": self.coding.items.summary, "context": self.coding.context.summary},
            "coding": self.coding.to_dict(),
            "schema": self.schema.to_dict(),
            **({"others": records} if records else {}),
            **({"personal_data": self._personal_data()} if self.people else {}),
        }
        target = base.with_name(base.name + ".json")
        with contextlib.ExitStack() as stack:  # all are written before the first is renamed, and the JSON file is last

            def replacing(path: Path) -> Path:
                return stack.enter_context(files.replacing(path))

            replacing(target).write_text(files.json_text(record), encoding="utf-8")
            if self.seen is not None:
                units = replacing(base.with_name(base.name + ".units.txt"))
                units.write_text(units_text(self.seen.units, self.salt, self.seen.shared), encoding="utf-8")
            replacing(base.with_name(base.name + ".safetensors")).write_bytes(tensors)
            target.unlink(missing_ok=True)
        return target

    @property
    def salt(self) -> str:
        """Of the hashed units of training: fixed, so that files are reproducible."""
        return f"{str(self.about.get('digest', ''))[:16]}-{self.about.get('seed', 0)}"


@functools.partial(jax.jit, static_argnames=("model", "twins"))
def _rewards(model: models.Model, params: Any, choices: ct.Choices, people: Any, twins: tuple[str, ...]) -> Any:
    def of_slice(component: Any, seen: models.Seen, outcome: ct.Outcome, some: ct.Choices, rows: Any) -> Any:
        scores = joined(seen.scores)
        out = jnp.sum(jnp.where(some.outside & some.available, scores, 0), -1, keepdims=True)  # 0 by convention
        shifted = scores if seen.log_probs is None else jnp.where(some.outside, 0, scores - out)
        if seen.log_probs is None:
            return shifted, {name: twin.rewards for name, twin in outcome.twins.items()}
        said = models.twin_predictions(model, component, some, twins, people=people)
        return shifted, {name: _as_rewards(twin.scores, shifted, some) for name, twin in said.items()}

    def of_component(component: Any) -> Any:
        read = functools.partial(of_slice, component)
        return models.evaluate(model, component, choices, each=read, twins=twins, people=people)[1]

    return jax.lax.map(of_component, params)


def _as_rewards(scores: Any, rewards: Any, choices: ct.Choices) -> Any:
    """Rewards `[n, K, L]` of the twins of a model with probabilities of its own: those by which each is decided.

    Of a chooser's attribute the log probabilities at each level, as `rewards` are those of the choice as it is. Of an
    alternative's, in whose world it alone is set, by as much above the best of the others as its log probability is:

        reward_k,l = log P_k,l(k) - max_j log P_k,l(j) + max_j reward_j        j: the other alternatives

    so it wins, ties or loses among the others as they are just as in its world (a tie of three or more may be shared
    by another count); of pairs probabilities are kept too.

    scores: log probabilities, see `models.TwinPrediction`
    rewards: `[n, K]` of the choices as they are
    choices: those n choices
    """
    there = choices.available
    if scores.ndim == 3:
        out = jnp.sum(jnp.where((choices.outside & there)[..., None], scores, 0), 1, keepdims=True)
        return jnp.where(choices.outside[..., None], 0, scores - out)
    others = there[:, None] & ~jnp.eye(there.shape[1], dtype=bool)  # [n, K, K]
    rival = jnp.max(jnp.where(others[..., None], scores, -jnp.inf), 2)
    beside = jnp.max(jnp.where(others, rewards[:, None], -jnp.inf), -1)[..., None]
    own = jnp.diagonal(scores, axis1=1, axis2=2).swapaxes(1, 2)
    return jnp.where(jnp.isfinite(rival), own - rival + beside, rewards[..., None])


@jax.jit
def _decided(rule: ct.DecisionRule, rewards: Any, available: Any, log_ref: Any) -> Any:
    """Decisions; as one program, not an operation at a time."""
    return rule.decide(rewards, available, log_ref)


def _drawn(base: Path, draw: dict[str, Any], params: Any) -> Draw:
    """The stored draw; `DataError` if its weights are no distribution over the components of the parameters."""
    weights, by = np.array(draw["weights"]), draw["by"]
    components = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(params)}
    numbers = weights.dtype == np.float64 and components == {weights.shape}
    if not (numbers and weights.min() >= 0 and abs(weights.sum() - 1) <= 1e-9 and by in ("unit", "choice")):
        raise DataError(f"{base}.json: draw: expected weights of {len(weights)} atoms that sum to 1, by unit or choice")
    return Draw(tuple(weights.tolist()), int(draw["seed"]), by)


def model_files(path: str | os.PathLike) -> list[Path]:
    """The files of a saved model."""
    base = base_of(path)
    return [base.with_name(base.name + suffix) for suffix in (".json", ".safetensors")]


def units_file(path: str | os.PathLike) -> Path | None:
    """The hashed units that a saved model was trained on: PATH.units.txt, or that of all models of a run's seed."""
    base = base_of(path)
    return next((file for file in (base.with_name(f"{base.name}.units.txt"), units_of(base)) if file.exists()), None)


def save_made(made: TrainedModel, source: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Write a model that was made of a saved one, with the hashed units of that one; the path of the JSON file.

    made: of the model at `source`, which it was not trained beyond
    source: of the saved one
    path: what the files begin with

    `UsageError` where they would replace the saved one.
    """
    if base_of(path).resolve() == base_of(source).resolve():
        raise UsageError(f"{path}: is the model that it is made of; choose another name")
    place = made.save(path)
    if made.seen is None and (units := units_file(source)) is not None:
        base = base_of(place)
        files.write_text(base.with_name(f"{base.name}.units.txt"), units.read_text(encoding="utf-8"))
    return place


def _parts(attribute: ct.Attribute) -> list[ct.Attribute]:
    """The attributes that a crossed one is made of."""
    return [declared for part in attribute.parts for declared in _parts(part)] or [attribute]


def _check_coded(coding: Coding, schema: Schema) -> None:
    """`ValueError` for a coding of features that the schema does not read so."""
    for block, declared in ((coding.items, schema.kinds(context=False)), (coding.context, schema.kinds(context=True))):
        coded: tuple[Sequence[Any], ...] = (block.numbers, block.levels, block.vectors, block.raw)
        for features, names in zip(coded, declared, strict=True):
            if strange := [feature.name for feature in features if feature.name not in names]:
                raise ValueError(f"coding of {strange[0]!r}, which the schema does not read so")


def _check_shapes(params: Any, begun: Any, wider: Any, components: bool) -> None:
    """`ValueError` for parameters that are not of these shapes, after the axis of components if they have one; a size
    that differs between the two is that of the alternatives, and may be any."""
    given, expected, other = (jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (params, begun, wider))
    shapes = {tensor_name(path): np.shape(leaf)[components:] for path, leaf in given}
    pairs = zip(expected, other, strict=True)
    begins = {tensor_name(path): (leaf.shape, wide.shape) for (path, leaf), (_, wide) in pairs}
    if shapes.keys() != begins.keys() or not all(_fits(shape, *begins[name]) for name, shape in shapes.items()):
        raise ValueError("parameters of other shapes than the model and its coding have")
    if not all(np.issubdtype(leaf.dtype, np.floating) for _, leaf in given):
        raise ValueError("parameters that are no floats")


def _fits(shape: tuple[int, ...], begun: tuple[int, ...], wider: tuple[int, ...]) -> bool:
    return len(shape) == len(begun) and all(
        size == first or first != second for size, first, second in zip(shape, begun, wider, strict=True)
    )


def _check_about(about: Mapping[str, Any]) -> None:
    """`ValueError` where what scoring reads of `about` is not of its type."""
    numbers = [about.get("seed", 0), about.get("unit_rule", 1)]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"about: expected seed and unit_rule as whole numbers, got {str(numbers)[:60]}")
    if not all(isinstance(about.get(name) or "", str) for name in ("digest", "constraint")):
        raise ValueError("about: expected texts as digest and constraint")
    notes = about.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("about: expected notes as a list of texts")


def _specification(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The stored constraint; of format 1 its name, which is no data."""
    if record["format"] != FORMATS[0]:
        return record["constraint"]
    name = record["about"].get("constraint")
    return {"type": name, "opaque": ITS_NAME_ALONE} if name else None


def _stored_model(record: Mapping[str, Any], base: Path) -> models.Model:
    """The model that a file has as data; `UsageError` if it has none, or may not import it."""
    stored = record["model"]
    if record["format"] != FORMAT:
        kind = stored["kind"]
        rest = {"options": stored["options"]} if kind else {"opaque": ITS_NAME_ALONE}
        stored = {"type": kind or stored["class"], **rest}
    try:
        return from_record(stored, "model")
    except UsageError as error:
        raise UsageError(f"{base}: {error}: call load_model(path, model=...) with it") from None


def base_of(path: str | os.PathLike) -> Path:
    """The path that the files of a model begin with."""
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def load_model(path: str | os.PathLike, model: models.Model | None = None) -> TrainedModel:
    """The model that `save` wrote.

    path: of the model's JSON or safetensors file, or what both begin with
    model: the model itself, where the file does not have it as data or its module is not known (`faro.store.spec`)

    `DataError` for files that are damaged or of another model, `UsageError` for a model that must be given.
    """
    base = base_of(path)
    try:
        record = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
        stored = base.with_name(base.name + ".safetensors").read_bytes()
        if record.get("format") not in FORMATS:
            raise DataError(f"{base}.json: expected format {FORMAT}, got {record.get('format')!r}")
        if record["format"] != FORMATS[0] and record["parameters_sha256"] != hashlib.sha256(stored).hexdigest():
            raise DataError(f"{base}.safetensors: damaged, or not the parameters that {base.name}.json is about")
        tensors = safetensors.numpy.load(stored)
        model = _stored_model(record, base) if model is None else model
        arrays = {name: tensors.pop(name) for name in [*tensors] if name.startswith(CODING)}
        arrays = {name.removeprefix(CODING): array for name, array in arrays.items()}
        coding, schema = Coding.from_dict(record["coding"], arrays), Schema.from_dict(record["schema"])
        coding = dataclasses.replace(coding, seed=int(record["about"].get("seed", 0)))
        coding = others.with_made(coding, model.support, others.read(record.get("others", {}), tensors, coding))
        params, draw = nested(tensors, model, coding), record.get("draw")
        draw = None if draw is None else _drawn(base, draw, params)
        _check_about(record["about"])
        _check_coded(coding, schema)
        if (begun := begun_with(model, coding)) is not None:
            wider = begun_with(model, coding, 3)
            _check_shapes(params, begun, begun if wider is None else wider, components=draw is not None)
        as_data = {"specification": _specification(record), "loss": record.get("loss")}
        return TrainedModel(model, params, coding, schema, record["about"], draw=draw, **as_data)
    except FaroError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"no model at {base}: expected {base.name}.json and {base.name}.safetensors") from error
    except (*DAMAGE, safetensors.SafetensorError) as error:
        raise DataError(f"{base}: not a saved model or damaged ({type(error).__name__}: {error})") from error
