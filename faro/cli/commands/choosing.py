"""`faro choose`: from a frontier to the model that will pass a policy's gate. What it means: docs/choosing.md."""

from __future__ import annotations

import argparse
import json
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...registry import import_constraints
from .. import outputs
from ..flags import add_plugin

if TYPE_CHECKING:
    from ...certify.choose import Chosen, Member
    from ...certify.policy import Policy

WIDE = 80
INDENT = 10
SHOWN = 8  # rows of the table


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
    choose = command(
        "choose",
        _choose,
        "Name the model of a frontier to ask a policy's gate about: the most accurate that is likely to pass.",
        "  faro choose out/demo --policy out/demo/faro.toml\n"
        "  faro choose out/demo --policy out/demo/faro.toml --sequence",
    )
    choose.add_argument("folder", metavar="RUN", help="the --out folder of faro frontier")
    choose.add_argument("--policy", required=True, metavar="FILE", help="the policy (TOML)")
    choose.add_argument("--ledger", metavar="FILE", help="the ledger, if it is not where the policy says")
    choose.add_argument("--wanted", type=float, default=0.9, metavar="P", help="least chance of passing (default 0.9)")
    choose.add_argument(
        "--sequence", action="store_true",
        help="a list in place of one model, safest first, each at the whole delta until one fails; into the ledger",
    )  # fmt: skip
    choose.add_argument("--data", metavar="NAME|FILE", help="data of the run, if it is not a known data set")
    add_plugin(choose, "import the run's constraint")
    outputs.add_plain(choose)


def _choose(options: argparse.Namespace) -> int:
    from ...certify.choose import choose_point, record_of
    from ...certify.frontier import register
    from ...certify.policy import read_policy
    from ...store.choice import write_choice

    if not 0 < options.wanted < 1:
        raise UsageError(f"--wanted: expected a chance in (0, 1), got {options.wanted:g}")
    import_constraints(options.plugin)
    policy, folder = read_policy(options.policy), Path(options.folder)
    ledger, attempts, level = _level(policy, options.ledger)
    if options.sequence and (ledger is None or attempts):
        why = f"{ledger}: {attempts} attempts were made" if attempts else "the policy names no ledger"
        raise UsageError(f"--sequence: {why}; a sequence is written into a ledger before the first attempt")
    found = choose_point(folder, policy, level, options.data, options.wanted)
    named = [own.model for own, _ in found.sequence] if options.sequence else [found.chosen.model]
    named = named or [found.chosen.model]
    record = record_of(found, policy, named)
    registered = options.sequence and ledger is not None and ledger.exists()
    if registered:
        assert ledger is not None
        register(folder, named, policy, ledger, options.data)
    write_choice(folder, record)
    commands = _commands(options, policy, ledger, attempts, found.chosen)
    if options.json:
        print(json.dumps(record | {"commands": commands, "registered": registered}))
        return 0
    _show(found, folder, policy, options)
    if registered:
        print(f"\n{len(named)} models are in {ledger}, in this order. What is left, once:")
    else:
        print("\nTo ask the gate, once:")
    print("\n".join(f"  {line}" for line in commands))
    outputs.noted(options, [f"{attempts} attempts were made: the next spends {level:.2g} of delta"] if attempts else [])
    return 0


def _level(policy: Policy, path: str | None) -> tuple[Path | None, int, float]:
    """The ledger, how many attempts it has, and what the next may spend: all of delta before the first, since one model
    is a sequence as well."""
    from ...certify import ledger

    if policy.ledger is None:
        return None, 0, float(policy.delta)
    place = ledger.place(policy, path)
    if not place.exists():
        return place, 0, float(policy.delta)
    with ledger.opened(place, policy) as book:
        if book.closed:
            raise UsageError(f"{place}: {book.closed}; a new audit set is needed, there is nothing to choose for")
        attempts = 0 if book.sequence is not None else book.attempts
        return place, attempts, float(book.spends(book.attempts + 1) if attempts else policy.delta)


