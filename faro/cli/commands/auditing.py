"""faro policy and ledger: what an audit will ask, and who has looked so far."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from ...registry import import_constraints
from .. import outputs
from ..flags import add_constraint, add_plugin, said_of_constraint

DEFAULT_BOUND = 0.05  # the bound that a draft asks for where training had none, or several


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    ledger = command(
        "ledger",
        _ledger,
        "Make the ledger of an audit set, before anything looks at it; or show what has looked.",
        "  faro ledger init gate.csv --policy faro.toml\n  faro ledger show --policy faro.toml",
    )
    ledger.add_argument("action", choices=("init", "show"))
    ledger.add_argument(
        "table", nargs="?", metavar="TABLE", help="init: the gate part scored by any model, or a run's folder"
    )
    ledger.add_argument("--data", metavar="NAME|FILE", help="data of a frontier run, if it is not a known data set")
    add_plugin(ledger, "of a frontier run: import its constraint")
    ledger.add_argument("--policy", required=True, metavar="FILE", help="the policy (TOML)")
    ledger.add_argument("--ledger", metavar="FILE", help="the ledger, if it is not where the policy says")
    ledger.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FILE",
        help="init: whose folder is told of the audit set as well",
    )
    outputs.add_plain(ledger)

    policy = command(
        "policy",
        _policy,
        "Draft a policy for a saved model or a frontier run: edit it, then keep it where submitters cannot write.",
        "  faro policy out/model.json --out faro.toml\n  faro policy out/demo --bound 0.05 --out out/demo/faro.toml",
    )
    policy.add_argument("model", help="a saved model, or the folder of a frontier run")
    policy.add_argument(
        "--bound",
        type=float,
        help=f"slack to show (default: that of training; {DEFAULT_BOUND} for a run, or a model without one)",
    )
    add_constraint(policy, "of a model whose file has the constraint's name alone")
    policy.add_argument("--data", metavar="NAME|FILE", help="data of a run, if it is not a known data set")
    policy.add_argument(
        "--tail",
        type=float,
        metavar="SHARE",
        help="of a welfare floor: claim it as well of this share of people, those who fare worst on dev",
    )
    policy.add_argument(
        "--rule", metavar="RULE", help="argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N), on sets as "
        "the schema declares them (default: that of training)",
    )  # fmt: skip
    policy.add_argument(
        "--candidates", choices=("enumerated", "sampled"), help="what a set is, where no schema says it"
    )
    add_plugin(policy, "import the model's constraint")
    policy.add_argument("--out", metavar="FILE", help="where to write (default: stdout)")


def _ledger(options: argparse.Namespace) -> int:
    from ...certify import access, ledger
    from ...certify.certificate import read_described
    from ...certify.policy import read_policy

    policy = read_policy(options.policy)
    place = ledger.place(policy, options.ledger)
    if options.action == "init":
        if not options.table:
            raise UsageError("faro ledger init needs TABLE: the gate part scored by any model, or a run's folder")
        table = Path(options.table)
        if table.is_dir():
            import_constraints(options.plugin)
            from ...certify.frontier import first_model, score_gate

            table = score_gate(table, first_model(table), policy, options.data)
        columns, _, audit = read_described(table, policy)
        outputs.note_shared_content(columns, options)
        folders = [table.parent, policy.folder, place.parent, *(Path(name).parent for name in options.model)]
        access.check(audit.unit, folders)
        access.mark(ledger.create(place, policy, audit), folders)
        secret = f"{place}.seed"
        if options.json:
            print(json.dumps({"ledger": str(place), "seed": secret}))
        else:
            print(f"{place}: {audit.units} units, no attempt yet; keep {secret} from whoever submits models")
        return 0
    with ledger.opened(place, policy) as book:
        following = book.spends(book.attempts + 1)
        record = {
            "ledger": str(place), "attempts": book.attempts, "passes": book.passes, "closed": book.closed,
            "next_share": None if book.closed else float(following),
        }  # fmt: skip
    if options.json:
        print(json.dumps(record))
    else:
        left = book.closed or f"the next attempt may spend {float(following):.2g} of delta {float(policy.delta):g}"
        print(f"{place}: {book.attempts} attempts, {book.passes} of {policy.passes} passes; {left}")
    return 0


def _policy(options: argparse.Namespace) -> int:
    from constraints import Argmax

    from ...api import load_model
    from ...certify.drafts import constraint_of, draft_policy
    from ...certify.frontier import first_model, first_models, read_data
    from ...data import NAMES, load
    from ...data.made import REWARD
    from ...files import write_text

    def told(line: str) -> None:
        print(f"faro: note: {line}", file=sys.stderr)

    import_constraints(options.plugin)
    place, bound = Path(options.model), options.bound
    model = load_model(place / first_model(place) if place.is_dir() else place)
    if options.candidates:
        model = dataclasses.replace(model, schema=model.schema.replace(candidates=options.candidates))
    arguments = said_of_constraint(options)
    constraint = constraint_of(model, arguments)
    bounds = [float(part.bound) for part in constraint.parts()] if constraint is not None else []
    if bound is None and (place.is_dir() or float("inf") in bounds):
        bound = DEFAULT_BOUND
        why = "a run has models of many bounds" if place.is_dir() else "it was trained without a bound"
        told(f"{why}: the draft asks for {DEFAULT_BOUND}; say another with --bound")
    data, others = None, []
    if place.is_dir() and constraint is not None and any(name.startswith(REWARD) for name in constraint.columns()):
        others = [load_model(place / name) for name in first_models(place)]
    if not place.is_dir():
        own = str(model.about.get("data", ""))
        drawn = model.candidates == "sampled" and not isinstance(model.rule_named(options.rule), Argmax)
        source = options.data or (own if options.tail is not None or (drawn and own in NAMES) else None)
        data = None if source is None else model.read(load(source) if source in NAMES else source)
    elif options.data or model.about.get("data") in NAMES:
        data = read_data(place, model, options.data)
    else:
        told("which method is sharpest for these people is not known: give the table with --data")
    text = draft_policy(model, bound, arguments, data, told, others, options.tail, options.rule)
    write_text(options.out, text) if options.out else print(text, end="")
    return 0
