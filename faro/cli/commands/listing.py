"""`faro constraints`, `models`, `losses`, `advantages`, `settings`: what there is, by name, and whether a constraint
keeps the contract of all."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable

from ...errors import UsageError
from .. import flags, outputs


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    constraints = command(
        "constraints",
        _constraints,
        "List the constraints that are installed, or hold one against the contract that all of them keep.",
        "  faro constraints list\n  faro constraints check mypkg.mine:WaitingTime\n"
        "  faro constraints check mypkg.mine:WaitingTime --data people.csv --schema people.toml --attribute sex",
    )
    constraints.add_argument("action", choices=("list", "check"))
    constraints.add_argument("name", nargs="?", help="a constraint's name, or package.module:Name")
    constraints.add_argument(
        "--data", metavar="NAME|FILE", help="check on choices of these data, with their columns (default: generated)"
    )
    constraints.add_argument("--schema", metavar="FILE", help="schema (TOML) of a table of your own")
    flags.add_measured(constraints)
    outputs.add_plain(constraints, outputs.NO_PROGRESS)

    settings = command(
        "settings",
        _settings,
        "List the settings of training by group: default, when each has an effect, what it means.",
        "  faro settings list\n  faro train --data demo --set steps=300 --set batching.batch=256",
    )
    settings.add_argument("action", choices=("list",))
    outputs.add_plain(settings, outputs.NO_PROGRESS)

    for kind, kinds in (("model", "models"), ("loss", "losses"), ("advantage", "advantages")):
        listed = command(
            kinds,
            functools.partial(_list, kind),
            f"List the {kinds} that are installed, by the names that --{kind} takes.",
            f"  faro {kinds} list",
        )
        listed.add_argument("action", choices=("list",))
        outputs.add_plain(listed, outputs.NO_PROGRESS)


def _list(kind: str, options: argparse.Namespace) -> int:
    """What is installed of a kind: "constraint", "model", "loss" or "advantage"."""
    import inspect

    from ... import registry
    from ..terminal import show_installed

    installed = [
        {
            "name": name,
            "from": point.dist.name if point.dist else "",
            "what": (inspect.getdoc(registry.find(kind, name)) or "").split("\n\n")[0].replace("\n", " "),
        }
        for name, point in registry.declared(kind).items()
    ]
    print(json.dumps(installed, indent=1)) if options.json else show_installed(kind, installed)
    return 0


def _settings(options: argparse.Namespace) -> int:
    from ...training.settings import listing
    from ..terminal import show_settings

    print(json.dumps(listing(), indent=1)) if options.json else show_settings(listing())
    return 0


def _constraints(options: argparse.Namespace) -> int:
    from constraints import testing

    from ... import api, registry
    from ...certify import plugins
    from ..terminal import show_clauses

    if options.action == "list":
        return _list("constraint", options)
    if not options.name:
        raise UsageError("faro constraints check needs a name (see: faro constraints list) or package.module:Name")
    given = {name: getattr(options, name) for name in ("schema", "attribute", "of", "within")}
    choices, where = None, "generated choices"
    if options.data:
        made, choices, where = api.tried_on(options.data, options.name, **given)
    elif any(given.values()):
        name = next(name for name, value in given.items() if value)
        raise UsageError(f"--{name} goes with --data; without data the check makes its own choices")
    else:
        attributes = {attribute.name: attribute for attribute in (testing.GROUP, testing.KIND, testing.COMMUNITY)}
        made = registry.make_constraint(attributes, options.name, testing.GROUP.name, unless=("attribute",))
    results = testing.try_clauses(made, choices)
    kept = not any(results.values())
    notes = list(filter(None, [testing.reads_coding(made, choices)])) if kept else []
    tried = testing.with_columns(made, testing.example_choices()) if choices is None else choices
    rests = plugins.certifiable_as(made, tried) if kept else []
    if options.json:
        checked = {"name": made.name(), "labels": made.labels(), "on": where, "clauses": results, "notes": notes}
        print(json.dumps(checked | {"certificate": dict(rests)}, indent=1))
    else:
        show_clauses(made.name(), where, results, rests)
        outputs.noted(options, notes)
    return 1 if any(results.values()) else 0
