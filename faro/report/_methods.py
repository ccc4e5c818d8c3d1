"""comparison.html: methods side by side, in plain words, with a picture; it loads nothing."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from ..compare.names import NEW_PEOPLE
from ..compare.words import called, head, sections, verdict
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
    drawn = {parts[0].title: _drawn(record)}
    told = [verdict(record), *record["notes"]]
    return page(record["data"], "Methods compared", head(record), told, parts, drawn, foot)


def _drawn(record: dict[str, Any]) -> str:
    """Left, nll of every method on new people, with what it gains on the aggregate; right, after k of their choices."""
    import matplotlib
    from matplotlib.figure import Figure

    from ._plots import BLUE, INK, STYLE, themed

    rows = [row for row in record["methods"] if row["questions"][NEW_PEOPLE]["nll"] is not None]
    gains = {gain["method"]: gain for gain in record["gains"] if gain["over"] == "aggregate" and "low" in gain}
    base = next((row["questions"][NEW_PEOPLE]["nll"] for row in rows if row["method"] == "aggregate"), None)
    cold = record["cold_start"]
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9.2, 0.9 + 0.4 * max(len(rows), 5)), layout="constrained", dpi=72)
        figure.patch.set_alpha(0)
        axes = figure.subplots(1, 2 if cold["k"] else 1, squeeze=False)[0]
        for place, row in enumerate(rows):
            value = row["questions"][NEW_PEOPLE]["nll"]
            gain = gains.get(row["method"]) if not row["constrained"] else None
            if gain is not None and base is not None:
                axes[0].hlines(place, base - gain["high"], base - gain["low"], color=BLUE, alpha=0.4, linewidth=4)
            axes[0].plot(value, place, "o", color=BLUE, markersize=5.5)
        axes[0].set_yticks(range(len(rows)), [called(row) for row in rows])
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].set_xlabel(f"nll, {NEW_PEOPLE}")
        for name, curve in cold.get("curves", {}).items() if cold["k"] else ():
            line = [point["nll"] for point in curve]
            axes[-1].plot(cold["k"], line, marker="o", markersize=3.5, label=name)
        if cold["k"]:
            axes[-1].set_xlabel("choices that are known")
            axes[-1].legend(frameon=False, fontsize=9)
        for ax in axes:
            ax.patch.set_alpha(0)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        text = themed(figure)
    said = "; ".join(f"{called(row)} {row['questions'][NEW_PEOPLE]['nll']:.3f}" for row in rows)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(f"nll: {said}", quote=True)}" ', 1)
    return f'<figure><div class="plots"><div class="plot">{text}</div></div></figure>'
