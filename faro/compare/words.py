"""What `faro compare` says in plain words, section by section, for terminals and pages."""

from __future__ import annotations

from typing import Any

from ..people.words import Section, number
from .names import AGGREGATE, NEW_PEOPLE, PROPORTIONAL, QUESTIONS

SERVED, GROUPS, COLD = f"Who is served, {NEW_PEOPLE}", f"Groups and people, {NEW_PEOPLE}", "Cold start"  # of sections
FIGURES = {"mean": "mean", "worst_group": "worst group", "tail": "tail"}  # of the field, as they are called


def head(record: dict[str, Any]) -> str:
    """One line on what was compared.

    record: of `faro.compare.compare`
    """
    held = record["constraint"]
    words = f", without and with {held['name']} within {held['bound']:g}" if held else ""
    count = len({row["method"] for row in record["methods"]})
    return (
        f"{record['data']}: {count} methods on {record['people']:,} people, {len(record['seeds'])} splits by person"
        f"{words}; after {record['support']} choices of a person where a method reads any"
    )


def verdict(record: dict[str, Any]) -> str:
    """Which method, and why.

    record: of `faro.compare.compare`
    """
    told = record["recommended"]
    return f"recommended: {told['method']}; {told['why']}"


def sections(record: dict[str, Any]) -> list[Section]:
    """All that the record says.

    record: of `faro.compare.compare`
    """
    found = [_questions(record), _gains(record), _served(record), _groups(record), _shown(record), _people(record)]
    return [section for section in [*found, _cold(record), _refused(record)] if section.rows or section.said]


def called(row: dict[str, Any]) -> str:
    """A method, and whether a constraint held.

    row: of the record's methods
    """
    return row["method"] + (" (bounded)" if row["constrained"] else "")


def _questions(record: dict[str, Any]) -> Section:
    asked = {name: of for name, of in record["asked"].items() if "why" not in of}
    rows = []
    for role in (name for name in QUESTIONS if name in asked):
        for row in record["methods"]:
            of = row["questions"][role]
            rows.append((f"{role}: {called(row)}", number(of["nll"]), number(of["accuracy"]), number(of["ece"])))
    why: dict[str, list[str]] = {}
    for name, of in record["asked"].items():
        if "why" in of:
            why.setdefault(of["why"], []).append(name)
    said = [f"Not asked: {', '.join(names)}; {reason}." for reason, names in why.items()]
    said.append(
        "nll and accuracy are means over people, each counting once; ece is over choices. No row is of the gate."
    )
    return Section("Four questions", ("", "nll", "accuracy", "ece"), rows, said)


def _gains(record: dict[str, Any]) -> Section:
    rows = []
    for gain in record["gains"]:
        ends = (f"{number(gain['low'], 4)} to {number(gain['high'], 4)}",) if "low" in gain else ("-",)
        rows.append((f"{gain['method']} over {gain['over']}", number(gain["value"], 4), *ends))
    said = ["Intervals hold for all gains at once, about 95 %: people are drawn together, and models are given."]
    return Section(f"Gains of nll, {NEW_PEOPLE}", ("", "gain", "interval"), rows, said if rows else [])


def _served(record: dict[str, Any]) -> Section:
    field = record["field"]
    if "why" in field:
        return Section(SERVED, (), [], [f"Not known: {field['why']}."])
    rows = [(called(row), *(_gained(row[name]) for name in FIGURES)) for row in field["methods"]]
    said = [
        f"Share of choices that are decided right, of {field['people']:,} people: of the aggregate what it is, of the "
        "others what they gain on it; ± of all at once, about 95 %. Worst group and tail are said by one half of each "
        "person's choices and measured on the other."
    ]
    said.append(
        f"{PROPORTIONAL[:1].upper()}{PROPORTIONAL[1:]}: answers of the aggregate, drawn by their probabilities."
    )
    if field["methods"][0]["worst_group"] is not None:
        few = f"; of too few people: {', '.join(field['few'])}" if field["few"] else ""
        said.append(f"Worst group: of {field['attribute']}{few}.")
    if field["methods"][0]["tail"] is not None:
        said.append(f"Tail: the {field['share']:.0%} of people who fare worst under the method.")
    return Section(SERVED, ("", *FIGURES.values()), rows, said)


