"""What to type for a point of a run: train it again, score with it, certify it."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from ..store.titles import read_title
from ._run import Run, bound_text

OUTPUT, GRID = ("--out",), ("--bounds", "--seeds", "--memory")  # options that another run, or one point, does not take
BLANKS = ("bound", "seed", "model", "slack")  # what differs between the points of a run
BOUND, SEED, MODEL, SLACK = (f"\0{name}\0" for name in BLANKS)  # no command line holds a zero byte
BARE = ("--overwrite", "--json", "--quiet", "--baselines")  # options without a value, which change no model


class Command(NamedTuple):
    """`note` and `text` may hold blanks (`BLANKS`); `verdict` says for which points it is: with a
    certificate (True), without one (False), or all (None)."""

    title: str
    note: str
    text: str
    verdict: bool | None = None


def commands(run: Run) -> list[Command]:
    """The commands that every point of a run shares."""
    folder = Path(run.folder).as_posix()
    model = shlex.quote(f"{folder}/models/") + f"{MODEL}.json"
    return [*_again(run), _score(run, model), *_certify(run, folder, model)]


def of_member(run: Run, row: int) -> list[Command]:
    """The commands of one member of frontier.csv."""
    values = blanks(run, row)
    certified = bool(run.verdicts[row])
    return [
        command._replace(note=fill(command.note, values), text=fill(command.text, values))
        for command in commands(run)
        if command.verdict in (None, certified)
    ]


def blanks(run: Run, row: int) -> dict[str, str]:
    """What stands in the blanks of a command for this member."""
    member = run.members.iloc[row]
    model = Path(str(member.get("model", ""))).stem or f"seed{member['seed']}"
    bound = float(member["bound"])
    slack = repr(bound) if bound < 1 else "0.05"  # a policy cannot ask for less than nothing
    return {"bound": repr(bound), "seed": str(member["seed"]), "model": model, "slack": slack}


def fill(text: str, values: dict[str, str]) -> str:
    """The text with its blanks filled in, one pass: what is filled in is not read again."""
    return re.sub(r"\0(\w+)\0", lambda found: values[found[1]], text)


def _again(run: Run) -> list[Command]:
    """Training: the sweep that the point is of, which is exact; and the point alone, which is faster."""
    model = f"again/models/{MODEL}.json"
    exact = f"The sweep it is of: the same numbers to the last digit, on the same machine and versions. Gives {model}."
    words = _asked(run.manifest.get("command"), OUTPUT)
    alone = _asked(run.manifest.get("command"), (*OUTPUT, *GRID))
    if words is None or alone is None:
        return [Command("Train this point again", f"{exact} The run was started from Python.", _python(run))]
    return [
        Command(
            "Train this point again",
            f"{exact} To be typed where the run was started.",
            shlex.join(["faro", "frontier", *words, "--out", "again"]),
        ),
        Command(
            "Train it alone",
            "Faster, and not quite the same: a smaller program rounds in another way, so that another step of training "
            "may be chosen, and rates may differ by a few hundredths.",
            f"{shlex.join(['faro', 'train', *alone])} --bound {BOUND} --seed {SEED} --out {MODEL}",
        ),
    ]


def _asked(command: Any, drop: tuple[str, ...] = ()) -> list[str] | None:
    """The options of a recorded `faro frontier` that say what was trained, but those to drop; None if it is none."""
    words = shlex.split(command) if isinstance(command, str) else []
    if words[:2] != ["faro", "frontier"]:
        return None
    kept, rest = [], iter(words[2:])
    for word in rest:
        name, equals, _ = word.partition("=")
        if name in BARE:
            continue
        value = [] if equals else [next(rest, "")]
        if name not in drop:
            kept += [word, *value]
    return kept


def _python(run: Run) -> str:
    """The call that repeats a sweep, from what the manifest holds."""
    settings = dict(run.manifest.get("configuration", {}))
    model = settings.pop("model", "Linear()")
    seeds = sorted(int(seed) for seed in run.members["seed"].unique())
    asked = [f"{run.data['name']!r}", *_notion(run), f"bounds={run.bounds!r}", f"seeds={seeds!r}"]
    asked += [f"model=models.{model}", f"settings={settings!r}", "out='again'"]
    lines = "".join(f"    {each},\n" for each in asked)
    modules = "models, specification" if "specification" in lines else "models"
    return f"import faro\nfrom faro import {modules}\n\nrun = faro.frontier(\n{lines})"


def _notion(run: Run) -> list[str]:
    """The arguments that say which constraint it is: its names, or where they cannot tell the constraint as data."""
    stored = run.manifest["constraint"]
    record = stored.get("record", {})
    named = stored.get("asked") if record else _named(run)
    if named:
        return [repr(named["constraint"]), *(f"{key}={value!r}" for key, value in named.items() if key != "constraint")]
    if "options" in record and not _opaque(record):
        return [f"specification.from_record({record!r})"]
    return [f"constraint  # {' '.join(stored['name'].split())}, as it was given"]


def _named(run: Run) -> dict[str, Any] | None:
    """What the names of a run of format 1 say, if that is one attribute for all parts."""
    parts = [own for part in run.parts for own in read_title(part)]
    notions = [part.pop("constraint") for part in parts]
    same = all(part == parts[0] for part in parts)
    return {"constraint": "+".join(notions), **parts[0]} if parts[0] and same else None


def _opaque(record: Any) -> bool:
    """Whether a part of a stored constraint is not stored as data."""
    each = record.values() if isinstance(record, dict) else record if isinstance(record, list) else ()
    return (isinstance(record, dict) and "opaque" in record) or any(map(_opaque, each))


def _twins(run: Run) -> set[str]:
    """The attributes whose twins the constraint looks at."""
    stored = run.manifest["constraint"]
    if "twins" in stored:
        return set(stored["twins"])
    parts = [own for part in run.parts for own in read_title(part)]
    return {own["attribute"] for own in parts if own["constraint"].startswith("counterfactual_") and "attribute" in own}


def _source(run: Run) -> str:
    """What was trained on: --data of the command, or the data set's name."""
    words = _asked(run.manifest.get("command")) or []
    given = [after for before, after in itertools.pairwise(words) if before == "--data"]
    given += [word.partition("=")[2] for word in words if word.startswith("--data=")]
    return shlex.quote(given[0] if given else str(run.data["name"]))


