"""What `faro disagree` says in plain words, section by section, for terminals and pages: no figure without words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

KINDS = {"accept": "accepting or refusing", "pairs": "choosing one of two", "sets": "choosing one of several"}


class Section(NamedTuple):
    """A table and what is said of it.

    title: its heading
    columns: heads of the table
    rows: cells as texts, the first of which says what it is
    said: sentences below
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    said: list[str]


def head(record: dict[str, Any]) -> str:
    """One line on whose choices these are.

    record: of `faro.people.disagree.disagree`
    """
    called = record["called"]
    return (
        f"{record['data']}: {record['choices']:,} choices, {KINDS[record['kind']]}, of {record['people']:,} "
        f"{called['people']} on {record['items']:,} {called['items']}"
    )


def sections(record: dict[str, Any]) -> list[Section]:
    """All that the record says, in the order in which it is read.

    record: of `faro.people.disagree.disagree`
    """
    found = [_parts(record), _level(record), _ceiling(record), _majority(record)]
    if "why" not in record["dips"]:
        found.append(_dips(record))
    if record["groups"]:
        found.append(_groups(record))
    return found


def number(value: float | None, digits: int = 3) -> str:
    """A figure as a text, "-" where there is none; never "-0.000".

    value: the figure
    digits: behind the point
    """
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _cells(what: str, figure: dict[str, Any]) -> tuple[str, str, str]:
    """What it is, its value, its interval."""
    if figure["value"] is None:
        return what, "unknown", ""
    ends = f"{number(figure['low'])} to {number(figure['high'])}" if "low" in figure else "-"
    return what, number(figure["value"]), ends


def _why(*named: tuple[str, dict[str, Any]]) -> list[str]:
    """Why figures are unknown, or without an interval: each reason once."""
    reasons: dict[str, list[str]] = {}
    for what, figure in named:
        if figure.get("why") and figure["why"] != "no interval":
            reasons.setdefault(figure["why"], []).append(what)
    return [f"{', '.join(whats)}: {why}." for why, whats in reasons.items()]


def _parts(record: dict[str, Any]) -> Section:
    parts, told, people = record["parts"], record["foretold"], record["called"]["people"]
    rows = [_cells("shared by all, from item to item", parts["items"])]
    named = [("shared by all", parts["items"])]
    if record["level_of"]:
        rows.append(_cells(f"level of {people}, on every item alike", parts["level"]))
        named.append(("level", parts["level"]))
    rows.append(_cells("taste foretold out of fold (at least)", told["taste"]))
    named.append(("taste foretold", told["taste"]))
    said = []
    rest, taste = parts["rest"]["value"], told["taste"]["value"]
    if rest is not None:
        left = rest - max(0.0, taste or 0.0)
        rows.append(("rest: other taste, and noise", number(left), "-"))
        if parts["noise"]["value"] is None:
            rows.append(("  of it noise within a person", f"0 to {number(left)}", ""))
            said.append(f"Noise within a person is known from repeats alone, and {parts['noise']['why']}.")
        else:
            rows.append(_cells("  noise within a person, from repeats", parts["noise"]))
            rows.append(_cells("  all taste, from repeats", parts["taste"]))
    said += _why(*named)
    if told["people"] < record["people"]:
        said.append(f"Taste: of {told['people']:,} people drawn at random, whose choices are used.")
    if record["kind"] == "pairs":
        said.append("Of pairs a person has no level: two alternatives compete.")
        rows.append(_cells("beside these: a habit of place", record["place"]))
        said += _why(("habit of place", record["place"]))
    elif not record["level_of"]:
        said.append("Alternatives have no names of their own, so a person has no level.")
    return Section("Parts of the variance of choices (all of it = 1)", ("part", "", "95 %"), rows, said)


def _level(record: dict[str, Any]) -> Section:
    spread, order = record["level_and_order"]["spread"], record["level_and_order"]["order"]
    if record["kind"] != "accept":
        return Section("Level and order", (), [], [f"{_sentence(order['why'])} Not defined here."])
    rows = [
        _cells("spread of how often a person accepts (sd beyond chance)", spread),
        _cells("two people agree in the order of two items", order),
    ]
    said = ["Order: among items of which each of the two accepts one and refuses one; 0.5 is chance, 1 is level alone."]
    return Section("Level and order", ("", "", "95 %"), rows, said + _why(("spread", spread), ("order", order)))


