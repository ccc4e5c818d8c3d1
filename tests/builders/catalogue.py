"""Constraints of the whole catalogue with their options, on the attributes of `constraints.testing`: what must survive
being stored, typed again, drafted and certified."""

import inspect

import jax.numpy as jnp
import numpy as np

import constraints as ct
from constraints.testing import COMMUNITY, GROUP, KIND
from faro.registry import find_notion, notions

ATTRIBUTES = {own.name: own for own in (GROUP, KIND, COMMUNITY)}
CROSSED = ct.cross(GROUP, KIND)
OPTIONS = {
    "form": ["anchored", "pairwise"],
    "scale": [2, 0.3, 1e-7],
    "tail": [True],
    "bins": [3],
    "thresholds": [(0.5,), (-1.25, 0.1 + 0.2, 3.0)],
    "reference": [0.1, (0.1, 0.2, 0.05, 0.0)],
}


def catalogue():
    """(what is special about it, constraint): every notion bare, with each option, crossed, within and of."""
    for name in notions():
        notion = find_notion(name)
        takes = inspect.signature(notion).parameters
        if name == "person_exchange":
            yield name, notion(0.1)
            yield f"{name} of, within", notion(0.05, of=(KIND, "x"), within=COMMUNITY)
        if "attribute" not in takes:
            continue  # of some other package
        yield name, notion(GROUP)
        for option, values in OPTIONS.items():
            for value in values if option in takes else []:
                yield f"{name}({option}={value})", notion(GROUP, 0.125, **{option: value})
        for bound in (0, 0.6, float("inf"), np.float32(0.05), jnp.asarray(0.05)):
            yield f"{name} at {bound!r}", notion(GROUP, bound)
        yield f"{name} crossed", notion(CROSSED, 0.05)
        yield f"{name} of, within", notion(COMMUNITY, 0.05, of=(KIND, "x"), within=GROUP)
        yield f"{name} within crossed", notion(COMMUNITY, 0.05, within=CROSSED)


def stacks():
    """Several at once: typed as "sex,race", as "a+b", as both, with parts of their own, and nested."""
    parity, odds, cap = ct.demographic_parity, ct.equalized_odds, ct.rate_cap
    yield "several", ct.Stack(members=(parity(GROUP), parity(KIND)))
    yield "joined", ct.Stack(members=(parity(GROUP, 0.2), cap(GROUP, 0.2)))
    yield "both", ct.Stack(members=(parity(GROUP), odds(GROUP), parity(CROSSED), odds(CROSSED)))
    yield (
        "own bounds",
        ct.Stack(members=(parity(GROUP, 0.02), cap(KIND, 0.6), ct.rate_floor(None, 0.9, of=(KIND, "x")))),
    )
    yield "nested", ct.Stack(members=(ct.Stack(members=(parity(GROUP), odds(KIND))), cap(COMMUNITY, of=(KIND, "y"))))


EVERY = [*catalogue(), *stacks()]
