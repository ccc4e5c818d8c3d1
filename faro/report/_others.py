"""What else a run knows of its points: how sure they are, and what other methods reach. Words, tables and series."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from ._run import MEAN, Run, bound_text, finite, limits_text, number
from ._series import Panel, Point, Series, panel, slack_text, sure_facts
from ._tables import scrolled, table

NAMES = {
    "thresholds": "thresholds (use the group to decide)",
    "reweighting": "reweighting",
    "penalty": "penalty",
    "group_dro": "group DRO",
}
SETTINGS = {"thresholds": "bound", "penalty": "price", "group_dro": "step"}
CHANCE = (
    "Intervals over {drawn} are percentiles of draws of {drawn} with replacement, at 95 %, for these models as they "
    "are. They are no certificates: a gap is a maximum minus a minimum, so that chance adds to it, and intervals of "
    "gaps near zero lie too high. Not dominated: the share of draws in which no feasible member of the same seed is "
    "better in gap or accuracy and as good in the other, mean over seeds."
)
EACH = (
    "On development data, means over seeds, beside who takes the longer text and who takes any; in small type an "
    "interval over {drawn}, at 95 %, for these models as they are. The weight of a source changes no figure of its own."
)
MATCHED = (
    "Ahead: the accuracy on development data minus that of this run at the same gap, where the run may draw between "
    "two of its models, with an interval over {drawn}; empty where every point of the run has a larger gap. Every "
    "baseline was trained on the same {units} with the same model and settings. Of many settings some are ahead by "
    "chance alone, and whoever picks one for its number here has tuned it on development data."
)


def panels(run: Run) -> list[Panel]:
    """The panels of a run. Baselines are measured on development data: where the population is known, they and the run
    have a panel there of their own."""
    others = series(run)
    if run.known and others:
        return [panel(run), panel(run, others, expected=False)]
    return [panel(run, others)]


def series(run: Run) -> list[Series]:
    """A series per baseline: means over seeds, bars over seeds."""
    if run.baselines is None:
        return []
    drawn = []
    for name, measured in _by_name(run).items():
        points = []
        for row in measured[measured["seed"] == MEAN].to_dict("records"):
            if not (math.isfinite(row["dev_gap"]) and math.isfinite(row["dev_accuracy"])):
                continue
            seeds = measured[(measured["seed"] != MEAN) & _same(measured["setting"], row["setting"])]
            x, y = seeds["dev_gap"], seeds["dev_accuracy"]
            points.append(
                Point(
                    row["dev_gap"],
                    row["dev_accuracy"],
                    (float(x.min()), float(x.max())),
                    (float(y.min()), float(y.max())),
                    title=setting_text(row),
                    facts=tuple(_facts(row, run.drawn)),
                )
            )
        if points:
            drawn.append(Series(name, tuple(points), NAMES.get(name, name)))
    return drawn


def setting_text(row: dict[str, Any]) -> str:
    """A baseline and its setting, as "penalty, price 0.43"."""
    name = NAMES.get(row["baseline"], row["baseline"]).partition(" (")[0]
    return f"{name}, {SETTINGS[row['baseline']]} {row['setting']:g}" if math.isfinite(row["setting"]) else name


def verdicts(run: Run) -> list[str]:
    """Per baseline, where it is ahead of the run by more than chance among people explains, and where it is not."""
    if run.baselines is None:
        return []
    lines = []
    for name, measured in _by_name(run).items():
        rows, label = measured[measured["seed"] == MEAN], NAMES.get(name, name)
        rows = rows[np.isfinite(rows["dev_gap"])]
        if not len(rows):
            lines.append(f"{label.partition(' (')[0]}: {next(iter(measured['note'].dropna()), 'not measured')}.")
            continue
        ahead = rows[rows["ahead_low"] > 0]
        behind, alone = int((rows["ahead_high"] < 0).sum()), int(rows["ahead"].isna().sum())
        count = f"{len(rows)} setting{'s' * (len(rows) > 1)}"
        if len(ahead):
            best = ahead.loc[ahead["ahead_low"].idxmax()].to_dict()
            text = (
                f"{label}: ahead of this run at {len(ahead)} of {count}, clearest at {setting_text(best)}: at a gap of "
                f"{number(best['dev_gap'])}, accuracy {number(best['dev_accuracy'])} is higher by "
                f"{best['ahead']:.3f} ({best['ahead_low']:.3f} to {best['ahead_high']:.3f} over {run.drawn})"
            )
        else:
            text = f"{label}: ahead of this run at none of {count}"
        text += f"; behind at {behind}" if behind else ""
        text += f"; {alone} with a smaller gap than any point of the run" if alone else ""
        lines.append(text + ".")
    return lines


def baselines(run: Run) -> str:
    """A row per baseline and setting."""
    head = ["baseline", "train gap", "dev gap", "dev accuracy", "ahead of this run"]
    rows = []
    for measured in _by_name(run).values():
        for row in measured[(measured["seed"] == MEAN) & np.isfinite(measured["dev_gap"])].to_dict("records"):
            won = {"class": "focus"} if row["ahead_low"] > 0 else {}
            cells = [setting_text(row), number(row["train_gap"])]
            cells += [_over_people(row, name) for name in ("dev_gap", "dev_accuracy")]
            rows.append((won, [*cells, _ahead(row) if math.isfinite(row["ahead"]) else "-"]))
    return scrolled(table(head, rows), "baselines", tall=True)


def certainty(run: Run) -> str:
    """A row per bound: intervals over people, and who is not dominated."""
    assert run.uncertainty is not None
    means = run.uncertainty[run.uncertainty["seed"] == MEAN].sort_values("bound")
    known = bool(len(finite(means["gap_at_most"])))
    head = ["bound", "dev gap", "dev accuracy", "not dominated", *(["gap at most"] if known else [])]
    rows: list[Any] = []
    for row in means.to_dict("records"):
        cells = [bound_text(row["bound"]), _over_people(row, "dev_gap"), _over_people(row, "dev_accuracy")]
        cells += [number(row["non_dominated"], 2), *([slack_text(row["gap_at_most"])] if known else [])]
        rows.append(({}, cells))
    said = f'<p class="quiet">{escape(at_once(run))}</p>' if known else ""
    return said + scrolled(table(head, rows), "how sure the points are")


def sources(run: Run) -> str:
    """A row per bound and source: the means over seeds on development data."""
    assert run.sources is not None
    head = ["bound", "source", run.units, "accuracy", "nll", "length", "constant"]
    rows: list[Any] = []
    for row in run.sources[run.sources["seed"] == MEAN].to_dict("records"):
        accuracy = f"{number(row['accuracy'])} ({limits_text(row, 'accuracy')})"
        cells = [bound_text(row["bound"]), str(row["source"]), number(row["units"], 0), accuracy]
        rows.append(({}, [*cells, *(number(row[name]) for name in ("nll", "length", "constant"))]))
    return scrolled(table(head, rows), "figures of each source")


def at_once(run: Run) -> str:
    """What holds with a stated probability of all members at once; "" where nothing does."""
    if run.uncertainty is None:
        return ""
    means = run.uncertainty[run.uncertainty["seed"] == MEAN]
    here = finite(means.loc[means["bound"] == run.focus(), "gap_at_most"])
    if not len(here):
        return ""
    return (
        "With 95 % confidence no member's gap in the population is above its gap_at_most in uncertainty.csv, all "
        f"{run.trials['model'].nunique()} at once (at bound {bound_text(run.focus())}: {slack_text(here[0])}): by "
        "development people, who fitted nothing. What a gate certifies stays the statement about one model."
    )


def volume_text(run: Run) -> str:
    """The hypervolume with its spread, in a sentence."""
    assert run.hypervolume is not None
    by_seed = run.hypervolume.set_index("seed")
    mean, seeds = by_seed.loc[MEAN], finite(by_seed["hypervolume"].drop(MEAN))
    text = (
        f"Hypervolume of the feasible members on development data: {number(mean['hypervolume'], 4)} "
        f"(95 % over {run.drawn}: {number(mean['low'], 4)}-{number(mean['high'], 4)}"
    )
    text += f"; seeds: {number(seeds.min(), 4)}-{number(seeds.max(), 4)})" if len(seeds) > 1 else ")"
    reference = f"gap {mean['reference_gap']:g} and accuracy {mean['reference_accuracy']:g}"
    return f"{text}: the area between what they reach and {reference}."


def _facts(row: dict[str, Any], units: str) -> list[tuple[str, str]]:
    facts = [("decides by the group", "yes" if _truth(row["uses_group"]) else "no")]
    facts += [("gap, development", number(row["dev_gap"])), ("accuracy, development", number(row["dev_accuracy"]))]
    facts += [("gap, training", number(row["train_gap"])), *sure_facts(row, units)]
    return facts + ([("ahead of this run", _ahead(row))] if math.isfinite(row["ahead"]) else [])


def _ahead(row: dict[str, Any]) -> str:
    return f"{row['ahead']:+.3f} ({row['ahead_low']:+.3f} to {row['ahead_high']:+.3f})"


def _over_people(row: dict[str, Any], name: str) -> str:
    return f"{number(row[name])} ({limits_text(row, name)})"


def _by_name(run: Run) -> dict[str, pd.DataFrame]:
    assert run.baselines is not None
    return {str(name): rows for name, rows in run.baselines.groupby("baseline", sort=False)}


def _same(settings: pd.Series, setting: float) -> pd.Series:
    return settings.isna() if math.isnan(setting) else settings == setting


def _truth(value: Any) -> bool:
    return str(value) == "True"
