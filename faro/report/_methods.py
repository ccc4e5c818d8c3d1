"""comparison.html: methods side by side, in plain words, with pictures; it loads nothing. Who is served is a picture of
its own as well, field.png and field.svg."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from ..compare.names import AGGREGATE, NEW_PEOPLE
from ..compare.words import COLD, FIGURES, SERVED, called, head, sections, verdict
from ..files import replacing, write_text
from ._people import page

BESIDE: Any = {"frameon": False, "fontsize": 9, "loc": "center left", "bbox_to_anchor": (1, 0.5)}  # where legends are
WIDTH = 6.4  # of a picture, in inches


def write_methods(record: dict[str, Any], folder: str | os.PathLike[str]) -> Path:
    """Write comparison.html into the folder, and field.png and field.svg where people can be ranked; returns the path
    of the page.

    record: of `faro.compare.compare`
    folder: which is made
    """
    path = Path(folder, "comparison.html")
    write_text(path, methods_page(record))
    if panels := _panels(record):
        from ._plots import picture

        figure = _made(lambda figure: _draw_field(figure, record, panels), _field_height(record))
        for kind in ("png", "svg"):
            with replacing(Path(folder, f"field.{kind}")) as temporary:
                temporary.write_bytes(picture(figure, kind))
    return path


def methods_page(record: dict[str, Any]) -> str:
    """The page.

    record: of `faro.compare.compare`
    """
    parts, foot = sections(record), "Figures are of people whom training did not see, unless it says otherwise."
    drawn = {parts[0].title: _losses(record), SERVED: _field(record), COLD: _cold(record)}
    told = [verdict(record), *record["notes"]]
    return page(record["data"], "Methods compared", head(record), told, parts, drawn, foot)


def _losses(record: dict[str, Any]) -> str:
    """nll of every method on new people, with what it gains on the aggregate."""
    rows = [row for row in record["methods"] if row["questions"][NEW_PEOPLE]["nll"] is not None]
    gains = {gain["method"]: gain for gain in record["gains"] if gain["over"] == AGGREGATE and "low" in gain}
    base = next((row["questions"][NEW_PEOPLE]["nll"] for row in rows if row["method"] == AGGREGATE), None)
    look = _looks(record)

    def draw(ax: Any) -> None:
        for place, row in enumerate(rows):
            gain = gains.get(row["method"]) if not row["constrained"] else None
            if gain is not None and base is not None:
                ends = base - gain["high"], base - gain["low"]
                ax.hlines(place, *ends, color=look[row["method"]]["color"], alpha=0.35, linewidth=4)
            ax.plot(row["questions"][NEW_PEOPLE]["nll"], place, **_dot(row, look))
        ax.set_yticks(range(len(rows)), [called(row) for row in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel(f"nll, {NEW_PEOPLE}: lower is better")

    said = "; ".join(f"{called(row)} {row['questions'][NEW_PEOPLE]['nll']:.3f}" for row in rows)
    told = "Bars: what a method gains on the aggregate, for all gains at once." if gains else ""
    return _shown(_alone(draw), 0.9 + 0.32 * len(rows), f"nll: {said}", told)


def _cold(record: dict[str, Any]) -> str:
    """nll of every method after so many choices of a person; nothing where no method reads any."""
    cold, look = record["cold_start"], _looks(record)
    if not cold["k"]:
        return ""
    curves = {name: [point["nll"] for point in curve] for name, curve in cold["curves"].items()}

    def draw(ax: Any) -> None:
        for name, line in curves.items():
            ax.plot(cold["k"], line, markersize=4, label=name, **look[name])
        ax.set_xlabel("choices of a person that are known")
        ax.set_ylabel(f"nll, {NEW_PEOPLE}")
        ax.legend(**BESIDE)

    ends = "; ".join(f"{name} from {line[0]:.3f} to {line[-1]:.3f}" for name, line in curves.items())
    return _shown(
        _alone(draw),
        max(3.2, 0.4 + 0.2 * len(curves)),
        f"nll after {cold['k'][0]} to {cold['k'][-1]} choices: {ends}",
        "",
    )


def _panels(record: dict[str, Any]) -> list[str]:
    """Against which figures of the field the mean is drawn; none where nobody is ranked."""
    rows = record["field"]["methods"]
    return [name for name in ("worst_group", "tail") if rows and rows[0][name] is not None]


def _field(record: dict[str, Any]) -> str:
    """Who is served by which method; nothing where nobody is ranked."""
    panels = _panels(record)
    if not panels:
        return ""
    said = "; ".join(
        f"{called(row)} {' and '.join(format(row[name]['value'], '.3f') for name in ('mean', *panels))}"
        for row in record["field"]["methods"]
    )
    told = (
        "What people gain on the aggregate, on average to the right and those who fare worst upwards, with intervals "
        "of all at once. On the dotted line both gain alike. Hollow: with the constraint."
    )
    names = ", ".join(("mean", *(FIGURES[name] for name in panels)))
    return _shown(
        lambda figure: _draw_field(figure, record, panels),
        _field_height(record),
        f"share of choices that are decided right, {names}: {said}",
        told,
    )


def _field_height(record: dict[str, Any]) -> float:
    return 3.3 + 0.2 * -(-len(record["field"]["methods"]) // 3)


def _draw_field(figure: Any, record: dict[str, Any], panels: list[str]) -> None:
    """A dot for every method: what its people gain on the aggregate on average, against what the worst group gains, and
    the tail."""
    from ._plots import INK

    look, field = _looks(record), record["field"]
    called_so = {"worst_group": f"gain of the worst group of {field['attribute']}"}
    called_so["tail"] = f"gain of the worst {field['share']:.0%} of people"
    for place, (name, ax) in enumerate(zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True)):
        for number, row in enumerate(field["methods"]):
            x, y = row["mean"], row[name]
            if "gain" in x:
                line = {"color": look[row["method"]]["color"], "alpha": 0.35, "linewidth": 1.2, "zorder": 1}
                ax.hlines(y["gain"], x["low"], x["high"], **line)
                ax.vlines(x["gain"], y["low"], y["high"], **line)
            dot = {"label": called(row), "gid": f"field-{place}-{number}", **_dot(row, look)}
            ax.plot(x.get("gain", 0.0), y.get("gain", 0.0), zorder=2.5, **dot)
        for line in (ax.axhline, ax.axvline):
            line(0, color=INK, alpha=0.25, linewidth=0.8, zorder=0.5)
        ax.axline((0, 0), slope=1, color=INK, alpha=0.25, linewidth=0.8, linestyle=":", zorder=0.5)
        ax.locator_params(axis="x", nbins=5)
        ax.set_xlabel("gain of people on average")
        ax.set_ylabel(called_so[name])
        ax.grid(color=INK, alpha=0.12, linewidth=0.6)
    figure.legend(*ax.get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=3)


def _looks(record: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Of every method a colour and a mark, which no other has both."""
    from ._plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

    palette, marks = [GREY, BLUE, RED, GREEN, ORANGE, PURPLE, SKY], "osD^vPX"
    names = dict.fromkeys(row["method"] for row in (*record["methods"], *record["field"]["methods"]))
    return {
        name: {"color": palette[place % 7], "marker": marks[(place + place // 7) % 7]}
        for place, name in enumerate(names)
    }


def _dot(row: dict[str, Any], look: dict[str, dict[str, str]]) -> dict[str, Any]:
    """How a method's dot looks: hollow where a bound held."""
    own = look[row["method"]]
    face = "none" if row["constrained"] else own["color"]
    return {**own, "markersize": 6, "markerfacecolor": face, "linestyle": "none"}


def _alone(draw: Callable[[Any], None]) -> Callable[[Any], None]:
    """What draws on a figure, of what draws on axes."""

    def on(figure: Any) -> None:
        from ._plots import INK

        ax = figure.add_subplot()
        draw(ax)
        ax.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)

    return on


def _made(draw: Callable[[Any], None], height: float) -> Any:
    """A figure."""
    import matplotlib
    from matplotlib.figure import Figure

    from ._plots import STYLE

    with matplotlib.rc_context(STYLE | {"font.size": 10}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=72)
        draw(figure)
        for ax in figure.axes:
            ax.spines[["top", "right"]].set_visible(False)
    return figure


def _shown(draw: Callable[[Any], None], height: float, label: str, told: str) -> str:
    """A picture as SVG inside the page, with what a reader who does not see it is told."""
    import matplotlib

    from ._plots import STYLE, themed

    figure = _made(draw, height)
    for patch in (figure.patch, *(ax.patch for ax in figure.axes)):
        patch.set_alpha(0)
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "font.size": 10}):
        text = themed(figure)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(label, quote=True)}" ', 1)
    caption = f"<figcaption>{escape(told)}</figcaption>" if told else ""
    return f'<figure><div class="plots"><div class="plot">{text}</div></div>{caption}</figure>'
