"""The report of a run: one self-contained HTML page that reads on a phone, in the dark, on paper, without scripts."""

from __future__ import annotations

import html
import json
import os
import string
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from ..files import write_text
from ..store import columns
from ._calibration import NOTE, calibration_table, reliability_panel
from ._commands import BLANKS, commands, fill
from ._envelope import envelope_note, envelope_panel, envelope_table
from ._others import CHANCE, EACH, MATCHED, baselines, certainty, panels, sources, verdicts, volume_text
from ._records import as_json, kept, records
from ._run import Run, finite, headline
from ._series import INEQUALITIES, Panel, Spot
from ._tables import bounds, bounds_note, facts, pareto

TUNING = (
    "These are numbers for tuning: development data were looked at while choosing, so they are not a certificate. One "
    "on data that nobody has looked at is what faro certify and faro gate are for."
)
CERTIFIED = (
    "These are numbers for tuning, but for those called certified: they are upper bounds for the population of the "
    "gate part, which was read once, for all these points together. The confidence, the policy and the assumptions are "
    "in the certificates beside this page. That audit set is now used up."
)

escape = html.escape


def write_report(run: Run, folder: str | os.PathLike[str], shown: Sequence[Panel] | None = None) -> Path:
    """Write report.html into the folder and return its path. The page loads nothing from anywhere. `shown` are its
    panels, where they are known."""
    path = Path(folder) / "report.html"
    write_text(path, _page(run, panels(run) if shown is None else shown))
    return path


def _page(run: Run, shown: Sequence[Panel]) -> str:
    name = str(run.data["name"])
    seeds = run.trials["seed"].nunique()
    several = f"{len(run.bounds)} bound{'s' * (len(run.bounds) != 1)}"
    called = f"{name}, " if run.title else ""
    lower, curves = envelope_panel(run), reliability_panel(run)
    sections = [
        section("Per bound", bounds(run), quiet(bounds_note(run, seeds))),
        *([section("Certified envelope", envelope_table(run), quiet(envelope_note(run)))] if lower else []),
        section("Non-dominated points", pareto(run)),
        *_sure(run),
        *_sources(run),
        *([section("As probabilities", calibration_table(run), quiet(NOTE))] if run.calibration is not None else []),
        *_baselines(run),
        training([run]),
        section("What was run", f"<dl>{facts(run)}</dl>", _configuration(run)),
    ]
    return page(
        title=run.title or name,
        constraint=run.spoken,
        subtitle=f"{called}{run.size}; {several}, {seeds} seed{'s' * (seeds != 1)}, {len(run.trials)} models",
        lead=f'<p class="headline">{escape(headline(run))}</p>',
        note=CERTIFIED if len(finite(run.certified)) else TUNING,
        panels=shown,
        others=[one for one in (lower, curves) if one],
        caption=_caption(run, seeds),
        runs=[run],
        names=[""],
        sections=sections,
    )


def _sure(run: Run) -> list[str]:
    if run.uncertainty is None or run.hypervolume is None:
        return []
    volume = f"<p>{escape(volume_text(run))}</p>"
    return [section("How sure the points are", certainty(run), volume, quiet(CHANCE.format(drawn=run.drawn)))]


def _sources(run: Run) -> list[str]:
    if run.sources is None:
        return []
    return [section("Each source", sources(run), quiet(EACH.format(drawn=run.drawn)))]


def _baselines(run: Run) -> list[str]:
    if run.baselines is None:
        return []
    items = "".join(f"<li>{escape(verdict)}</li>" for verdict in verdicts(run))
    return [
        section(
            "Baselines", f"<ul>{items}</ul>", baselines(run), quiet(MATCHED.format(units=run.units, drawn=run.drawn))
        )
    ]


