"""What to type for a point of a run: train it again, score with it, certify it."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..store.run import CERTIFICATES, MODELS, POLICY, units_name
from ._run import Run, bound_text

OUTPUT, GRID = ("--out",), ("--bounds", "--seeds", "--memory")  # options that another run, or one point, does not take
BLANKS = ("bound", "seed", "model", "slack")  # what differs between the points of a run
BOUND, SEED, MODEL, SLACK = (f"\0{name}\0" for name in BLANKS)  # no command line holds a zero byte
REMARK = "  # "
OWN = ("constraints:", "faro.")  # places that are imported anyway
FLAGS = ("--overwrite", "--json", "--quiet", "--baselines", "--drop-people")  # options without a value


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
    model = shlex.quote(f"{folder}/{MODELS}/") + f"{MODEL}.json"
    return [*_again(run), _score(run, model), *_certify(run, folder, model)]


def of_trial(run: Run, row: int) -> list[Command]:
    """The commands of one trial of frontier.csv."""
    values = blanks(run, row)
    certified = bool(run.verdicts[row])
    return [
        command._replace(note=fill(command.note, values), text=fill(command.text, values))
        for command in commands(run)
        if command.verdict in (None, certified)
    ]


def blanks(run: Run, row: int) -> dict[str, str]:
    """What stands in the blanks of a command for this trial."""
    trial = run.rows[row]
    model = Path(str(trial.get("model", ""))).stem or f"seed{trial['seed']}"
    bound = float(trial["bound"])
    slack = repr(bound) if bound < 1 else "0.05"  # a policy cannot ask for less than nothing
    trained_at = float(run.trained_at[row])  # what trains the model again
    return {"bound": repr(trained_at), "seed": str(trial["seed"]), "model": model, "slack": slack}


def fill(text: str, values: dict[str, str]) -> str:
    """The text with its blanks filled in, one pass: what is filled in is not read again."""
    return re.sub(r"\0(\w+)\0", lambda blank: values[blank[1]], text)


def _again(run: Run) -> list[Command]:
    """Training: the sweep that the point is of, which is exact; and the point alone, which is faster."""
    model = f"again/{MODELS}/{MODEL}.json"
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
        if name in FLAGS:
            continue
        value = [] if equals else [next(rest, "")]
        if name not in drop:
            kept += [word, *value]
    return kept


def _python(run: Run) -> str:
    """The call that repeats a sweep, from what the manifest holds."""
    settings = dict(run.manifest.get("configuration", {}))
    model_name = settings.pop("model", "a model")
    seeds = sorted(int(seed) for seed in run.trials["seed"].unique())
    name = str(run.data["name"])
    known = repr(name) if "title" in run.data else f"data{REMARK}{' '.join(name.split())}, as it was given"
    arguments = [known, *_notion(run), f"bounds={run.bounds!r}", f"seeds={seeds!r}"]
    arguments += [_thing(run, "model", model_name), f"settings={settings!r}", "out='again'"]
    for option in ("pairs", "encoder"):
        if run.data.get(option):
            arguments.insert(-1, f"{option}={run.data[option]!r}")
    if run.manifest.get("loss"):
        arguments.insert(-1, _thing(run, "loss", "the loss"))
    lines = "".join(f"    {argument}{remark}\n" for argument, remark in map(_comma, arguments))
    modules = "import faro\nfrom faro.store import spec\n" if "spec.from_record" in lines else "import faro\n"
    return f"{modules}\nrun = faro.frontier(\n{lines})"


def _comma(argument: str) -> tuple[str, str]:
    """An argument with its comma, before a remark if it has one."""
    text, mark, remark = argument.partition(REMARK)
    return f"{text},", mark + remark


def _notion(run: Run) -> list[str]:
    """The arguments that say which constraint it is: its names, or where they cannot tell the constraint as data."""
    stored = run.manifest["constraint"]
    record, named = stored.get("record", {}), stored.get("asked")
    if named:
        return [repr(named["constraint"]), *(f"{key}={value!r}" for key, value in named.items() if key != "constraint")]
    if "options" in record and not _opaque(record):
        return [f"spec.from_record({record!r})"]
    return [f"constraint{REMARK}{' '.join(stored['name'].split())}, as it was given"]


def _thing(run: Run, kind: str, display: str) -> str:
    """The argument that says which model or loss it is; a name and a remark where the run does not have it as data."""
    stored = run.manifest.get(kind) or {}
    if stored.get("asked"):
        return f"{kind}={stored['asked']!r}"
    if "record" in stored and not _opaque(stored["record"]):
        return f"{kind}=spec.from_record({stored['record']!r}, {kind!r})"
    return f"{kind}={kind}{REMARK}{' '.join(display.split())}, as it was given"


def _opaque(record: Any) -> bool:
    """Whether a part of a stored constraint is not stored as data."""
    children = record.values() if isinstance(record, dict) else record if isinstance(record, list) else ()
    return (isinstance(record, dict) and "opaque" in record) or any(map(_opaque, children))


def _source(run: Run) -> str:
    """What was trained on: --data of the command, or the data set's name."""
    words = _asked(run.manifest.get("command")) or []
    given = [after for before, after in itertools.pairwise(words) if before == "--data"]
    given += [word.partition("=")[2] for word in words if word.startswith("--data=")]
    return shlex.quote(given[0] if given else str(run.data["name"]))


