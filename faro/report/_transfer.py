"""transfer.png: gaps of policies by beta and by n, beside the bounds that rewards alone give."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..files import replacing

NOTHING = 1.0  # from here on a bound of a difference of rates says nothing


def write_transfer(table: pd.DataFrame, reference: float, bound: float, folder: str | Path) -> Path:
    """Draw a table of `faro.transfer.measure` into a folder; returns the picture's path.

    table: a row per rule
    reference: gap of the reference itself
    bound: that is to be kept
    folder: which exists
    """
    import matplotlib
    from matplotlib.figure import Figure

    from ._plots import BLUE, GREEN, GREY, INK, RED, STYLE, picture

    path = Path(folder, "transfer.png")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, axis, label in ((left, "beta", "beta of the tilted policy"), (right, "n", "n of best-of-n")):
            rows = table[table["axis"] == axis]
            axes.fill_between(rows["value"], rows["low"], rows["high"], color=BLUE, alpha=0.25, linewidth=0)
            axes.plot(rows["value"], rows["gap"], color=BLUE, label="measured, 95 %")
            for name, colour, words in (("tanh", RED, "tanh bound"), ("wasserstein", GREEN, "Wasserstein bound")):
                if rows[name].notna().any():
                    axes.plot(rows["value"], rows[name].clip(upper=NOTHING), color=colour, label=words)
            axes.axhline(reference, color=GREY, linewidth=1, label="reference")
            axes.axhline(bound, color=INK, linewidth=1, linestyle="--", label="bound")
            axes.set_xscale("log")
            axes.set_xlabel(label)
        left.invert_xaxis()  # the reference is on the left of both
        left.axhspan(NOTHING, 1.1, color=GREY, alpha=0.2, linewidth=0)
        left.text(0.02, 0.94, "says nothing", transform=left.transAxes, color=GREY)
        left.set_ylim(0, 1.1)
        left.set_ylabel("gap")
        left.legend(loc="center left", fontsize=8)
        with replacing(path) as temporary:
            temporary.write_bytes(picture(figure, "png"))
    return path
