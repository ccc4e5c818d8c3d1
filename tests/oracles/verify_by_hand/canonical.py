"""Canonical JSON, digests, seals, decimals."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction


def C(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def H(value):
    return hashlib.sha256(C(value).encode()).hexdigest()


def seal(cert):
    cert["sha256"] = H({k: v for k, v in cert.items() if k not in ("sha256", "info")})
    return cert


def dec(x, places=10):
    return f"{x:.{places}f}"


def plain(x):
    return str(x) if isinstance(x, Fraction) else x