def _imported(run: Run) -> str:
    """The options that import what the run's constraint and model are, where no installed package declares it."""
    records = [(run.manifest.get(kind) or {}).get("record") for kind in ("constraint", "model")]
    places = dict.fromkeys(place for record in records for place in _types(record) if ":" in place)
    return "".join(f" --plugin {shlex.quote(place)}" for place in places if not place.startswith(OWN))


def _types(record: Any) -> Iterator[str]:
    """The types in a record of `faro.store.spec`, those of its parts as well."""
    if isinstance(record, dict) and isinstance(record.get("type"), str):
        yield record["type"]
    for part in record.values() if isinstance(record, dict) else record if isinstance(record, list) else ():
        yield from _types(part)


def _score(run: Run, model: str) -> Command:
    return Command(
        "Score data with it",
        "The development part of the same data; any table with the columns of the model's schema does as well.",
        f"faro score {model} {_source(run)}{_imported(run)} --part dev --out scored.csv",
    )


def _certify(run: Run, folder: str, model: str) -> list[Command]:
    """Checking the certificate that a point has, or the way to one."""
    place = shlex.quote(f"{folder}/{CERTIFICATES}/")
    units = shlex.quote(f"{folder}/{MODELS}/") + units_name(SEED).removeprefix(f"{MODELS}/")
    weights = model.removesuffix(".json") + ".safetensors"
    files = f"--model {model} --model {weights} --train-units {units}"
    policy = shlex.quote(f"{folder}/{POLICY}")
    check = f"faro verify {place}{MODEL}.json {place}{MODEL}.csv --policy {policy} \\\n  {files}"
    steps = [
        Command("Check its certificate", "With the policy it was made under, here faro.toml of the run.", check, True)
    ]
    twins = run.manifest["constraint"].get("twins")
    shown = "".join(f" --twins {shlex.quote(name)}" for name in sorted(twins or ()))
    named = "" if "record" in run.manifest["constraint"] else " --constraint NAME"
    way = [
        f"faro policy {model} --bound {SLACK}{named}{_imported(run)} --out faro.toml",
        f"faro score {model} {_source(run)}{_imported(run)} --part gate{shown} --out gate.csv",
        "faro ledger init gate.csv --policy faro.toml",
        f"faro certify gate.csv --policy faro.toml --disclose --out certificate.json \\\n  {files}",
    ]
    note = (
        f"On {run.units} held back from everything else. Edit the drafted policy first: which bound to show, of which "
        "groups. Showing the numbers uses this audit set up: do it once, last."
    )
    if named:
        note += (
            " This run stores its constraint's name alone: say it after --constraint, with --attribute, --of and "
            "--within, and to faro score --twins NAME for one of twins."
        )
    return [*steps, Command("Certify it", note, "\n".join(way), False)]


def trial_text(run: Run, row: int) -> str:
    """A trial as words: "bound 0.05, seed 1"."""
    trial = run.rows[row]
    bound = float(trial["bound"])
    return f"{f'bound {bound_text(bound)}' if math.isfinite(bound) else 'unconstrained'}, seed {trial['seed']}"