def _commands(
    options: argparse.Namespace, policy: Policy, ledger: Path | None, attempts: int, chosen: Member
) -> list[str]:
    """What to type to ask the gate."""
    run, given = shlex.quote(str(options.folder)), f"--policy {shlex.quote(options.policy)}"
    given += f" --ledger {shlex.quote(options.ledger)}" if options.ledger else ""
    imported = "".join(f" --plugin {shlex.quote(name)}" for name in options.plugin)
    data = (f" --data {shlex.quote(options.data)}" if options.data else "") + imported
    if ledger is not None and not attempts:
        first = [] if ledger.exists() else [f"faro ledger init {run} {given}{data}"]
        return [*first, f"faro certify {run} {given} --disclose{data}"]
    from ...store.model import load_model
    from ...store.saved import units_file

    model = Path(options.folder, chosen.model)
    table = options.data or load_model(model).about["data"]
    rewards = "".join(f" --twins {shlex.quote(name)}" for name in policy.twins) + imported
    lines = [f"faro score {shlex.quote(str(model))} {shlex.quote(str(table))} --part gate{rewards} --out gate.csv"]
    units = units_file(model)
    told = f"--model {shlex.quote(str(model))}" + (f" --train-units {shlex.quote(str(units))}" if units else "")
    return [*lines, f"faro {'gate' if ledger else 'certify'} gate.csv {given} {told} --out certificate.json"]


# On the terminal ------------------------------------------------------------------------------------------------------


def _show(found: Chosen, folder: Path, policy: Policy, options: argparse.Namespace) -> None:
    from ..terminal import show_members

    own, wanted = found.chosen, f"{found.wanted:.2f}"
    enough = sum(each.chance >= found.wanted for each in found.members)
    price = own.chance - found.stated
    claims = ", ".join(f"{claim.name} {claim.bound}" for claim in policy.audited)
    seeds = len({each.seed for each in found.members})
    print(f"{folder}: {len(found.members)} models of {seeds} seeds; {claims}; delta {found.level:.3g}")
    _said("chosen", f"{own.model}, trained {_within(own)}")
    before = (
        f"{max(0, own.chance):.2f}, and {round(-price, 2) + 0.0:+.2f} since it was chosen among {len(found.members)}"
    )
    _said("passes", f"with probability {found.stated:.2f} ({before})")
    if found.reached:
        _said("why", f"{enough} models pass with {wanted} or more; among those it costs least accuracy")
    else:
        _said("why", f"no model reaches {wanted} once it has been chosen: this is the likeliest")
    _said("on dev", f"accuracy {own.accuracy:.3f}, largest gap {own.gap:.3f}: used to choose, so that they flatter")
    cost, least, most = (f"{round(-value, 3) + 0.0:.3f}" for value in (own.utility, own.high, own.low))  # no -0.000
    _said("costs", f"{cost} of accuracy against the unconstrained model of its seed ({least} to {most})")
    if own.blind:
        _said("but", own.blind)
    if (after := found.following) is not None:
        many = f"no number of {found.units} would do" if found.needed is None else _many(found.needed, found.units)
        gain, chance = f"{after.utility - own.utility:+.3f} of accuracy", f"{max(0, after.chance):.2f}"
        _said("next", f"{after.model}, trained {_within(after)}: {gain}, passes with {chance}; for {wanted} {many}")
    if options.sequence:
        show_members([(own, reached) for own, reached in found.sequence])
        print("Each is certified at the whole delta, in this order, until one is not. With")
        print("probability at most delta one is certified whose claim is false.")
    else:
        show_members([(own, None) for own, _ in found.sequence[:SHOWN]], found.chosen)


def _within(own: Member) -> str:
    bounds = [bound for bound in own.bounds if bound != float("inf")]
    return f"within {', '.join(f'{bound:g}' for bound in bounds)}" if bounds else "without a bound"


def _many(times: float, units: str) -> str:
    from ...certify.sample_size import more

    return f"{more(times, units)}, on dev and at the gate"


def _said(what: str, text: str) -> None:
    print(textwrap.fill(text, WIDE, initial_indent=what.ljust(INDENT), subsequent_indent=" " * INDENT,
                        break_long_words=False, break_on_hyphens=False))  # fmt: skip