def _ceiling(record: dict[str, Any]) -> Section:
    top = record["ceiling"]
    counted = ", ".join(f"{count:,} have {votes}" for votes, count in top["votes"]["votes an item"].items() if count)
    said = [f"Votes an item: {counted}."]
    if top["low"]["value"] is None:
        return Section("Ceiling of one answer for everybody", (), [], [*map(_sentence, [top["low"]["why"]]), *said])
    rows = [
        _cells("best accuracy, at least (vote against the other votes)", top["low"]),
        _cells("best accuracy, at most (vote against all votes)", top["high"]),
        _cells("two people choose alike", top["agreement"]),
        ("best Brier score (of the shares, all alternatives)", number(1 - top["agreement"]["value"]), "-"),
    ]
    several = top["votes"]["items of two or more"]
    said.append(
        f"On the {several:,} items with two votes or more. The two ends of accuracy are no interval but a bracket: "
        "with few votes an item it is wide, for all votes have seen the vote (a coin with 3 votes has 0.75)."
    )
    return Section("Ceiling of one answer for everybody", ("", "", "95 %"), rows, said)


def _majority(record: dict[str, Any]) -> Section:
    found = record["majority"]
    if found["unhappy_proportional"]["value"] is None:
        return Section("Whom a majority serves", (), [], [_sentence(found["unhappy_proportional"]["why"])])
    low, high = found["unhappy_always"]
    rows = [
        (
            "unhappy if the most wanted is always served",
            f"{number(low['value'])} to {number(high['value'])}",
            "bracket",
        ),
        _cells("unhappy if served in proportion", found["unhappy_proportional"]),
        _cells("a person is with the majority of the others", found["with_majority"]),
        (
            "  spread over people, beyond chance (sd)",
            number(found["spread"]["value"]) if found["spread"]["value"] is not None else "unknown",
            "",
        ),
        _cells("  the worst tenth of people", found["worst_tenth"]),
    ]
    said = [
        f"On {found['unclear']:,} of {found['items']:,} items it is not clear, at their number of votes, which side is "
        "larger.",
        "With 51 against 49 of 100 always serving the larger leaves 0.490 unhappy, always the same; in proportion "
        "0.4998, everybody at times: no gain in the mean.",
        "The worst tenth is ranked on one half of their items and measured on the other.",
    ]
    return Section(
        "Whom a majority serves", ("", "", "95 %"), rows,
        said + _why(("spread", found["spread"]), ("worst tenth", found["worst_tenth"])),
    )  # fmt: skip


def _dips(record: dict[str, Any]) -> Section:
    found = record["dips"]
    rows = [
        ("pairs that two people or more were asked", f"{found['pairs']:,}"),
        ("  majority against the order of one score", f"{found['against']:,}"),
        ("  of these beyond chance (Holm)", f"{found['beyond']:,}"),
    ]
    said = ["One score for everybody orders by Borda counts, not by how much people want something."]
    return Section("Borda dips", ("", "pairs"), rows, said)


def _groups(record: dict[str, Any]) -> Section:
    rows, said = [], []
    for of in record["groups"]:
        if of.get("why"):
            said.append(f"{of['attribute']}: {of['why']}.")
            continue
        sides = ", ".join(f"{level} {count:,}" for level, count in of["people"].items())
        said.append(f"{of['attribute']}: {sides}; on {of['choices']:,} choices of items that two groups were asked.")
        for figure in ("level", "taste"):
            if of.get(f"p_{figure}") is not None:
                rows.append((f"{of['attribute']}, {figure}", number(of[figure], 4), number(of[f"p_{figure}"])))
        rows.append(
            (
                f"{of['attribute']}, opposite majorities",
                f"{of['opposite']:,}",
                f"{of['opposite_by_chance']:,.1f} by chance",
            )
        )
    if not rows:
        return Section("Groups that people are in", (), [], said)
    said.append(
        "Part of the variance that groups explain, less what groups dealt to people at random explain; p by such "
        "deals, Holm over all lines. Items of opposite majorities beside their number in such deals."
    )
    return Section("Groups that people are in", ("", "part", "p"), rows, said)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
