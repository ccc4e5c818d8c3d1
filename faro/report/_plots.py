"""Pictures of a run: the frontier with its spread over seeds, and how a trial was trained. Same run, same bytes."""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..errors import UsageError
from ..files import replacing
from ._ending import MEANINGS, ending
from ._envelope import envelope_panel
from ._others import panels
from ._run import RESIDUALS, Run, bound_text
from ._series import RESIDUAL_FLOOR, Panel, Series, Spot, largest

# Okabe and Ito's palette, told apart by readers with any colour vision.
BLUE, RED, GREEN, ORANGE, SKY, PURPLE = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7"
INK, GREY = "#222222", "#8a8f94"
STYLE: Any = {
    "svg.hashsalt": "faro",
    "font.family": "DejaVu Sans",
    "axes.edgecolor": INK,
    "text.color": INK,
} | {f"{axis}.{what}": INK for axis in ("xtick", "ytick") for what in ("color", "labelcolor")}
STYLE |= {"axes.labelcolor": INK, "axes.prop_cycle": cycler(color=[BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK, GREY])}


def draw_frontier(run: Run, ax: Axes | None = None, panel: Panel | None = None) -> Figure:
    """Accuracy against gap, a point per bound: mean over seeds, bars from the smallest to the largest seed.

    On held-out development data, with baselines if the run has any; else, where the population is known, its expected
    values and the true frontier. A trial with a certificate has a bar that ends at its certified upper bound; none if
    that says nothing. `panel` is what it shows, where that is known.
    """
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(7.2, 5.0), layout="constrained").add_subplot()
        draw_panel(panel or panels(run)[-1], ax)
        ax.set_title("\n".join(_title(run)), fontsize=11, parse_math=False)
        figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def _title(run: Run) -> list[str]:
    """Lines over a picture."""
    if run.title:
        return textwrap.wrap(run.title, 66)
    return [*textwrap.wrap(run.spoken, 66), f"{run.data['name']}, {run.size}"]


