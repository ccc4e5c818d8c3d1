"""What could be certified of a method for new people, read off dev people: no certificate, and nothing of the gate.

A certificate is of one model, and the gate is read once. So it is asked about the method that was recommended, after
that: people who chose a method are no evidence of it. Until then dev people say what the same test makes of as many:
the bound that they would show, and the least one that they could.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..certify import claims
from ..certify.cells import People
from ..certify.drafts import draft_policy
from ..certify.policy import policy_of
from ..certify.showable import Showable, dev_audit, showable
from ..data import Dataset
from ..errors import FaroError
from ..store.model import TrainedModel


def shown(models: Sequence[TrainedModel], data: Dataset, bound: float) -> dict[str, Any]:
    """What dev people show of a method's constraint, at the confidence of a policy, means over seeds: `upper`, an upper
    bound of the gap, and `least`, the bound that as many people could show of equal groups. `why` in their place, where
    no claim says what the constraint does.

    models: of every seed
    data: the whole table
    bound: that is asked for
    """
    found = []
    for own in models:
        try:
            found.append(_of_model(own, data, bound))
        except FaroError as error:
            return {"upper": None, "least": None, "why": str(error)}
    upper, least = map(float, np.mean(found, 0))
    return {"upper": upper, "least": None if math.isnan(least) else least}


def _of_model(model: TrainedModel, data: Dataset, bound: float) -> tuple[float, float]:
    """The largest upper bound of its claims, and the least bound that could be shown of all; of a claim about whole
    distributions the latter is not known, NaN."""
    policy = policy_of(draft_policy(model, bound).encode())
    audit, level = dev_audit(model, data, policy), float(policy.delta)
    uppers, least = [], []
    for claim in policy.audited:
        sharpest = (showable(claim, policy, audit, level) or [Showable(claim.method, float("nan"))])[0]
        own = dataclasses.replace(claim, method=sharpest.method)
        found = claims.find(own, People(dataclasses.replace(policy, claims=(own,)), audit), level)
        uppers.append(1.0 if found.ucb is None else float(found.ucb))
        least.append(sharpest.bound)
    return max(uppers), max(least)


def commands(run: Path, bound: float, data: str, known: bool) -> list[str]:
    """What to type to certify a method of a comparison, once.

    run: the folder of its run
    bound: that is asked for
    data: name or path of the table
    known: whether faro knows the data by that name
    """
    folder, given = shlex.quote(str(run)), "" if known else f" --data {shlex.quote(data)}"
    policy = shlex.quote(str(run / "faro.toml"))
    return [
        f"faro policy {folder} --bound {bound:g}{given} --out {policy}",
        f"faro choose {folder} --policy {policy}{given}",
        f"faro ledger init {folder} --policy {policy}{given}",
        f"faro certify {folder} --policy {policy} --disclose{given}",
    ]
