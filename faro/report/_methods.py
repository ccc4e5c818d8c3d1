"""comparison.html: methods side by side, in plain words, with a picture; it loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from ..compare.names import AGGREGATE, NEW_PEOPLE
from ..compare.words import GROUPS, called, head, sections, verdict
from ..files import write_text
from ._people import page


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
    drawn = {
        title: picture for title, picture in ((parts[0].title, _losses(record)), (GROUPS, _groups(record))) if picture
    }
    told = [verdict(record), *record["notes"]]
    return page(record["data"], "Methods compared", head(record), told, parts, drawn, foot)


def _losses(record: dict[str, Any]) -> str:
    """Left, nll of every method on new people, with what it gains on the aggregate; right, after k of their choices."""
    rows = [row for row in record["methods"] if row["questions"][NEW_PEOPLE]["nll"] is not None]
    gains = {gain["method"]: gain for gain in record["gains"] if gain["over"] == AGGREGATE and "low" in gain}
    base = next((row["questions"][NEW_PEOPLE]["nll"] for row in rows if row["method"] == AGGREGATE), None)
    cold, colour = record["cold_start"], _colours(record)

    def draw(axes: Any) -> None:
        for place, row in enumerate(rows):
            gain = gains.get(row["method"]) if not row["constrained"] else None
            if gain is not None and base is not None:
                ends = base - gain["high"], base - gain["low"]
                axes[0].hlines(place, *ends, color=colour[row["method"]], alpha=0.35, linewidth=4)
            axes[0].plot(row["questions"][NEW_PEOPLE]["nll"], place, "o", **_dot(row, colour))
        axes[0].set_yticks(range(len(rows)), [called(row) for row in rows])
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].set_xlabel(f"nll, {NEW_PEOPLE}: lower is better")
        if not cold["k"]:
            return
        for name, curve in cold["curves"].items():
            line = [point["nll"] for point in curve]
            axes[1].plot(cold["k"], line, marker="o", markersize=3.5, label=name, color=colour[name])
        axes[1].set_xlabel("choices of a person that are known")
        axes[1].set_ylabel("nll")
        axes[1].legend(frameon=False, fontsize=9)

    said = "; ".join(f"{called(row)} {row['questions'][NEW_PEOPLE]['nll']:.3f}" for row in rows)
    told = "Bars: what a method gains on the aggregate, for all gains at once." if gains else ""
    return _figure(draw, 2 if cold["k"] else 1, 0.9 + 0.4 * max(len(rows), 5), f"nll: {said}", told)


def _groups(record: dict[str, Any]) -> str:
    """A dot for every method: mean accuracy of people against that of the worst group, with their intervals; nothing
    where people are of no group."""
    attribute = next((name for name, of in record["methods"][0]["groups"].items() if of["worst"]), None)
    if attribute is None:
        return ""
    rows, colour = record["methods"], _colours(record)

    def draw(axes: Any) -> None:
        from ._plots import INK

        ax = axes[0]
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
        ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))

    said = "; ".join(
        f"{called(row)} {row['questions'][NEW_PEOPLE]['accuracy']:.3f} and {of['worst_accuracy']:.3f} ({of['worst']})"
        for row in rows
        if (of := row["groups"][attribute])["worst"]
    )
    told = "95 % intervals, each on its own. On the dotted line the worst group fares as well as everybody."
    return _figure(draw, 1, 3.6, f"accuracy, mean and of the worst group: {said}", told)


def _colours(record: dict[str, Any]) -> dict[str, str]:
    from ._plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

    palette = [GREY, BLUE, RED, GREEN, ORANGE, PURPLE, SKY]
    names = dict.fromkeys(row["method"] for row in record["methods"])
    return {name: palette[place % len(palette)] for place, name in enumerate(names)}


def _dot(row: dict[str, Any], colour: dict[str, str]) -> dict[str, Any]:
    """How a method's dot looks: hollow where a bound held."""
    own = colour[row["method"]]
    return {"color": own, "markersize": 6, "markerfacecolor": "none" if row["constrained"] else own}


def _figure(draw: Callable[[Any], None], columns: int, height: float, label: str, told: str) -> str:
    """A picture as SVG inside the page, with what a reader who does not see it is told."""
    import matplotlib
    from matplotlib.figure import Figure

    from ._plots import INK, STYLE, themed

    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9.2 if columns > 1 else 6.4, height), layout="constrained", dpi=72)
        figure.patch.set_alpha(0)
        axes = figure.subplots(1, columns, squeeze=False)[0]
        draw(axes)
        for ax in axes:
            ax.patch.set_alpha(0)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        text = themed(figure)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(label, quote=True)}" ', 1)
    caption = f"<figcaption>{escape(told)}</figcaption>" if told else ""
    return f'<figure><div class="plots"><div class="plot">{text}</div></div>{caption}</figure>'
