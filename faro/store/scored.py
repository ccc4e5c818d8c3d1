"""The scored table of a trained model: a row per alternative that is not the outside option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

import constraints as ct

from ..data import PARTS, Dataset, assign
from ..data.candidates import check_sets
from ..data.exchange import pair_names
from ..data.support import QUERY, roles
from ..errors import DataError, UsageError
from ..units import PAIR
from .rewards import component_rewards, drawn_rewards, has_probabilities, other_rewards

if TYPE_CHECKING:
    from .model import TrainedModel


def scored_table(
    trained: TrainedModel, data: Dataset, twins: Sequence[str], expected: bool, rule: ct.DecisionRule | None
) -> pd.DataFrame:
    """See `TrainedModel.score`; the data are as the model reads them."""
    rule = rule or ct.Argmax()
    check_sets(data, rule)
    for name in twins:
        trained.check_twins(data, name)
    draw = trained.draw if expected else None
    if draw is not None and twins:
        raise UsageError("twins: a randomised model has no one reward to expect; leave out twins, or expected")
    parsed: Any = data.parsed
    alone = [name for name in twins if name != ct.ANOTHER and not data.attributes[name].chooser]
    argmax = isinstance(rule, ct.Argmax)
    if alone and not argmax and parsed.available.shape[1] > 2 and has_probabilities(trained, data):
        raise UsageError(
            f"twins of {alone[0]!r}: this model has probabilities of its own, and one number says of more than two "
            "alternatives who is best and no other law; score by argmax, or with a model that has none"
        )
    rewards: np.ndarray = np.full(parsed.available.shape, np.nan)
    moved: dict[str, np.ndarray] = {}
    if draw is None:
        rewards, moved = drawn_rewards(trained, data, twins)
    with jax.enable_x64(True):
        components = rewards[None] if draw is None else component_rewards(trained, data, ())[0]
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
        parts = np.array(PARTS, object)[assign(data.placement, trained.about.get("seed", 0))]
    told = roles(data, trained.support) if trained.support.k else np.full(n, QUERY, object)
    parts = np.where(told == QUERY, parts, told)
    knows = bool(trained.told(data.schema).k)
    if knows and "role" in {*trained.attributes(data), *data.shared}:
        raise DataError(f"{data.name}: 'role' says what was told; call the column of the data otherwise")

    def flat(values: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(values).reshape(n, -1), (n, k))[inside]

    columns = {
        "unit": flat(data.units),
        "choice": flat(data.choice_ids),
        "alternative": flat(data.alternatives),
    }
    for name, attribute in trained.attributes(data).items():
        codes = np.asarray(attribute.codes(parsed))
        columns[name] = np.array([*attribute.levels, ""], object)[flat(codes)]
    columns |= {name: texts[inside] for name, texts in data.shared.items() if name not in columns}
    if trained.schema.outside:
        columns["outside"] = flat(parsed.outside.any(1, keepdims=True).astype(int))
    columns["label"] = flat(parsed.chosen) if parsed.chosen is not None else np.full(inside.sum(), np.nan)
    columns |= {"role": flat(told)} if knows else {}
    columns |= {"reward": flat(rewards), "decision": flat(hard), "weight": flat(parsed.weight), "part": flat(parts)}
    if parsed.log_ref is not None and not argmax:
        if "log_ref" in {*trained.attributes(data), *data.shared}:
            raise DataError(f"{data.name}: 'log_ref' is the reference's; call the attribute or item otherwise")
        columns["log_ref"] = flat(parsed.log_ref)
    for name in twins:
        if name == ct.ANOTHER:
            columns[f"reward:{name}"] = flat(moved[name][..., 0])
            columns[PAIR] = flat(pair_names(data, trained.coding.seed))
            continue
        for code, level in enumerate(data.attributes[name].levels):
            columns[f"reward:{name}={level}"] = flat(moved[name][..., code])
    columns |= {name: flat(values) for name, values in other_rewards(trained, data).items()}
    return pd.DataFrame(columns)


@jax.jit
def _decided(rule: ct.DecisionRule, rewards: Any, available: Any, log_ref: Any) -> Any:
    """Decisions; as one program, not an operation at a time."""
    return rule.decide(rewards, available, log_ref)
