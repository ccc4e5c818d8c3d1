"""comparison.html: methods side by side, in plain words, with a picture; it loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from ..compare.names import AGGREGATE, NEW_PEOPLE
from ..compare.words import COLD, GROUPS, called, head, sections, verdict
from ..files import write_text
from ._people import page

BESIDE: Any = {"frameon": False, "fontsize": 9, "loc": "center left", "bbox_to_anchor": (1, 0.5)}  # where legends are


def write_methods(record: dict[str, Any], folder: str | os.PathLike[str]) -> Path:
    """Write comparison.html into the folder; returns its path.

    record: of `faro.compare.compare`
    folder: which is made
    """
    path = Path(folder, "comparison.html")
    write_text(path, methods_page(record))
    return path


def methods_page(record: dict[str, Any]) -> str:
    """The page.

    record: of `faro.compare.compare`
    """
    parts, foot = sections(record), "Figures are of people whom training did not see, unless it says otherwise."
    drawn = {parts[0].title: _losses(record), GROUPS: _groups(record), COLD: _cold(record)}
    told = [verdict(record), *record["notes"]]
    return page(record["data"], "Methods compared", head(record), told, parts, drawn, foot)


def _losses(record: dict[str, Any]) -> str:
    """nll of every method on new people, with what it gains on the aggregate."""
    rows = [row for row in record["methods"] if row["questions"][NEW_PEOPLE]["nll"] is not None]
    gains = {gain["method"]: gain for gain in record["gains"] if gain["over"] == AGGREGATE and "low" in gain}
    base = next((row["questions"][NEW_PEOPLE]["nll"] for row in rows if row["method"] == AGGREGATE), None)
    colour = _colours(record)

    def draw(ax: Any) -> None:
        for place, row in enumerate(rows):
            gain = gains.get(row["method"]) if not row["constrained"] else None
            if gain is not None and base is not None:
                ends = base - gain["high"], base - gain["low"]
                ax.hlines(place, *ends, color=colour[row["method"]], alpha=0.35, linewidth=4)
            ax.plot(row["questions"][NEW_PEOPLE]["nll"], place, "o", **_dot(row, colour))
        ax.set_yticks(range(len(rows)), [called(row) for row in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel(f"nll, {NEW_PEOPLE}: lower is better")

    said = "; ".join(f"{called(row)} {row['questions'][NEW_PEOPLE]['nll']:.3f}" for row in rows)
    told = "Bars: what a method gains on the aggregate, for all gains at once." if gains else ""
    return _figure(draw, 0.9 + 0.32 * len(rows), f"nll: {said}", told)


def _cold(record: dict[str, Any]) -> str:
    """nll of every method after so many choices of a person; nothing where no method reads any."""
    cold, colour = record["cold_start"], _colours(record)
    if not cold["k"]:
        return ""
    curves = {name: [point["nll"] for point in curve] for name, curve in cold["curves"].items()}

    def draw(ax: Any) -> None:
        for name, line in curves.items():
            ax.plot(cold["k"], line, marker="o", markersize=4, label=name, color=colour[name])
        ax.set_xlabel("choices of a person that are known")
        ax.set_ylabel(f"nll, {NEW_PEOPLE}")
        ax.legend(**BESIDE)

    ends = "; ".join(f"{name} from {line[0]:.3f} to {line[-1]:.3f}" for name, line in curves.items())
    return _figure(draw, 3.2, f"nll after {cold['k'][0]} to {cold['k'][-1]} choices: {ends}", "")


def _groups(record: dict[str, Any]) -> str:
    """A dot for every method: mean accuracy of people against that of the worst group, with their intervals; nothing
    where people are of no group."""
    attribute = next((name for name, of in record["methods"][0]["groups"].items() if of["worst"]), None)
    if attribute is None:
        return ""
    rows, colour = record["methods"], _colours(record)

    def draw(ax: Any) -> None:
        from ._plots import INK

        for row in rows:
            x, y = row["questions"][NEW_PEOPLE]["accuracy"], row["groups"][attribute]["worst_accuracy"]
            if x is None or y is None:
                continue
            if across := row["accuracy_interval"]:
                ax.hlines(y, *across, color=colour[row["method"]], alpha=0.35, linewidth=1.5)
            if up := row["groups"][attribute]["worst_interval"]:
                ax.vlines(x, *up, color=colour[row["method"]], alpha=0.35, linewidth=1.5)
            ax.plot(x, y, "o", label=called(row), **_dot(row, colour))
        ends = min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])
        ax.plot(ends, ends, color=INK, alpha=0.25, linewidth=0.8, linestyle=":", scalex=False, scaley=False)
        ax.set_xlabel("mean accuracy of new people")
        ax.set_ylabel(f"of the worst group of {attribute}")
        ax.legend(**BESIDE)

    said = "; ".join(
        f"{called(row)} {row['questions'][NEW_PEOPLE]['accuracy']:.3f} and {of['worst_accuracy']:.3f} ({of['worst']})"
        for row in rows
        if (of := row["groups"][attribute])["worst"]
    )
    told = "95 % intervals, each on its own. On the dotted line the worst group fares as well as everybody."
    return _figure(draw, 3.6, f"accuracy, mean and of the worst group: {said}", told)


def _colours(record: dict[str, Any]) -> dict[str, str]:
    from ._plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

    palette = [GREY, BLUE, RED, GREEN, ORANGE, PURPLE, SKY]
    names = dict.fromkeys(row["method"] for row in record["methods"])
    return {name: palette[place % len(palette)] for place, name in enumerate(names)}


def _dot(row: dict[str, Any], colour: dict[str, str]) -> dict[str, Any]:
    """How a method's dot looks: hollow where a bound held."""
    own = colour[row["method"]]
    return {"color": own, "markersize": 6, "markerfacecolor": "none" if row["constrained"] else own}


def _figure(draw: Callable[[Any], None], height: float, label: str, told: str) -> str:
    """A picture as SVG inside the page, with what a reader who does not see it is told."""
    import matplotlib
    from matplotlib.figure import Figure

    from ._plots import INK, STYLE, themed

    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(6.4, height), layout="constrained", dpi=72)
        figure.patch.set_alpha(0)
        ax = figure.add_subplot()
        draw(ax)
        ax.patch.set_alpha(0)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        text = themed(figure)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(label, quote=True)}" ', 1)
    caption = f"<figcaption>{escape(told)}</figcaption>" if told else ""
    return f'<figure><div class="plots"><div class="plot">{text}</div></div>{caption}</figure>'
