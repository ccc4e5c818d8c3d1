"""The command around policies: tune."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from ...errors import UsageError
from .. import outputs


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    tune = command(
        "tune",
        _tune,
        "Train a policy over the candidates of a table on the reward of saved models, its rates within a bound.",
        "  faro tune out/reward.json --data demo --out out/free\n"
        "  faro tune out/reward.json --data demo --attribute dialect --bound 0.15 --out out/policy\n"
        "  faro tune out/reward.json --data demo --advantage p_grpo --group community --out out/personal",
    )
    tune.add_argument("rewards", nargs="+", metavar="REWARD", help="a saved model; several: a reward of each")
    tune.add_argument(
        "--data", default="demo", metavar="NAME|FILE", help="prompts with their candidates (default demo)"
    )
    tune.add_argument("--constraint", metavar="NAME", help="on the policy's rates (default: the data's own)")
    tune.add_argument("--attribute", metavar="NAME", help="the attribute whose groups are compared")
    tune.add_argument("--of", metavar="ATTR=LEVEL", help="count only alternatives of this kind")
    tune.add_argument("--within", metavar="NAME", help="compare only inside each level of this attribute")
    tune.add_argument(
        "--bound", type=float, help="largest gap of the policy, in [0, 1] (default: none, gaps are measured)"
    )
    tune.add_argument(
        "--advantage", default="grpo", metavar="NAME", help="grpo (default), or any of faro advantages list"
    )
    tune.add_argument("--group", metavar="NAME", help="attribute by which answers have a preference group")
    tune.add_argument("--placebo", action="store_true", help="groups dealt at random: what a gain must be over")
    tune.add_argument("--model", default="linear", metavar="NAME", help="whose rewards are the logits (default linear)")
    tune.add_argument("--reference", metavar="FILE", help="a saved model that the policy begins as and is drawn to")
    tune.add_argument("--beta", type=float, help="weight of the divergence from the reference, > 0 (default 0.05)")
    tune.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a setting, as steps=200 or level=sequence (repeatable; see docs/policies.md)",
    )  # fmt: skip
    tune.add_argument("--seed", type=int, default=0, help="of initial parameters, prompts and answers (default 0)")
    tune.add_argument("--overwrite", action="store_true", help="replace another finished run in --out")
    tune.add_argument("--out", metavar="FOLDER", help="where policy, trace and manifest go; a killed run goes on there")
    outputs.add_threads(tune)
    outputs.add_plain(tune, outputs.NO_PROGRESS)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    import ast

    values: dict[str, Any] = {} if options.beta is None else {"beta": options.beta}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set expects NAME=VALUE, got {text!r}")
        if name in values:
            raise UsageError(f"setting {name!r} is given twice; leave one out")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def _tune(options: argparse.Namespace) -> int:
    from ... import api
    from ...runtime import programs
    from ..terminal import show_policy

    programs.keep_programs()
    with outputs.progress(options, "tuning") as progress:
        tuned = api.tune(
            options.rewards,
            options.data,
            options.constraint,
            attribute=options.attribute,
            of=options.of,
            within=options.within,
            bound=options.bound,
            advantage=options.advantage,
            group=options.group,
            placebo=options.placebo,
            model=options.model,
            reference=options.reference,
            settings=_settings(options),
            seed=options.seed,
            out=options.out,
            overwrite=options.overwrite,
            command=options.command,
            progress=progress,
        )
    about = tuned.policy.about
    outputs.noted(options, about["notes"])
    print(json.dumps(about, indent=1)) if options.json else show_policy(about, options.out)
    return {"FEASIBLE": 0, "INFEASIBLE": 3, "DIVERGED": 70}[about["status"]]
