"""Names of the columns of a run's tables: made here, and read here.

    train_accuracy   dev_gap   dev_gap[PART]   dev_rate[CELL]   dev_rate[PART: CELL]   multiplier[LABEL]

A gap has the name of its part where a constraint is a stack, and so has a cell. Names in brackets are those of
constraints and cells, which may hold anything: a column is known by its beginning, its name is what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

PARTS = ("train", "selection", "dev")  # whose figures every run has
FIGURES = ("n", "accuracy", "nll", "ece")  # of each part
USED = "selection"  # the part on which things were chosen
USED_NOTE = (
    "Used: the ridge, candidates of training and non-dominated points are chosen on the selection part, whose figures "
    "therefore flatter; dev is the first part that chose nothing."
)
MEMBER = ("bound", "seed", "status", "pareto")  # what is said of a trial beside its figures
TEXTS = ("constraint", "status", "model")
STATUSES = ("FEASIBLE", "INFEASIBLE", "DIVERGED")
SLACK, VERDICT = "certified_slack", "certified_verdict"  # written by faro certify; absent before
TRAINED_AT = "trained_at"  # the bound that the answering model was trained at; absent before
HELD_AT = "held_at"  # the bound as training held it, where that was tighter
SMALLEST_GAP = "smallest_train_gap"
TRUTH = "population_frontier"  # the true frontier at the bound, where the population is known
MEAN = "mean"  # in a column of seeds: the mean over them

RESIDUALS = ("stationarity", "feasibility", "complementarity")
TRACES = ("step", "loss", "gap", "violation", "multiplier", *RESIDUALS, "capped")


def said(part: str, word: str = "") -> str:
    """What a reader is told a part is, by another word where there is one: what was used to choose is called so."""
    return f"{word or part} (used)" if part == USED else word or part


def figure(part: str, name: str) -> str:
    """The column of a figure of a part: "dev_accuracy"."""
    return f"{part}_{name}"


def gaps(part: str, names: Sequence[str]) -> list[str]:
    """The columns of the gaps on a part, for the names of the constraint's parts."""
    return [f"{part}_gap"] if len(names) == 1 else [f"{part}_gap[{name}]" for name in names]


def gaps_in(columns: Iterable[str], part: str) -> dict[str, str]:
    """Name of a constraint's part -> the column of its gap; the name is "" where there is one gap alone."""
    return _in(columns, f"{part}_gap", bare=True)


def rate(part: str, cell: str) -> str:
    """The column of a cell's rate on a part."""
    return f"{part}_rate[{cell}]"


def rates_in(columns: Iterable[str], part: str, names: Sequence[str] = (), name: str = "") -> dict[str, str]:
    """Cell -> the column of its rate on a part of the data; of the constraint's part `name` alone, among parts of these
    `names`, where that is given."""
    head = cell_of(names, name, "")
    rates = _in(columns, f"{part}_rate")
    return {cell[len(head) :]: column for cell, column in rates.items() if cell.startswith(head)}


def cell_of(names: Sequence[str], name: str, cell: str) -> str:
    """What a cell of the part `name` is called among the cells of a constraint with parts of these names."""
    return f"{name}: {cell}" if len(names) > 1 else cell


def multiplier(label: str) -> str:
    """The column of the last multiplier of an inequality."""
    return f"multiplier[{label}]"


def figures_in(columns: Iterable[str], parts: Iterable[str]) -> list[str]:
    """All columns about these parts of the data."""
    beginnings = tuple(f"{part}_" for part in parts)
    return [column for column in columns if column.startswith(beginnings)]


def _in(columns: Iterable[str], head: str, bare: bool = False) -> dict[str, str]:
    column_of = {}
    for column in map(str, columns):
        if bare and column == head:
            column_of[""] = column
        elif column.startswith(f"{head}[") and column.endswith("]"):
            column_of[column[len(head) + 1 : -1]] = column
    return column_of
