"""Flags that several commands take, in the same words."""

from __future__ import annotations

import argparse

ENCODER = "what reads texts that no schema is about (default: minilm)"
PAIRS = "features of answers to prompts: answer (default), together, both or products"
RULE = "argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N): how rewards become decisions"


def add_measured(sub: argparse.ArgumentParser) -> None:
    """What a constraint measures."""
    sub.add_argument("--attribute", metavar="NAME", help="the attribute whose groups are compared")
    sub.add_argument(
        "--of", metavar="ATTR=LEVEL", help="count only alternatives of this kind (for a chooser's attribute)"
    )
    sub.add_argument("--within", metavar="NAME", help="compare only inside each level of this attribute")