def page(
    *,
    title: str,
    constraint: str,
    subtitle: str,
    lead: str,
    note: str,
    panels: Sequence[Panel],
    caption: str,
    runs: Sequence[Run],
    names: Sequence[str],
    sections: Sequence[str],
    others: Sequence[Panel] = (),
) -> str:
    """The whole page; `lead` and `sections` are HTML, the rest is text. The caption is of `panels`; `others` are panels
    below it, with their own axes."""
    from ._plots import inline  # here: matplotlib takes long to import, and reading a run needs none

    files = resources.files(__package__)
    template, css, js = (files.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    shown = [*panels, *others]
    drawn = [inline(one) for one in shown]
    plots = [
        f'<div class="plot" data-panel="{place}">{_pointed(one, svg, spots)}<div class="tip" hidden></div>'
        f"{quiet(one.note) if one.note else ''}</div>"
        for place, (one, (svg, spots)) in enumerate(zip(shown, drawn, strict=True))
    ]
    return string.Template(template).substitute(
        title=escape(f"faro: {title}"),
        heading=escape(title),
        constraint=escape(constraint),
        subtitle=escape(subtitle),
        lead=lead,
        note=escape(note),
        used=escape(columns.USED_NOTE),
        plots="".join(plots[: len(panels)]),
        others="".join(plots[len(panels) :]),
        caption=escape(caption),
        commands="".join(_typed(run, name) for run, name in zip(runs, names, strict=True)),
        sections="".join(sections),
        version=escape(str(runs[0].manifest.get("faro", "unknown"))),
        records=as_json(records([spots for _, spots in drawn], runs, names)),
        css=css,
        js=js,
    )


def section(title: str, *content: str) -> str:
    """A section of a page, from HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(content)}\n</section>\n"


def quiet(text: str) -> str:
    """A paragraph of small print."""
    return f'<p class="quiet">{escape(text)}</p>'


def training(runs: Sequence[Run]) -> str:
    """Where the script draws how the chosen trial was trained, and what of the traces it shows."""
    of = [(len(run.labels), kept(run), len(run.traces["step"])) for run in runs]
    labels, shown, steps = (" and ".join(dict.fromkeys(map(str, column))) for column in zip(*of, strict=True))
    text = (
        f"At most {min(INEQUALITIES, max(len(run.labels) for run in runs))} of {labels} inequalities are shown, those "
        f"with the largest multipliers, and {shown} of {steps} records of each trace. All of them are in traces.npz."
    )
    return (
        '<section id="training" hidden>\n<h2>How it was trained<span class="which"></span></h2>\n'
        f'<div id="traces"></div>\n{quiet(text)}\n</section>\n'
    )


def _pointed(panel: Panel, svg: str, spots: Sequence[Spot]) -> str:
    """The picture with a link on every point: to its row of the table, and for the script to take over."""
    links = []
    for place, (run, point, x, y) in enumerate(spots):
        words = escape("; ".join([point.title, *(f"{name} {value}" for name, value in point.facts)]))
        target = f"#run{run}-{point.rows[0]}" if point.rows else "#frontier"
        links.append(
            f'<a href="{target}" class="point" data-spot="{place}" aria-label="{words}"><title>{words}</title>'
            f'<circle cx="{x}" cy="{y}" r="8"/></a>'
        )
    label = escape(f"{panel.y} against {panel.x}. Arrow keys go from point to point, Enter chooses one.")
    group = f'<g class="points" role="group" aria-label="{label}">{"".join(links)}</g></svg>'
    return svg.replace("<svg ", f'<svg role="group" aria-label="{label}" ', 1).replace("</svg>", group)


def _typed(run: Run, name: str) -> str:
    """The commands as they are without a script, with blanks."""
    braces = {blank: f"{{{blank}}}" for blank in BLANKS}
    blocks = [
        (f"{name}: " * bool(name) + one.title, fill(one.note, braces), fill(one.text, braces)) for one in commands(run)
    ]
    return "".join(f"<h4>{escape(title)}</h4>{quiet(note)}<pre>{escape(text)}</pre>" for title, note, text in blocks)


def _configuration(run: Run) -> str:
    text = json.dumps(run.manifest.get("configuration", {}), indent=2, ensure_ascii=False)
    return f"<details><summary>Configuration</summary><pre>{escape(text)}</pre></details>"


def _caption(run: Run, seeds: int) -> str:
    where = (
        "in the known population: expected accuracy against gap, with the best that any model can reach at each gap"
        if run.known
        else "on held-out development data: accuracy against gap"
    )
    bars = (
        f" Points are means over {seeds} seeds, bars and the band run from the smallest to the largest (no bar where "
        "it would lie over another); a seed also changes who is in which part of the data."
        if seeds > 1
        else ""
    )
    certified = " Green ticks are certified upper bounds." if len(finite(run.certified)) else ""
    others = ""
    if run.baselines is not None:
        others = " Other marks are baselines, on development data; squares decide by the group."
    return (
        f"Every bound {where}.{bars}{certified}{others} Up and to the left is better. The line joins filled points, "
        "to which no other point here is preferable; crosses are bounds that not every seed satisfies on its training "
        "sample."
    )
