"""The model card of one point of a run: Markdown, with front matter as the Hugging Face Hub reads it.

Every number is one of frontier.csv, of the run's certificate, or a mean and range of the former over seeds.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError
from ..files import write_text
from ..store import columns
from ._commands import Command, of_trial, trial_text
from ._markdown import fenced, grid, listed, pairs, plain, quoted
from ._records import PART_WORDS, WEIGHTS, figures
from ._run import Run, bound_text, finite, number, speak
from ._series import representative
from .certificate import Mode, Outcome, assumptions, shown, statement

TUNING = (
    "These are numbers for tuning: the development part was looked at while choosing, so that they may be too good, "
    "nobody knows by how much. They are not a certificate."
)
USE = (
    "Scoring choices that have the columns of the model's schema, for people and alternatives like those of the data "
    "above. A reward orders the alternatives of one choice; it is not a probability. Other people, other groups, other "
    "ways of deciding from rewards (a temperature, best of n) and other times were not measured."
)
MOST = 50  # coefficients of a card
LIMITS = (
    "FEASIBLE speaks of the training sample, INFEASIBLE of one training run and not of what is possible.",
    "Accuracy is agreement with people's choices. Where these carry the disparity, more of it is no better.",
    "Nothing is known of groups that are not named, of smaller groups within these, or of single persons.",
    "Everything above is about this model file. Equal rates do not make a decision right, and no number here settles a "
    "question of law.",
)


def point(run: Run, bound: float | None = None, seed: int | None = None) -> int:
    """The row of frontier.csv at this bound, or at the loosest bound below it: a model within a tighter bound is within
    a looser one. By default the bound of the headline, and the first seed that is FEASIBLE. `UsageError` if none."""
    if bound is not None and math.isnan(bound):
        raise UsageError("--bound: expected a number, got nan")
    if bound is None:
        bound = run.focus()
    elif math.isfinite(bound):
        below = [candidate for candidate in run.bounds if candidate <= bound * (1 + 1e-9)]
        if not below:
            known = ", ".join(map(bound_text, run.bounds)) or "none"
            raise UsageError(f"--bound: {run.folder} has no bound of at most {bound:g}; its bounds are {known}")
        bound = below[-1]
    rows = [int(row) for row in run.at(bound) if seed is None or run.trials["seed"].iloc[row] == seed]
    if not rows:
        seeds = ", ".join(str(known) for known in sorted(run.trials["seed"].unique()))
        raise UsageError(
            f"{run.folder} has no model at bound {bound_text(bound)} and seed {seed}; its seeds are {seeds}"
        )
    return representative(run, rows)


def write_card(run: Run, row: int, path: str | Path) -> Path:
    """Write the card of trial `row` of frontier.csv and return its path."""
    write_text(path, card(run, row))
    return Path(path)


def card(run: Run, row: int) -> str:
    """The card as text."""
    name = f"{run.data['name']}, {run.spoken}, {trial_text(run, row)}"
    sections = [
        f"# {plain(name)}",
        _summary(run, row),
        "## Data",
        _data(run),
        "## Constraint and groups",
        _constraint(run, row),
        "## Figures",
        _figures(run, row),
        *_coefficients(run, row),
        "## Certificate",
        *_certificate(run, row),
        "## Intended use",
        USE,
        "## Limits",
        listed([*LIMITS, *_several(run.data.get("traps")), *run.notes, *_people(run, row)]),
        "## How to reproduce",
        *(_typed(command) for command in of_trial(run, row)),
        "## Versions",
        _versions(run, row),
    ]
    return "\n\n".join([_front(run, row, name), *sections]) + "\n"


# Front matter ---------------------------------------------------------------------------------------------------------


def _front(run: Run, row: int, name: str) -> str:
    """YAML in the form of the Hub's model cards; no licence, which is for those to choose who publish the model."""
    dev = [("accuracy", "accuracy", float(run.trials["dev_accuracy"].iloc[row]))]
    dev += [("gap", f"gap of {speak(p)}", float(g)) for p, g in zip(run.parts, run.gaps("dev")[row], strict=True)]
    if not all(math.isfinite(value) for _, _, value in dev):
        raise DataError(f"{run.folder}: {trial_text(run, row)} DIVERGED: there is nothing to say of it; choose another")
    lines = [
        "---",
        "library_name: faro",
        "tags:",
        *(f"- {tag}" for tag in ("faro", "choice-model", "reward-model", "fairness")),
        "metrics:",
        "- accuracy",
        "model-index:",
        f"- name: {quoted(name)}",
        "  results:",
        *_result(run, "development", dev),
    ]
    if math.isfinite(run.certified[row]):
        slack = ("certified_slack", f"largest upper bound ({run.verdicts[row]})", float(run.certified[row]))
        lines += _result(run, "gate", [slack])
    return "\n".join([*lines, "---"])


