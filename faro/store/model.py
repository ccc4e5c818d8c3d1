"""A trained model: parameters, coding and schema, so that it can score a table; saved as safetensors + JSON."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

import constraints as ct

from .. import models
from ..data import Coding, Dataset, Schema, Seen, read_table
from ..data.candidates import named_rule
from ..data.containers import frame_of, unique_columns
from ..data.preferences import labelled
from ..data.support import SupportRule
from ..errors import DataError, UsageError
from ..runtime import locks
from .draw import Draw
from .rewards import drawn_rewards
from .saved import base_of, read_fields, write
from .scored import scored_table
from .spec import crossed, from_record

FORGOTTEN = "known people were dropped: no parameters and codes of them are in this model"
PERSONAL = "salted hashes that a known name can be looked up by"


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

        A table need have no columns of attributes that the model does not read; they are left out.

        `DataError` for a table that cannot be read so.
        """
        rule = self.about.get("unit_rule", 1)  # models that carry no number were trained under rule 1
        if isinstance(data, Dataset):
            self._check_encoders(data)
            if self.model.support and data.schema.order != self.schema.order:
                theirs, mine = (repr(of.order) if of.order else "none" for of in (data.schema, self.schema))
                raise DataError(f"{data.name}: the schema has the order {theirs}, and in training it was {mine}")
            if lacking := [name for name in self.model.reads if name not in data.attributes]:
                raise DataError(f"{data.name}: no attribute {lacking[0]!r}, which the model reads; declare it")
            return data.read_by(self.schema, rule)
        held = frame_of(data)
        table = read_table(data) if held is None else unique_columns(held, "table")
        folder = None if held is not None else Path(data).parent  # of the schema's arrays
        if labels is None:
            labels = not self.schema.label or labelled(table, self.schema.label)
        name = None if held is not None else Path(data).name
        how: dict[str, Any] = {"labels": labels, "unit_rule": rule, "folder": folder, "reads": self.model.reads}
        return Dataset.from_table(table, self.schema, name=name, **how)

    def check_one(self, asks: str) -> None:
        """`UsageError` for a randomised model, whose rewards are those of the component that is drawn.

        asks: who asks for them, as the message begins
        """
        if self.draw is not None:
            raise UsageError(f"{asks}: a randomised model has no one reward; take one of its components")

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

    def check_twins(self, data: Dataset, name: str) -> None:
        """`DataError` for twins that arise otherwise than in training, by other rules or with another history;
        `UsageError` where the data have none.

        data: whose twins they are
        name: of the attribute
        """
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
        return drawn_rewards(self, self.read(data), ())[0]

    def twin_rewards(self, data: Any, name: str) -> np.ndarray:
        """Rewards `[n, K, L]` in float64 when an attribute is set to each level, NaN where there is no such twin.

        data: a `Dataset`, a data frame, or the path of a table
        name: of the attribute

        `DataError` as for `rewards`, and for twins by other rules than in training.
        """
        data = self.read(data)
        self.check_twins(data, name)
        return drawn_rewards(self, data, (name,))[1][name]

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
        return scored_table(self, self.read(data), twins, expected, rule)

    def attributes(self, data: Dataset) -> dict[str, ct.Attribute]:
        """The attributes that a scored table has columns of: name -> `Attribute`.

        data: that would be scored
        """
        there = data.attributes
        return there | {name: own for name, own in self.crossed.items() if all(of.name in there for of in _parts(own))}

    @property
    def people(self) -> int:
        """How many people of training it knows, by a code of their own or by parameters that are theirs: personal
        data."""
        return max(self._named, self._told)

    @property
    def _named(self) -> int:
        """How many people of training it knows by a code."""
        return 0 if self.coding.units is None else len(self.coding.units)

    @property
    def _told(self) -> int:
        """Of how many people of training it has parameters."""
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

    @property
    def personal_data(self) -> str:
        """What of people is in it, in words."""
        said = [f"codes of {self._named:,} people, {PERSONAL}"] if self._named else []
        if self._told:
            said.append(f"what {self._told:,} people of training said, or was learned of each, without their names")
        return "; ".join([*said, "see docs/privacy.md"])

    def save(self, path: str | os.PathLike) -> Path:
        """Write PATH.safetensors, PATH.json and, after training, PATH.units.txt; returns the path of the JSON file.

        path: what the files begin with; an ending .json or .safetensors is left out

        Where there is a JSON file, what it names is of one model. `UsageError` if another process writes there.
        """
        base = base_of(path)
        with locks.alone(base):
            return write(self, base)

    @property
    def salt(self) -> str:
        """Of the hashed units of training: fixed, so that files are reproducible."""
        return f"{str(self.about.get('digest', ''))[:16]}-{self.about.get('seed', 0)}"


def _parts(attribute: ct.Attribute) -> list[ct.Attribute]:
    """The attributes that a crossed one is made of."""
    return [declared for part in attribute.parts for declared in _parts(part)] or [attribute]


def load_model(path: str | os.PathLike, model: models.Model | None = None) -> TrainedModel:
    """The model that `save` wrote.

    path: of the model's JSON or safetensors file, or what both begin with
    model: the model itself, where the file does not have it as data or its module is not known (`faro.store.spec`)

    `DataError` for files that are damaged or of another model, `UsageError` for a model that must be given.
    """
    return TrainedModel(**read_fields(path, model))
