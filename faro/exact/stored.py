"""An envelope as two files, from which `faro verify` proves it with neither solver nor faro.

    table     the problem as JSON Lines: ridge, rows, and of every choice its weight, label and features
    record    the claims as JSON: of every point (w, multipliers) its slack, loss and lower line; the width between them
              and, of models that are held against it, how much lower any other model could be

Every claim has a little to spare, which is for the verifier's rounding. Format: docs/envelope.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .dual import SCOPE, Point
from .envelope import Envelope
from .head import Head
from .rows import Rows

SCHEMA, TABLE = "faro-envelope/1", "faro-features/1"
SPARE = 1e-9  # of losses and lower lines, relative and absolute
SPARE_OF_SUMS = 1e-12  # of what is a few operations on them


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedModel:
    """A model that is held against the envelope, with the dual point of its own run."""

    w: np.ndarray
    loss: float  # with the ridge
    point: Point


def table(head: Head, rows: Rows) -> Iterator[str]:
    """The lines of the table. An alternative that is not available is left out; one without features (an outside
    option) is `[]`. Numbers read back as the same doubles."""
    yield _line({"schema": TABLE, "ridge": head.ridge, "features": head.d, "rows": len(rows.labels)})
    for label, row, base, slope in zip(rows.labels, rows.matrix, rows.base, rows.slope, strict=True):
        yield _line({"row": label, "base": float(base), "slope": float(slope), "features": row.tolist()})
    choices = head.choices
    parts = (head.features, choices.available, choices.chosen, choices.weight)
    features, available, chosen, weight = (np.asarray(part) for part in parts)
    for x, there, y, share in zip(features, available, chosen.astype(float), weight.astype(float), strict=True):
        items = [features_of.tolist() if features_of.any() else [] for features_of in x[there].astype(float)]
        yield _line({"weight": float(share), "chosen": y[there].tolist(), "items": items})


def record(
    rows: Rows, envelope: Envelope, table_sha256: str, members: Mapping[str, PlacedModel], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The claims, sealed with a sha256 of their own. `members` are models by name; `about`
    says what the sample and the constraint are: it is sealed, and nothing of it is proved."""
    points = sorted((_claims(rows, point) for point in envelope.points), key=lambda claim: claim["slack"])
    placed = []
    for name, placed_model in members.items():
        dual_point = _claims(rows, placed_model.point)
        model: dict[str, Any] = {
            "w": placed_model.w,
            "slack": _slack(rows, placed_model.w),
            "loss": placed_model.loss + SPARE * (1 + abs(placed_model.loss)),
        }
        model["gap"] = (
            model["loss"] - max(_line_at(point, model["slack"]) for point in [*points, dual_point]) + SPARE_OF_SUMS
        )
        model["own_gap"] = model["loss"] - _line_at(dual_point, model["slack"]) + SPARE_OF_SUMS
        placed.append({"name": name} | _texts(model) | {"own": _texts(dual_point)})
    claims = {
        "schema": SCHEMA,
        "scope": SCOPE,
        "about": dict(about),
        "table_sha256": table_sha256,
        "width": repr(_width(points) + SPARE_OF_SUMS),
        "points": [_texts(claim) for claim in points],
        "members": placed,
    }
    return claims | {"sha256": hashlib.sha256(_line(claims, sort_keys=True).encode()).hexdigest()}


def _line_at(claim: dict[str, Any], slack: float) -> float:
    return claim["constant"] - claim["price"] * slack


def _slack(rows: Rows, w: np.ndarray) -> float:
    terms = np.abs(rows.matrix) @ np.abs(w) + np.abs(rows.base)
    return rows.slack(w) + SPARE_OF_SUMS * float(np.max(terms / np.where(rows.slope > 0, rows.slope, 1), initial=1))


def _claims(rows: Rows, point: Point) -> dict[str, Any]:
    return {
        "slack": _slack(rows, point.w),
        "loss": point.loss + SPARE * (1 + abs(point.loss)),
        "constant": point.constant - SPARE * (1 + abs(point.constant)),
        "price": point.price * (1 + SPARE_OF_SUMS),
        "w": point.w,
        "multipliers": point.multipliers,
    }


def _width(points: list[dict[str, Any]]) -> float:
    """`Envelope.widest` of claims, in the order of their slacks."""
    least, widest = np.inf, 0.0
    losses = [least := min(least, point["loss"]) for point in points]
    for (a, high), (b, low) in itertools.pairwise([(points[0], losses[0]), *zip(points, losses, strict=True)]):
        steeper = a["price"] - b["price"]
        cross = (a["constant"] - b["constant"]) / steeper if steeper > 0 else a["slack"]
        for at in (a["slack"], min(max(cross, a["slack"]), b["slack"]), b["slack"]):
            along = (at - a["slack"]) / (b["slack"] - a["slack"]) if b["slack"] > a["slack"] else 1.0
            lower = max(_line_at(line, at) for line in (a, b))
            widest = max(widest, high + along * (low - high) - lower)
    return widest


def _texts(claim: dict[str, Any]) -> dict[str, Any]:
    """Numbers as decimal strings that read back as the same doubles."""
    plain = {key: [repr(float(x)) for x in value] for key, value in claim.items() if isinstance(value, np.ndarray)}
    return {key: repr(float(value)) for key, value in claim.items() if key not in plain} | plain


def _line(value: Any, **options: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), **options)
