"""A stated jury on scored tables: what each group decides, mixed by its seats (`faro.voting.jury`).

What a group decides is a table of its own, of the same rows; or one table has rewards of twins, `reward:region=north`,
as `faro score --twins region` writes them, and a rule decides by each.

    reward of the jury's table = log decision, less that of the outside option where there is one

so that `softmax(temperature=1)` of it is the jury's law, and a certificate of that rule is one of the jury.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import constraints as ct

from ..data.decided import SUMMED, Decided
from ..errors import DataError, UsageError
from ..voting import jury
from .views import as_chosen, like, outside_of

RULE = "softmax(temperature=1)"
SMALLEST = 1e-30  # of a probability whose logarithm is a number


def of_twins(table: Decided, attribute: str, rule: str = "argmax") -> dict[str, np.ndarray]:
    """Level -> decisions `[n, K]` by the rewards of its twins.

    table: scored, with twins of the attribute
    attribute: of choosers
    rule: by which rewards become decisions, of those that read no reference
    """
    head = f"reward:{attribute}="
    levels = [str(name).removeprefix(head) for name in table.frame if str(name).startswith(head)]
    if not levels:
        raise DataError(f"{table.where}: no column {head}LEVEL; score with --twins {attribute}")
    try:
        decides = ct.rule_of(rule, "enumerated")
    except ValueError as error:
        raise UsageError(f"--rule: {error}") from None
    if not isinstance(decides, ct.Argmax | ct.Softmax):
        raise UsageError(f"--rule: expected argmax or softmax(temperature=...), got {rule!r}")
    beside = np.concatenate([table.there, _outside(table)[:, None]], 1)  # the outside option has the reward 0
    choices = ct.make_choices(
        np.zeros((*beside.shape, 1)), beside / np.maximum(beside.sum(1, keepdims=True), 1), available=beside
    )
    found = {}
    with jax.enable_x64(True):
        for level in levels:
            rewards = jnp.concatenate([table.numbers(head + level), np.zeros((len(beside), 1))], 1)
            found[level] = np.asarray(ct.decide(decides, rewards, choices).decisions)[:, :-1]
    return found


def of_tables(tables: Mapping[str, Decided]) -> dict[str, np.ndarray]:
    """Group -> decisions `[n, K]` of its table, in the rows of the first.

    tables: of the same rows
    """
    first = next(iter(tables.values()))
    return {group: like(table, first, table.decisions) for group, table in tables.items()}


def mixed(decisions: Mapping[str, np.ndarray], weights: Mapping[str, float], where: str = "table") -> np.ndarray:
    """Decisions `[n, K]` of the jury; what a group decides for nobody is the outside option's.

    decisions: group -> `[n, K]`
    weights: group -> its share of the seats
    where: name of the table, for messages
    """
    whole = {}
    for group, of in decisions.items():
        left = 1 - of.sum(1, keepdims=True)
        if (left < -SUMMED).any():
            raise DataError(f"{where}: decisions of {group!r} add up to {1 - left.min():g} in some choice, at most 1")
        whole[group] = np.concatenate([of, np.maximum(left, 0)], 1)
        whole[group] /= whole[group].sum(1, keepdims=True)
    return jury(whole, weights)[:, :-1]


def seated(table: Decided, decisions: Mapping[str, np.ndarray], law: np.ndarray) -> pd.DataFrame:
    """The rows of a table with what the groups and the jury decide, without what was of one model.

    table: of the same rows
    decisions: group -> `[n, K]`
    law: `[n, K]` of the jury
    """
    dropped = [
        name for name in table.frame if str(name).startswith(("reward", "decision")) or name in ("log_ref", "role")
    ]
    left = outside_of(law)
    beside = _outside(table) | (left > SUMMED)
    logs = np.log(np.maximum(law, SMALLEST)) - np.where(beside, np.log(np.maximum(left, SMALLEST)), 0)[:, None]
    made = {f"decision:{group}": table.flat(of) for group, of in decisions.items()}
    return table.frame.drop(columns=dropped).assign(reward=table.flat(logs), decision=table.flat(law), **made)


def told(
    table: Decided,
    decisions: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    law: np.ndarray,
    attribute: str = "",
) -> dict[str, Any]:
    """Of every group, of a juror who is drawn and of the plurality: seats, how often it decides as the jury does, and
    as people chose, in all and in each level of an attribute. Every choice counts once.

    table: of the same rows
    decisions, law: as above
    weights: of the groups that sit
    attribute: column of choosers
    """
    best = np.where(table.there, law, -1.0).max(1, keepdims=True)
    plurality = table.there & (law == best) & (best >= 1 - law.sum(1, keepdims=True) - SUMMED)
    laws = {group: decisions[group] for group in weights}
    laws |= {"a juror drawn": law, "the plurality": plurality / np.maximum(plurality.sum(1, keepdims=True), 1)}
    label = table.numbers("label", 0, 1) if table.filled("label") else None
    levels = table.of_choice(attribute) if attribute in table.frame else np.array([], object)
    rows = []
    for name, of in laws.items():
        row: dict[str, Any] = {
            "who": name,
            "seats": weights.get(name),
            "as_jury": float(as_chosen(of, law).mean()),
        }
        if label is not None:
            right = as_chosen(of, label)
            row["right"] = float(right.mean())
            row["of"] = {str(level): float(right[levels == level].mean()) for level in sorted(set(levels) - {""})}
        rows.append(row)
    return {"choices": len(law), "rows": rows}


def _outside(table: Decided) -> np.ndarray:
    """`[n]` whether the table says that a choice has an outside option."""
    if "outside" not in table.frame:
        return np.zeros(len(table.rows), bool)
    return table.of_choice("outside", table.numbers("outside", 0, 1)) == 1