def _score(run: Run, model: str) -> Command:
    return Command(
        "Score data with it",
        "The development part of the same data; any table with the columns of the model's schema does as well.",
        f"faro score {model} {_source(run)} --part dev --out scored.csv",
    )


def _certify(run: Run, folder: str, model: str) -> list[Command]:
    """Checking the certificate that a point has, or the way to one."""
    place, units = shlex.quote(f"{folder}/certificates/"), shlex.quote(f"{folder}/models/") + f"seed{SEED}.units.txt"
    weights = model.removesuffix(".json") + ".safetensors"
    files = f"--model {model} --model {weights} --train-units {units}"
    policy = shlex.quote(f"{folder}/faro.toml")
    check = f"faro verify {place}{MODEL}.json {place}{MODEL}.csv --policy {policy} \\\n  {files}"
    found = [
        Command("Check its certificate", "With the policy it was made under, here faro.toml of the run.", check, True)
    ]
    shown = "".join(f" --twins {shlex.quote(name)}" for name in sorted(_twins(run)))
    way = [
        f"faro policy {model} --bound {SLACK} --out faro.toml",
        f"faro score {model} {_source(run)} --part gate{shown} --out gate.csv",
        "faro ledger init gate.csv --policy faro.toml",
        f"faro certify gate.csv --policy faro.toml --disclose --out certificate.json \\\n  {files}",
    ]
    note = (
        "On people held back from everything else. Edit the drafted policy first: which bound to show, of which "
        "groups. Showing the numbers uses this audit set up: do it once, last."
    )
    return [*found, Command("Certify it", note, "\n".join(way), False)]


def member_text(run: Run, row: int) -> str:
    """A member as words: "bound 0.05, seed 1"."""
    member = run.members.iloc[row]
    bound = float(member["bound"])
    return f"{f'bound {bound_text(bound)}' if math.isfinite(bound) else 'unconstrained'}, seed {member['seed']}"
