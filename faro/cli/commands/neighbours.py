"""`faro neighbours`: a trained model, and what people who answered alike before said of the same question. What it
means: docs/personal.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from .. import flags, outputs


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
    neighbours = command(
        "neighbours",
        _neighbours,
        "Add to a trained model what people of train who answered other questions alike said of the same question.",
        "  faro neighbours out/model.json --data votes.csv --out out/neighbours.json",
    )
    neighbours.add_argument("model", help="a trained model, of any kind")
    neighbours.add_argument("--data", required=True, metavar="NAME|FILE", help="what it was trained on")
    neighbours.add_argument(
        "-k", "--support", type=int, default=10, metavar="N", help="choices of a person that are compared (default 10)"
    )
    neighbours.add_argument("--out", required=True, metavar="FILE", help="where the model is saved")
    outputs.add_plain(neighbours)


def _neighbours(options: argparse.Namespace) -> int:
    from ...people import neighbours
    from ...store.model import load_model
    from ...store.saved import save_made
    from .people import said

    model = load_model(options.model)
    table = model.read(flags.source(options.data))
    own = neighbours.fit(model, table, options.support)
    place, worth = save_made(own, options.model, options.out), own.about["neighbours"]
    people, questions = own.params["memory"]["answered"].shape
    if options.json:
        print(json.dumps({"model": str(place), "people": people, "questions": questions, **worth}))
        return 0
    said(f"{place}: answers of {people:,} people of train to {questions:,} questions that two or more were asked", "")
    print(f"  weight of those who answered alike {worth['near']:.3g}, of all {worth['crowd']:.3g}")
    if not worth["near"]:
        print("  on the selection part those who answered alike say nothing that the model does not")
    outputs.noted(
        options, ["decisions change with it: measure and certify its gap again; the file holds people's answers"]
    )
    return 0
