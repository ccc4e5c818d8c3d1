"""disagreement.html: what a table says of people who disagree, in plain words, with pictures; it loads nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from ..files import write_text
from ..people.words import Section, head, sections
from ..runtime.versions import OURS, version
from ._page import quiet, section

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<main>
<header>
<h1>{name}</h1>
<p class="constraint">{head}</p>
</header>
{verdicts}
{sections}
<footer class="quiet">Written by faro {version}. {foot} This page loads nothing.</footer>
</main>
</body>
</html>
"""


class Bar(NamedTuple):
    """A figure of a picture: what it is, where it is, its interval if there is one."""

    name: str
    value: float
    low: float | None
    high: float | None


def write_disagreement(record: dict[str, Any], folder: str | os.PathLike[str]) -> Path:
    """Write disagreement.html into the folder; returns its path.

    record: of `faro.people.disagree.disagree`
    folder: which is made
    """
    path = Path(folder, "disagreement.html")
    write_text(path, page_of(record))
    return path


def page_of(record: dict[str, Any]) -> str:
    """The page.

    record: of `faro.people.disagree.disagree`
    """
    told = [*record["verdicts"], *record["notes"]]
    drawn = {title: _drawn(title, bars) for title, bars in pictured(record).items() if bars}
    foot = "Shares are in [0, 1]. No model was trained."
    return page(record["data"], "People who disagree", head(record), told, sections(record), drawn, foot)


def page(
    data: str,
    name: str,
    line: str,
    told: Sequence[str],
    parts: Sequence[Section],
    drawn: Mapping[str, str],
    foot: str,
) -> str:
    """A page of tables, sentences and pictures, which loads nothing.

    data: whose people it is about
    name: its heading
    line: below that
    told: what matters most, a sentence each
    parts: its sections
    drawn: title of a section -> its picture
    foot: what is to be said at its end
    """
    return PAGE.format(
        title=escape(f"faro: {data}: {name[:1].lower()}{name[1:]}"),
        name=escape(name),
        css=resources.files(__package__).joinpath("page.css").read_text("utf-8"),
        head=escape(line),
        verdicts="".join(f'<p class="note">{escape(one[:1].upper() + one[1:])}.</p>\n' for one in told),
        sections="".join(_section(one, drawn.get(one.title, "")) for one in parts),
        version=escape(version(OURS)),
        foot=escape(foot),
    )


def pictured(record: dict[str, Any]) -> dict[str, list[Bar]]:
    """By the title of a section what its picture shows; figures that are unknown are in none.

    record: of `faro.people.disagree.disagree`
    """
    parts, top, served = record["parts"], record["ceiling"], record["majority"]
    names = {"items": "shared by all", "level": "level", "rest": "rest with taste"}
    variance = [(names[name], parts[name]) for name in names] + [("taste foretold", record["foretold"]["taste"])]
    ceiling = [
        ("best accuracy, at least", top["low"]),
        ("best accuracy, at most", top["high"]),
        ("two alike", top["agreement"]),
    ]
    people = [("person with majority", served["with_majority"]), ("worst tenth", served["worst_tenth"])]
    titled = {
        "Parts of the variance of choices (all of it = 1)": variance,
        "Ceiling of one answer for everybody": ceiling,
        "Whom a majority serves": people,
    }
    return {
        title: [
            Bar(name, of["value"], of.get("low"), of.get("high")) for name, of in figures if of["value"] is not None
        ]
        for title, figures in titled.items()
    }


def _section(of: Section, picture: str) -> str:
    content = [picture] if picture else []
    if of.rows:
        cells = "".join(f"<th>{escape(name)}</th>" for name in of.columns)
        rows = [f"<tr>{''.join(f'<td>{escape(cell.strip())}</td>' for cell in row)}</tr>" for row in of.rows]
        content.append(f'<div class="scroll"><table><tr>{cells}</tr>\n{"".join(rows)}</table></div>')
    return section(of.title, *content, *map(quiet, of.said))


def _drawn(title: str, bars: Sequence[Bar]) -> str:
    """The figures on one axis from 0 to 1, with their intervals."""
    import matplotlib
    from matplotlib.figure import Figure

    from ._plots import BLUE, INK, STYLE, themed

    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(5.2, 0.7 + 0.32 * len(bars)), layout="constrained", dpi=72)
        figure.patch.set_alpha(0)
        ax = figure.add_subplot()
        ax.patch.set_alpha(0)
        for place, bar in enumerate(bars):
            if bar.low is not None and bar.high is not None:
                ax.hlines(place, bar.low, bar.high, color=BLUE, alpha=0.4, linewidth=4)
            ax.plot(bar.value, place, "o", color=BLUE, markersize=5.5)
        ax.set_yticks(range(len(bars)), [bar.name for bar in bars])
        ax.set_ylim(len(bars) - 0.5, -0.5)
        ax.set_xlim(min(-0.02, *(bar.value for bar in bars)), 1.02)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        text = themed(figure)
    said = "; ".join(f"{bar.name} {bar.value:.3f}" for bar in bars)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(f"{title}: {said}", quote=True)}" ', 1)
    return f'<figure><div class="plots"><div class="plot">{text}</div></div></figure>'
