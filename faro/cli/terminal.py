"""What the terminal shows: tables for people, from plain records. Respects NO_COLOR and narrow terminals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .. import report
from ..store import columns
from ..store.coefficients import Coefficients

WIDTH = 80  # a narrower terminal wraps lines; tables never lose digits
NARROWEST, WIDEST = 8, 2**12  # of a first column that is folded; of a table


def _console() -> Console:
    wide = Console(highlight=False)
    return wide if wide.width >= WIDTH else Console(highlight=False, width=WIDTH)


def _table(*columns: str, fold: bool = False) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=not fold or i > 0, overflow="fold")
    return table


def _show(console: Console, table: Table) -> None:
    """Print a table; one of numbers keeps every digit: its first column is folded, and a terminal still narrower
    wraps lines."""
    first, *others = table.columns
    if all(column.no_wrap for column in others):
        natural = Console(highlight=False, width=WIDEST)
        widest = natural.measure(table).maximum
        if widest > console.width:
            texts = [Text.from_markup(str(cell)).cell_len for cell in (first.header, *first.cells)]
            first.no_wrap, first.max_width = False, max(NARROWEST, console.width - (widest - max(texts)))
            console = natural
    console.print(table)


def show_frontier(run: report.Run, reused: bool = False) -> None:
    """The frontier per bound, the headline, and where everything is."""
    console = _console()
    data = run.data
    people = f"{data['people']:,} {run.units}, " if data.get("people") else ""
    console.print(
        f"[bold]{escape(data['name'])}[/bold]: {escape(run.spoken)}; {escape(people)}{data['choices']:,} choices"
    )
    # a column per line of thought: what was asked, what holds on train, what was seen on held-out people
    columns = ["bound", "feasible", "train\ngap", "dev\ngap", "dev\naccuracy"]
    truth = run.manifest.get("truth") if run.known else None
    columns += ["population\ngap", "expected\naccuracy"] if run.known else ["dev\nnll"]
    columns += ["best\nthere"] if truth else []
    table = _table(*columns)
    for row in report.summary_table(run).to_dict("records"):
        free = not math.isfinite(row["bound"])
        cells = ["none" if free else f"{row['bound']:.4f}", "" if free else f"{row['feasible']}/{row['members']}"]
        cells.append(f"{row['train_gap']:.3f}")
        if run.known:
            names = ("dev_gap", "dev_accuracy", "population_gap", "population_accuracy")
            cells += [f"{row[name]:.3f}" for name in names]
        else:
            cells += [report.spread_text(row, name) for name in ("dev_gap", "dev_accuracy")] + [f"{row['dev_nll']:.3f}"]
        if truth:
            cells.append(f"{np.interp(row['population_gap'], truth['bounds'], truth['accuracy']):.3f}")
        table.add_row(*cells, style="bold" if free else None)
    _show(console, table)
    if run.sources is not None:
        _show_sources(console, run)
    console.print(escape(report.headline(run)))
    for said in filter(None, (report.borrowed(run), report.tightened(run))):
        console.print(escape(said))
    for verdict in report.verdicts(run):
        console.print(escape(verdict))
    if words := report.at_once(run):
        console.print(escape(words))
    if words := report.ridge_of(run):
        console.print(f"[dim]Ridge: {words}.[/dim]")
    console.print("[dim]Numbers on development data are for tuning; they are not a certificate.[/dim]")
    known = " (finished before; nothing was computed again)" if reused else ""
    tables = ["frontier.csv", *(["uncertainty.csv"] if run.uncertainty is not None else [])]
    tables += [f"{name}.csv" for name in ("sources", "baselines") if getattr(run, name) is not None]
    files = f"{', '.join(tables)}, frontier.png, frontier.svg, report.html, models/, manifest.json"
    console.print(f"\n{escape(str(run.folder))}{known}: {files}", soft_wrap=True)


def _show_sources(console: Console, run: report.Run) -> None:
    """What models reach on each source of development data, means over seeds."""
    assert run.sources is not None
    names = ("accuracy", "nll", "length", "constant")
    table = _table("source", "bound", *names)
    for row in run.sources[run.sources["seed"] == "mean"].to_dict("records"):
        bound = f"{row['bound']:.4f}" if math.isfinite(row["bound"]) else "none"
        cells = [
            "-" if row[name] != row[name] else f"{row[name]:.3f}" for name in ("accuracy", "nll", "length", "constant")
        ]
        table.add_row(escape(str(row["source"])), bound, *cells)
    _show(console, table)


def show_read(found: Any, rule: str) -> None:
    """What the models of a run reach on dev people by another rule."""
    console = _console()
    console.print(f"[bold]decided by {escape(rule)}[/bold]; 95 % over units, means over seeds")
    table = _table("bound", "dev\ngap", "95 %", "dev\nagreement", "95 %")
    for row in found.to_dict("records"):
        ends = [f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}" for name in ("gap", "accuracy")]
        bound = f"{row['bound']:.4f}" if math.isfinite(row["bound"]) else "none"
        table.add_row(bound, f"{row['gap']:.3f}", ends[0], f"{row['accuracy']:.3f}", ends[1])
    _show(console, table)


def show_policy(about: dict[str, Any], out: str | None) -> None:
    """What a tuned policy reached, beside its reference."""
    console, figures = _console(), about["figures"]
    bound = ", ".join("none" if value is None else str(value) for value in about["bound"]) or "none"
    words = f"{escape(about['constraint'] or 'no constraint')} at bound {bound}, {escape(about['data'])}"
    console.print(f"[bold]{about['status']}[/bold]: {words}")
    groups = [name.removeprefix("dev_value:") for name in figures if name.startswith("dev_value:")]
    worst = ["worst"] if groups else []
    table = _table("part", "policy", "reward", *groups, *worst, "KL", "gap")

    def said(name: str) -> str:
        return "" if figures.get(name) is None else f"{figures[name]:.4f}"

    for part in ("train", "selection", "dev"):
        for who, prefix in (("tuned", ""), ("reference", "reference_")):
            values = [said(f"{part}_{prefix}value"), *(said(f"{part}_{prefix}value:{group}") for group in groups)]
            values += [said(f"{part}_{prefix}worst_value")] if groups else []
            away = "0" if prefix else said(f"{part}_divergence")
            table.add_row(part, who, *values, away, said(f"{part}_{prefix}gap"))
    _show(console, table)
    kept = about["policy"]["group_rewards"]
    if kept:
        table = _table("group", "rewards seen", "mean", "deviation")
        for group, *numbers in zip(about["policy"]["levels"], *kept.values(), strict=True):
            table.add_row(escape(group), f"{numbers[0]:,.0f}", *(f"{number:.4f}" for number in numbers[1:]))
        _show(console, table)
    console.print(f"[dim]The policy is {about['policy']['rule']} of the saved model's rewards.[/dim]")
    if out:
        console.print(escape(f"{out}/policy.json"), soft_wrap=True)


def show_model(about: dict[str, Any]) -> None:
    """What one trained model reached."""
    console = _console()
    bounds = ", ".join(dict.fromkeys(str(value) for value in about["bound"]))
    console.print(
        f"[bold]{about['status']}[/bold]: {escape(about['constraint'])} at bound {bounds}, {escape(about['data'])}"
    )
    if about.get("reason"):
        console.print(escape(about["reason"]))
    figures = about["figures"]
    table = _table("part", "n", "accuracy", "nll", "ece", "gap")
    for part in ("train", "selection", "dev"):
        cells = [f"{float(figures[f'{part}_{column}']):.4f}" for column in ("accuracy", "nll", "ece")]
        gaps = [float(figures[key]) for key in columns.gaps_in(figures, part).values()]
        cells.append(f"{max(gaps):.4f}")
        table.add_row(columns.said(part), f"{figures[f'{part}_n']:,}", *cells)
    _show(console, table)
    gaps_of = {part: columns.gaps_in(figures, part) for part in columns.PARTS}
    if len(gaps_of["train"]) > 1:  # a stack
        table = _table("gap", *map(columns.said, columns.PARTS), fold=True)
        for name in gaps_of["train"]:
            table.add_row(escape(name), *(f"{float(figures[own[name]]):.4f}" for own in gaps_of.values()))
        _show(console, table)
    console.print(f"[dim]{columns.USED_NOTE}[/dim]")
    if ridge := about.get("ridge"):
        console.print(f"[dim]Ridge: {report.ridge_text(ridge['chosen_by'], [ridge])}.[/dim]")
    for sentence in about.get("dev_gap_over", []):
        console.print(escape(sentence))
    if about.get("model"):
        console.print(escape(about["model"]), soft_wrap=True)


def show_coefficients(found: Coefficients | None) -> None:
    """The largest coefficients of a linear model; nothing of another."""
    if found is None:
        return
    table = _table("feature", "standardised", "per unit", fold=True)
    for name, standardised, natural in found.listed:
        table.add_row(escape(name), f"{standardised:+.4f}", f"{natural:+.4g}")
    _show(_console(), table)
    if found.more:
        _console().print(f"[dim]{found.more:,} more are smaller; the card has the largest of them[/dim]")


def show_members(members: list[tuple[Any, float | None]], chosen: Any = None) -> None:
    """Members of a run as `faro choose` foretells them, safest first; the second is how likely a sequence certifies
    each, None where there is none."""
    if not members:
        return
    console = _console()
    in_sequence = members[0][1] is not None
    heads = ["model", "bound", "dev\naccuracy*", "dev\ngap*", "cost*", "passes"]
    table = _table(*heads, *(["passes in\nsequence"] if in_sequence else []))
    for own, reached in members:
        finite = [f"{bound:g}" for bound in own.bounds if math.isfinite(bound)]
        cells = [own.model.removeprefix("models/").removesuffix(".json"), finite[0] if finite else "none"]
        cells += [f"{own.accuracy:.3f}", f"{own.gap:.3f}", f"{0 - own.utility:.3f}", f"{max(0.0, own.chance):.2f}"]
        cells += [] if reached is None else [f"{reached:.2f}"]
        table.add_row(*map(escape, cells), style="bold" if own is chosen else None)
    console.print(table)
    console.print("[dim]* on dev, used to choose: tuning data, no guarantee[/dim]")


def show_listing(listing: list[dict[str, Any]]) -> None:
    """The known data sets and where they are."""
    table = _table("data set", "what", "where")
    for row in listing:
        fetched = f"faro data fetch {row['name']}" if row["fetched"] else "put it into FARO_DATA"
        table.add_row(
            row["name"], escape(row["title"]), escape(row["where"] if row["present"] else f"absent\n{fetched}")
        )
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "left", False
    table.columns[2].min_width = len("faro data fetch immigration")
    _show(_console(), table)


def show_subsets(figures: Any) -> None:
    """What a model reaches on each subset, beside length and a constant."""
    of, *named = [name for name in figures.columns if not name.endswith(("_low", "_high"))]
    ends = {name: (f"{name}_low", f"{name}_high") for name in named if f"{name}_low" in figures}
    table = _table(of, *(f"{name}, 95 %" if name in ends else name for name in named), fold=True)
    for record in figures.to_dict("records"):
        counts = [f"{record[name]:,}" for name in named[:2]]
        numbers = ["-" if record[name] != record[name] else f"{record[name]:.3f}" for name in named[2:]]
        spans = [
            f" {record[ends[name][0]]:.3f}-{record[ends[name][1]]:.3f}" if name in ends else "" for name in named[2:]
        ]
        table.add_row(escape(str(record[of]) or "(empty)"), *counts, *map(str.__add__, numbers, spans))
    _show(_console(), table)


def show_encoders(listing: list[dict[str, Any]]) -> None:
    """The known encoders of text and where they are."""
    table = _table("encoder", "what", "licence", "where")
    for row in listing:
        where = row["where"] if row["present"] else f"absent; faro encoder install {row['name']}"
        table.add_row(row["name"], *map(escape, (row["title"], row["licence"], where)))
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "left", False
    _show(_console(), table)


def show_description(described: dict[str, Any]) -> None:
    """Sizes, groups with counts per part and base rates, licence and traps of a data set."""
    console = _console()
    head = f"[bold]{escape(described['name'])}[/bold] {escape(described['title'])}".rstrip()
    console.print(head)
    console.print(
        f"{described['rows']:,} rows, {described['choices']:,} choices of up to {described['alternatives']}, "
        + ("every row is a unit" if described["called"] == "rows" else f"{described['units']:,} {described['called']}")
        + (f", {described['dropped']:,} dropped" if described["dropped"] else "")
    )
    parts = list(described["parts"])
    sizes = _table("part", "choices", described["called"])
    for name in parts:
        sizes.add_row(name, f"{described['parts'][name]['choices']:,}", f"{described['parts'][name]['units']:,}")
    _show(console, sizes)
    for attribute in described["attributes"]:
        chooser = attribute["of"] == "chooser"
        counted = "choices" if chooser else "alternatives"
        by = f", by {attribute['by']}" if attribute.get("by") else ""
        console.print(f"[bold]{escape(attribute['name'])}[/bold], an attribute of the {attribute['of']}{by}")
        table = _table("level", counted, *parts, described["called"] if chooser else "chosen")
        for level in attribute["levels"]:
            rate = level.get("base_rate")
            last = f"{level['units']:,}" if chooser else "-" if rate is None else f"{rate:.3f}"
            counts = [f"{level['parts'][name]:,}" for name in parts]
            table.add_row(escape(level["level"]), f"{level['count']:,}", *counts, last)
        if attribute["excluded"]:
            table.add_row("(in no group)", f"{attribute['excluded']:,}")
        _show(console, table)
        for level, texts in attribute.get("samples", {}).items():
            for text in texts:
                console.print(escape(f"  {level}: {text}"))
    for name, origin in described["twins"].items():
        features = ", ".join(described["twin_features"][name])
        console.print(f"twins of {escape(name)}: {escape(origin)} (sets {escape(features)})")
    for count in described["rewritten"]:
        for sample in count["samples"]:
            console.print(escape(f"  {sample['own']}: {sample['before']}\n  {sample['other']}: {sample['after']}"))
    features = described["features"]
    console.print(escape(f"features: {', '.join(features['items'])}"))
    if features["context"]:
        console.print(escape(f"context: {', '.join(features['context'])}"))
    for text in described["texts"]:
        told = f"{text['texts']:,} different texts, {text['embedded']:,} of them embedded by {text['encoder']}"
        told += f", median {text['median_tokens']:.0f} tokens, {text['truncated']:,} longer than {text['limit']}"
        console.print(escape(f"text {text['name']}: {told}"))
    for note in described["notes"]:
        console.print(escape(f"note: {note}"))
    for key in ("source", "licence", "unit"):
        if described[key]:
            console.print(escape(f"{key}: {described[key]}"))
    traps = described["traps"]
    for trap in [traps] if isinstance(traps, str) else traps:
        if trap:
            console.print(escape(f"trap: {trap}"))


def show_installed(kind: str, rows: list[dict[str, Any]]) -> None:
    """What can be named of a kind, where it comes from, and what it is."""
    table = _table(kind, "what", fold=True)
    table.columns[1].justify, table.columns[1].no_wrap = "left", False
    for row in rows:
        source = "" if row["from"] == "faro-fairness" else f" (from {row['from']})"
        table.add_row(f"{row['name']}{escape(source)}", escape(row["what"]))
    _show(_console(), table)


def show_settings(settings: list[dict[str, Any]]) -> None:
    """Every setting by its group: default, when it matters, what it means."""
    table = _table("setting", "default", "matters under", "what", fold=True)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "left", False
    for group, rows in itertools.groupby(settings, lambda row: row["group"]):
        table.add_row(f"[bold]{group}[/bold]")
        for row in rows:
            default, matters = row["default"], row["matters"].replace("`", "")
            shown = "" if default is None else f"{default:g}" if isinstance(default, float) else str(default)
            table.add_row(f" {row['name']}", shown, escape(matters), escape(row["means"]))
    _show(_console(), table)


def show_clauses(name: str, where: str, results: dict[str, str], rests: Sequence[tuple[str, str]] = ()) -> None:
    """Which clauses of the contract a constraint keeps, on which choices; what a certificate of each part rests on."""
    console = _console()
    console.print(f"[bold]{escape(name)}[/bold] on {escape(where)}")
    for clause, broken in results.items():
        console.print(
            f"  [red]fails[/red]  {escape(clause)}: {escape(broken)}" if broken else f"  holds  {escape(clause)}"
        )
    for part, words in rests:
        console.print(escape(words if len(rests) == 1 else f"{part}: {words}"), soft_wrap=True)


def show_certificate(rows: list[dict[str, Any]], notes: list[str], verdict: str) -> None:
    """A row per claim, notes, and the verdict last."""
    console = _console()
    table = _table(*rows[0], fold=True)
    for row in rows:
        table.add_row(
            *(("-" if v is None else f"{v:.4f}" if isinstance(v, float) else escape(str(v))) for v in row.values())
        )
    _show(console, table)
    for note in notes:
        console.print(escape(note))
    console.print(f"[bold]{verdict}[/bold]")


def show_calibration(run: report.Run) -> None:
    """What models rank, what rewards are worth as probabilities, and what parity there is, by bound and calibration."""
    assert run.calibration is not None
    console, rows = _console(), report.calibration_cells(run)
    table = _table("bound", "rewards", "accuracy", "nll", "ece", "worst\ngroup", "decided\ngap", "prob.\ngap")
    for _, cells in rows:
        table.add_row(*map(escape, cells[:-1]))
    _show(console, table)
    first = rows[0][0]
    chance = "-" if math.isnan(first["chance_ece"]) else f"{first['chance_ece']:.3f}"
    console.print(
        f"worst group: calibration error of its alternatives; in the first row that of {escape(str(first['worst']))}, "
        f"{chance} by chance; labels of the groups differ by {first['base_gap']:.3f}"
    )
    console.print(f"all bounds and seeds: {escape(str(run.folder / 'calibration.csv'))}, reliability.csv, report.html")