def draw_envelope(run: Run, panel: Panel) -> Figure:
    """The certified envelope in axes of its own, its scope below it."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 6.0), layout="constrained")
        ax = figure.add_subplot()
        draw_panel(panel, ax)
        ax.set_title("\n".join(_title(run)), fontsize=11, parse_math=False)
        figure.supxlabel(textwrap.fill(panel.note, 108), fontsize=8, ha="center", parse_math=False)
    return figure


def draw_panel(panel: Panel, ax: Axes) -> None:
    """Points, bars and lines of every series of a panel."""
    for series in panel.series:
        _draw_series(ax, series, panel.runs > 1)
    ax.set_xlabel(panel.x)
    ax.set_ylabel(panel.y)
    measured = (point.x for series in panel.series if series.style != "truth" for point in series.points)
    widest = max(measured, default=0.0)
    widest = max([widest, *(point.across[1] for series in panel.series for point in series.points if point.across)])
    if widest > 0:
        ax.set_xlim(-0.03 * widest, 1.12 * widest)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=INK, alpha=0.12, linewidth=0.6)
    ax.set_axisbelow(True)
    if ax.get_legend_handles_labels()[0]:
        legend = ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        for text in legend.get_texts():
            text.set_parse_math(False)
    else:
        ax.text(0.5, 0.5, "no member has numbers", transform=ax.transAxes, ha="center")


STYLES: dict[str, dict[str, Any]] = {
    "lower": {"linestyle": "-", "color": GREEN, "linewidth": 1.4, "marker": "", "zorder": 2},
    "truth": {"linestyle": "--", "color": RED, "linewidth": 1.4, "zorder": 2},
    "line": {"linestyle": "-", "color": BLUE, "linewidth": 1.2, "marker": "", "zorder": 1.8},
    "best": {"marker": "o", "color": BLUE},
    "rest": {"marker": "o", "color": BLUE, "markerfacecolor": "none"},
    "fail": {"marker": "x", "color": ORANGE},
    "free": {"marker": "D", "color": INK, "markersize": 6.5},
    "certified": {"marker": "|", "color": GREEN, "markersize": 9, "markeredgewidth": 1.8, "zorder": 2.6},
    "thresholds": {"marker": "s", "color": PURPLE, "markersize": 5, "markerfacecolor": "none"},
    "reweighting": {"marker": "P", "color": PURPLE},
    "penalty": {"marker": "^", "color": PURPLE, "markerfacecolor": "none"},
    "group_dro": {"marker": "v", "color": PURPLE},
}
STYLES["diagonal"] = {"linestyle": "--", "color": GREY, "linewidth": 1.2, "marker": "", "zorder": 2}
STYLES |= {
    f"group {place}": {"marker": marker, "color": color, "linestyle": "-", "linewidth": 0.9}
    for place, (marker, color) in enumerate(zip("osD^vP", (BLUE, RED, GREEN, PURPLE, ORANGE, INK), strict=True))
}
RUN_STYLES = ({"color": BLUE, "marker": "o"}, {"color": RED, "marker": "s"})  # told apart by colour and by shape


def _legend(name: str) -> str | None:
    """A name as the legend shows it: not too long, and not hidden, as matplotlib would one that begins with "_"."""
    short = name if len(name) <= 40 else f"…{name[-39:]}"
    return f" {short}" if short.startswith("_") else short or None


def _draw_series(ax: Axes, series: Series, several: bool) -> None:
    style: Any = {"linestyle": "none", "markersize": 5.5, "zorder": 3} | STYLES[series.style]
    if several:  # the colour says which run; crosses and diamonds stay what they are
        mine = RUN_STYLES[series.run % len(RUN_STYLES)]
        style |= mine if series.style in ("best", "rest") else {"color": mine["color"]}
    x, y = [point.x for point in series.points], [point.y for point in series.points]
    if series.style == "line":  # bars side by side are a band
        low, high = ([p.up[end] for p in series.points if p.up] for end in (0, 1))
        ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0, zorder=1.5)
        ax.plot(x, y, label=_legend(series.name), **style)
        return
    bars: Any = {"color": style["color"], "alpha": 0.7 if series.style == "certified" else 0.35, "linewidth": 1.1}
    across, up = ([p for p in series.points if getattr(p, side) is not None] for side in ("across", "up"))
    if across:
        ends = [p.across for p in across if p.across]
        ax.hlines([p.y for p in across], *zip(*ends, strict=True), zorder=2.4 if not up else 2, **bars)
    if up:
        ends = [p.up for p in up if p.up]
        ax.vlines([p.x for p in up], *zip(*ends, strict=True), zorder=2, **bars)
    ax.plot(x, y, label=_legend(series.name), **style)
    halo = [withStroke(linewidth=2.5, foreground=ax.get_facecolor())] if ax.patch.get_alpha() != 0 else []
    place: Any = {"xytext": (6, -4), "textcoords": "offset points", "va": "top"}
    for point in series.points:
        if point.label and not several:
            ax.annotate(point.label, (point.x, point.y), fontsize=8, zorder=2.5, path_effects=halo, **place)


def draw_traces(run: Run, row: int) -> Figure:
    """How trial `row` of frontier.csv was trained: gap with its bound, violations, multipliers, and how far each step
    was from the conditions of a solution; the title says how it ended."""
    if not 0 <= row < len(run.trials):
        raise UsageError(f"row: expected 0..{len(run.trials) - 1}, got {row}; rows are those of frontier.csv")
    bound, step = float(run.trained_at[row]), run.traces["step"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 9.0), layout="constrained")
        gaps, violations, multipliers, residuals = figure.subplots(4, sharex=True)
        for part, name in enumerate(run.parts):
            gaps.plot(step, run.traces["gap"][row, :, part], label=name if len(run.parts) > 1 else "gap", linewidth=1.2)
        if math.isfinite(bound):
            gaps.axhline(bound, color=INK, linestyle="--", linewidth=0.8, label=f"bound {bound_text(bound)}")
        for place, index in enumerate(largest(run, row)):
            style: dict[str, Any] = {"linewidth": 1.2, "label": run.labels[index], "linestyle": ("-", "--")[place % 2]}
            violations.plot(step, run.traces["violation"][row, :, index], **style)
            multipliers.plot(step, run.traces["multiplier"][row, :, index], **style)
        for name in RESIDUALS:
            residuals.semilogy(step, np.maximum(run.traces[name][row], RESIDUAL_FLOOR), label=name, linewidth=1.2)
        violations.axhline(0, color=INK, linestyle="--", linewidth=0.8)
        titles = ["gap on the training sample", "violation (positive: violated)", "multiplier"]
        titles += ["distance from the conditions of a solution"]
        for ax, title in zip((gaps, violations, multipliers, residuals), titles, strict=True):
            ax.set_title(title, loc="left", fontsize=10)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(color=INK, alpha=0.12, linewidth=0.6)
        gaps.legend(frameon=False, fontsize=8)
        residuals.legend(frameon=False, fontsize=8, ncols=3)
        if multipliers.get_legend_handles_labels()[0]:
            figure.legend(*multipliers.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
        residuals.set_xlabel("step")
        who = f"bound {bound_text(bound)}" if math.isfinite(bound) else "unconstrained"
        word = ending(run, row)
        title = f"{run.data['name']}: {who}, seed {run.trials['seed'].iloc[row]}: {word}"
        figure.suptitle(title + ("\n" + textwrap.fill(MEANINGS[word], 80) if word != who else ""), fontsize=11)
    return figure


def picture(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a `png` or `svg` file, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if layout := figure.get_layout_engine():  # laid out once for all kinds, not at every writing
            figure.set_dpi(200)
            layout.execute(figure)
            figure.set_layout_engine(None)
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()


def inline(panel: Panel) -> tuple[str, list[Spot]]:
    """The panel as an `<svg>` element that takes the page's fonts and colours, light or dark, and where in its
    coordinates the points are that can be pointed at."""
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(5.2, 4.9), layout="constrained", dpi=72)  # the unit of an svg is a 72nd of an inch
        figure.patch.set_alpha(0)
        ax = figure.add_subplot()
        ax.patch.set_alpha(0)
        draw_panel(panel, ax)
        text = themed(figure)
        titled = [(series.run, point) for series in panel.series for point in series.points if point.title]
        places = [ax.transData.transform((point.x, point.y)) for _, point in titled]
    height = 72 * figure.get_figheight()
    spots = [
        Spot(run, point, round(float(x), 2), round(height - float(y), 2))
        for (run, point), (x, y) in zip(titled, places, strict=True)
    ]
    return text, sorted(spots, key=lambda spot: (spot.run, spot.point.rows))


def themed(figure: Figure) -> str:
    """The figure as an `<svg>` element in the colours of the page, light or dark."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, name in (
        (INK, "ink"),
        (BLUE, "blue"),
        (RED, "red"),
        (ORANGE, "orange"),
        (GREEN, "green"),
        (PURPLE, "purple"),
    ):
        text = text.replace(colour, f"var(--{name})")
    return text


def write_pictures(run: Run, folder: str | os.PathLike[str], panel: Panel | None = None) -> list[Path]:
    """Write frontier.png and frontier.svg into the folder, and envelope.png and envelope.svg where there is a certified
    envelope; returns their paths. `panel` is what the frontier shows, where that is known."""
    figures = {"frontier": draw_frontier(run, panel=panel)}
    if lower := envelope_panel(run):
        figures["envelope"] = draw_envelope(run, lower)
    paths = []
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            paths.append(Path(folder) / f"{name}.{kind}")
            with replacing(paths[-1]) as temporary:
                temporary.write_bytes(picture(figure, kind))
    return paths