def _result(run: Run, split: str, values: list[tuple[str, str, float]]) -> list[str]:
    """A task, a part of the data, and (type, name, value) of every figure on it."""
    lines = [
        "  - task:",
        "      type: other",
        "      name: choice among alternatives",
        "    dataset:",
        f"      type: {quoted(run.data['name'])}",
        f"      name: {quoted(run.data.get('title') or run.data['name'])}",
        f"      split: {split}",
        "    metrics:",
    ]
    for kind, what, value in values:
        lines += [f"    - type: {kind}", f"      name: {quoted(what)}", f"      value: {value!r}"]
    return lines


def _several(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else [str(value) for value in values or []]


def _typed(command: Command) -> str:
    kind = "sh" if command.text.startswith("faro") else "python"
    return f"{command.title}. {plain(command.note)}\n\n{fenced(command.text, kind)}"


# Sections -------------------------------------------------------------------------------------------------------------


def _summary(run: Run, row: int) -> str:
    trial = run.trials.iloc[row]
    bound, gap = float(trial["bound"]), number(run.gap("train")[row], 4)
    text = f"Trained on {run.data['name']} without a constraint (seed {trial['seed']})."
    if math.isfinite(bound):
        text = (
            f"Trained on {run.data['name']} under {run.spoken} with a bound of {bound_text(bound)} "
            f"(seed {trial['seed']}), this model is {trial['status']}: its gap on the training sample is {gap}."
        )
        if run.trained_at[row] != bound:
            text += f" It was trained at the bound {bound_text(run.trained_at[row])}."
    text += (
        f" On the development part, {run.units} it was not trained on, the gap is {number(run.gap('dev')[row], 4)} and "
        f"accuracy {number(trial['dev_accuracy'], 4)}."
    )
    if run.verdicts[row]:
        text += f" Its certificate says {run.verdicts[row]}: see below."
    return plain(text)


def _data(run: Run) -> str:
    data = run.data
    sizes = {prefix: sorted(set(run.trials[f"{prefix}_n"])) for prefix in ("train", "selection", "dev")}
    by_part = ", ".join(
        f"{PART_WORDS[prefix]} {'-'.join(f'{n:,.0f}' for n in dict.fromkeys((counts[0], counts[-1])))}"
        for prefix, counts in sizes.items()
    )
    facts = {
        "Name": data["name"],
        "What": data.get("title"),
        "Source": data.get("source"),
        "Licence of the data": data.get("licence"),
        "Unit": data.get("unit"),
        "Size": run.counted,
        "Choices by part, over seeds": by_part,
        "Held back": "the gate part: no training, selection or table has read it; certificates do",
        "Digest": data.get("digest"),
    }
    return pairs(facts)


def _constraint(run: Run, row: int) -> str:
    free = run.at(math.inf)
    free = free[run.trials["seed"].iloc[free].to_numpy() == run.trials["seed"].iloc[row]]
    prefixes = ["dev", "train", "selection", *(["population"] if run.known else [])]
    rates = {prefix: run.rates(prefix) for prefix in prefixes}
    head = ["group", *(PART_WORDS[prefix] for prefix in prefixes)]
    compare = len(free) and int(free[0]) != row
    head += ["development, unconstrained, same seed"] if compare else []
    rows = []
    for cell, values in rates["dev"].items():
        cells = [number(rates[prefix][cell][row], 4) if cell in rates[prefix] else "-" for prefix in prefixes]
        rows.append([cell, *cells, *([number(values[free[0]], 4)] if compare else [])])
    named = f"{run.manifest['constraint']['name']}: a gap is the largest rate minus the smallest, in [0, 1]."
    return "\n\n".join([plain(named), *([grid(head, rows)] if rows else [])])


def _figures(run: Run, row: int) -> str:
    prefixes = ["dev", "train", "selection", *(["population"] if run.known else [])]
    at = run.at(float(run.trials["bound"].iloc[row]))
    head = ["", *(PART_WORDS[prefix] for prefix in prefixes)]
    several = len(at) > 1
    head += [f"development over {len(at)} seeds: mean (smallest-largest)"] if several else []
    gaps = [run.gaps("dev")[at][:, part] for part in range(len(run.parts))]
    measured = [run.trials["dev_accuracy"].iloc[at], *gaps]
    measured += [run.trials[f"dev_{name}"].iloc[at] for name in ("nll", "ece")]
    spreads = [_spread(finite(values)) for values in measured] + [""]
    rows = [[*cells, *([spread] if several else [])] for cells, spread in zip(figures(run, row), spreads, strict=True)]
    note = (
        "The range over seeds is that of all models at this bound; a seed also changes who is in which part. "
        if several
        else "There is one seed, so nothing is known of the spread over seeds. "
    )
    people = (
        f"Intervals over {run.units} are what a certificate gives; there are none in this table. {columns.USED_NOTE}"
    )
    absent = "".join(f" {sentence}." for sentence in run.dev_gap_over)
    return f"{grid(head, rows)}\n\n{plain(TUNING)} {plain(note + people + absent)}"


def _spread(values: Any) -> str:
    if not len(values):
        return "-"
    return f"{values.mean():.4f} ({values.min():.4f}-{values.max():.4f})"


def _coefficients(run: Run, row: int) -> list[str]:
    """What a linear model makes of every feature; nothing of another model."""
    found = run.coefficients(row, MOST)
    if found is None:
        return []
    rows = [[name, f"{standardised:+.4f}", f"{natural:+.4g}"] for name, standardised, natural in found.listed]
    more = f" {found.more:,} more are smaller." if found.more else ""
    return ["## Coefficients", plain(WEIGHTS + more), grid(["feature", "standardised", "per unit"], rows)]


def _people(run: Run, row: int) -> list[str]:
    """What the model's file says of people whom it knows."""
    try:
        record = json.loads(Path(run.folder, str(run.trials["model"].iloc[row])).read_text(encoding="utf-8"))
        said = record.get("personal_data")
    except (OSError, ValueError, AttributeError):
        return []
    return [f"The file is personal data: {said}."] if said else []


def _certificate(run: Run, row: int) -> list[str]:
    """What was certified, at which confidence, by which file; or that nothing was."""
    if not run.verdicts[row]:
        return [f"None: nobody has shown anything of {run.units} outside the data above for this model."]
    name, record = run.certificate(row)
    file = Path(run.folder, name)
    words = f"{run.verdicts[row]}; the largest upper bound of its claims is {run.certified[row]:g}."
    if record is None:
        return [plain(words), plain(f"The certificate itself ({name}) is not beside this run.")]
    try:
        verdict, units, digest = record["result"]["verdict"], record["data"]["units"], record["sha256"]
        slack = max(float(claim["ucb"]) for claim in record["claims"].values() if claim["ucb"] is not None)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: not a certificate ({type(error).__name__}: {error})") from error
    if (verdict, slack) != (run.verdicts[row], run.certified[row]):
        raise DataError(
            f"{file} says {verdict}, at most {slack:g}; frontier.csv says {run.verdicts[row]}, at most "
            f"{run.certified[row]:g}: files of different runs"
        )
    outcome = _outcome(record, verdict, run.policy() or "")
    facts = {
        "Certificate": f"{name}, sha256 {digest}",
        "Policy sha256": record.get("policy_sha256"),
        "Model sha256": record.get("model_sha256"),
        "Audited units": f"{units:,}",
    }
    if outcome is None:
        return [plain(words), pairs(facts), plain("Its policy is not beside this run, so its claims are not repeated.")]
    claims = [f"{claim.name}: {statement(outcome, claim)}" for claim in outcome.claims]
    rests = [words for _, words in assumptions(outcome)]
    confidence = f"At {outcome.confidence} confidence, for the population that the audited units come from:"
    return [
        plain(words),
        plain(confidence),
        listed(claims),
        *_intervals(outcome),
        "It rests on:",
        listed(rests),
        "Its file, and the files it names:",
        pairs(facts),
    ]


def _intervals(outcome: Outcome) -> list[str]:
    """Between which rates each group of a claim about differences lies, where the certificate has ends of its own."""
    rows = [
        [f"{claim.name}{f', {block}' if block else ''}: {group}", shown(Decimal(low), up=False), shown(Decimal(high))]
        for claim in outcome.claims
        if any(one.low is not None for one in claim.comparisons) and not claim.spec.get("ball")
        for block, cells in claim.record.get("ends", {}).items()
        for group, (low, high) in cells.items()
    ]
    if not rows:
        return []
    note = "Intervals over people for the rate of each group, as the policy counts it, each at this confidence alone."
    return [plain(note), grid(["claim: group", "at least", "at most"], rows)]


def _outcome(record: dict[str, Any], verdict: str, policy: str) -> Outcome | None:
    """The certificate with its claims, if this is the policy it was made under."""
    outcome = Outcome(Mode.CERTIFICATE, 0, policy)
    if outcome.policy_sha256 != record.get("policy_sha256"):
        return None
    names = [str(claim["name"]) for claim in outcome.rules.get("claim", [])]
    if len(names) == 1 or verdict == "CERTIFIED":
        code = {"CERTIFIED": 0, "REFUTED": 1}.get(verdict, 3)
        return Outcome(Mode.CERTIFICATE, code, policy, certificate=record, verdicts=dict.fromkeys(names, verdict))
    return None  # which of several claims is open, only the checker can tell


def _versions(run: Run, row: int) -> str:
    manifest = run.manifest
    settings = json.dumps(manifest.get("configuration", {}), ensure_ascii=False)
    facts = {"faro": manifest.get("faro"), **(manifest.get("versions") or {}), "device": manifest.get("device")}
    facts |= {"model file": run.trials["model"].iloc[row] if "model" in run.trials else "", "settings": settings}
    return pairs({name: value for name, value in facts.items() if name != "faro-fairness"})