def _gained(of: dict[str, float] | None) -> str:
    if of is None or "gain" not in of:
        return number(None if of is None else of["value"])
    return f"{'+' if of['gain'] >= 0.0005 else ''}{number(of['gain'])} ±{number(of['high'] - of['gain'])}"


def _refused(record: dict[str, Any]) -> Section:
    whys = {name: why.removeprefix(f"{name}: ").rstrip(".") for name, why in record["refused"].items()}
    said = [f"{name}: {why}." for name, why in whys.items()]
    return Section("Left out", (), [], said)


def _groups(record: dict[str, Any]) -> Section:
    rows = []
    for row in record["methods"]:
        worst = [f"{of['worst_accuracy']:.3f} {of['worst']}" for of in row["groups"].values() if of["worst"]]
        rows.append((called(row), number(row["spread"]), worst[0] if worst else "-", number(row["seconds"], 1)))
    said = ["Spread: deviation of accuracy over people, binomial noise taken off."]
    return Section(GROUPS, ("", "spread", "worst group", "seconds"), rows, said)


def _shown(record: dict[str, Any]) -> Section:
    held = record["constraint"]
    if held is None:
        return Section("Certificates", (), [], [])
    rows = []
    for row in record["methods"]:
        of = row["shown"]
        rows.append((called(row), number(row["gap"]), number(of["upper"]), number(of["least"])))
    reasons = dict.fromkeys(row["shown"]["why"] for row in record["methods"] if "why" in row["shown"])
    said = [f"{why[:1].upper()}{why[1:]}." for why in reasons]
    said.append(
        f"Of {held['name']}, asked within {held['bound']:g}. Gap: on dev. Shown: the bound that the dev people of a "
        "split show at 95 %. Least: the bound that so few could show of equal groups. Means over splits, of people who "
        "chose: no guarantee. The gate was not read."
    )
    return Section("What could be certified for new people", ("", "gap", "shown", "least"), rows, said)


def _people(record: dict[str, Any]) -> Section:
    rows = []
    for row in record["methods"]:
        if of := row["against_aggregate"]:
            shares = (of["helped"], of["hurt"], of["expected_if_nobody"], of["hurt_without_noise"])
            rows.append((called(row), *map(number, shares)))
    said = [
        "Shares of people for whom more, or fewer, of the choices that were asked are decided right. By chance: as "
        "many would seem hurt if nobody were. Estimate: those truly hurt, noise taken off; - where people are not "
        "shown to differ. No share is certified."
    ]
    columns = ("", "helped", "hurt", "by chance", "estimate")
    return Section("Who gains and who loses against the aggregate", columns, rows, said if rows else [])


def _cold(record: dict[str, Any]) -> Section:
    cold = record["cold_start"]
    if not cold["k"]:
        return Section(COLD, (), [], [f"Cold start: {cold['why']}."])
    rows = [(name, *(number(point["nll"]) for point in curve)) for name, curve in cold["curves"].items()]
    first, others = cold["curves"].get(AGGREGATE), []
    for name, curve in cold["curves"].items():
        if name != AGGREGATE and first:
            beats = [point["k"] for point, base in zip(curve, first, strict=True) if point["nll"] < base["nll"]]
            how = f"below the aggregate from {beats[0]} choices on" if beats else "never below the aggregate"
            others.append(f"{name} is {how}.")
    said = [f"nll of {cold['people']} new people after k of their choices, the same choices for all k.", *others]
    return Section(COLD, ("", *(f"k = {k}" for k in cold["k"])), rows, said)
