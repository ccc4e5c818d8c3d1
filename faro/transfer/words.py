"""What `faro agreement` says in plain words: a mean is never said without the tail, nor the tail without a mean."""

from __future__ import annotations

from typing import Any

from ..people.words import Section, number

BESIDE = {"against": "the other", "draw": "a draw"}
WHERE = {"any": "", "wrong": ", view wrong", "right": ", view right"}
MOVED = {1: "rises", -1: "falls", 0: "is not shown to move"}


def head(record: dict[str, Any]) -> str:
    """One line on what was audited.

    record: of `faro.transfer.agreement.agreement`, with `data` and `rule`
    """
    least, most = record["candidates"]["least"], record["candidates"]["most"]
    sizes = f"{least}" if least == most else f"{least} to {most}"
    rule = f"decided by {record['rule']}" if record["rule"] else "decisions as the table has them"
    return (
        f"{record['data']}: {record['choices']:,} choices of {record['people']:,} people, n = {sizes} candidates each, "
        f"{rule}"
    )


def sections(record: dict[str, Any]) -> list[Section]:
    """All that the record says, in the order in which it is read.

    record: of `faro.transfer.agreement.agreement`
    """
    beside = BESIDE[record["second"]]
    columns = ("", "people", "served", beside, "difference, 95 %")
    said = [f"High: {record['high']['people']} people whose {_by(record)} is above the mean by more than a deviation."]
    if record["immovable"]:
        said.append(f"In {record['immovable']:,} choices all candidates agree, or none.")
    found = [Section("Agreement with the stated view", columns, _rows(record, record["agreement"]), said)]
    found.append(_of_people(record, beside))
    if record["best_of"]:
        rows = [
            (f"best of {own['n']}, {who}", *_cells(own[who], record["second"]))
            for own in record["best_of"]
            for who in ("all", "high")
        ]
        found.append(Section("By candidates that are looked at", columns, rows, []))
    if record["gap"]:
        found.append(_gap(record, beside))
    for name, title in (
        ("truth", "How often what is true is served"),
        ("label", "How often what people chose is served"),
    ):
        if name in record:
            more = ["Labels hold the taste for agreement: accuracy is no defence of it."] if name == "label" else []
            found.append(Section(title, columns, _rows(record, record[name]), more))
    if "exposure" in record:
        found.append(_exposure(record, beside))
    found.append(Section("Taste for agreement", (), [], [_taste(record["taste"])]))
    return found


def verdict(record: dict[str, Any]) -> str:
    """Whether personalising amplifies agreement, in the mean and in the tail.

    record: of `faro.transfer.agreement.agreement`
    """
    mean, tail = (row["difference"] for row in record["agreement"][:2])
    if mean is None or tail is None:
        return "too few people for a mean and a tail, so nothing is said of either"
    if record["second"] == "draw":
        return (
            f"beside a draw, agreement {_moved(mean)} in the mean and {_moved(tail)} among high people; what "
            "personalising adds is seen beside an aggregate's decisions: --against"
        )
    words = f"agreement {_moved(mean)} in the mean and {_moved(tail)} among high people: "
    both = (_sign(mean), _sign(tail))
    if both == (1, 1):
        return words + "amplified in the mean and in the tail"
    if both[1] == 1:
        return words + "amplified in the tail, not in the mean"
    if both[0] == 1:
        return words + "amplified in the mean, not in the tail"
    return words + "not shown to be amplified"


def _by(record: dict[str, Any]) -> str:
    by = record["high"]["by"]
    return "taste for agreement" if by == "taste" else "agreement in the other half of their choices"


def _sign(difference: dict[str, float]) -> int:
    return 1 if difference["low"] > 0 else -1 if difference["high"] < 0 else 0


def _moved(difference: dict[str, float]) -> str:
    ends = f"{number(difference['low'])} to {number(difference['high'])}"
    return f"{MOVED[_sign(difference)]} ({difference['value']:+.3f}, {ends})"


def _cells(row: dict[str, Any], second: str) -> tuple[str, ...]:
    return (f"{row['people']:,}", number(row["served"]), number(row[second]), _difference(row["difference"]))


def _difference(of: dict[str, float] | None) -> str:
    return "-" if of is None else f"{of['value']:+.3f} ({of['low']:+.3f} to {of['high']:+.3f})"


def _rows(record: dict[str, Any], rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(f"{row['who']} people{WHERE[row['view']]}", *_cells(row, record["second"])) for row in rows]


def _of_people(record: dict[str, Any], beside: str) -> Section:
    names = {
        "lowest": "lowest person",
        "tenth": "a tenth have at most",
        "median": "median person",
        "nine_tenths": "a tenth have at least",
        "highest": "highest person",
        "deviation": "deviation of people",
        "by_chance": "deviation that their numbers of choices make",
    }
    of = record["of_people"]
    rows = [(words, number(of["served"][name]), number(of[record["second"]][name])) for name, words in names.items()]
    return Section("Agreement by person", ("", "served", beside), rows, [])


def _gap(record: dict[str, Any], beside: str) -> Section:
    arms = {"served": "served", record["second"]: beside}
    known = [name for name in arms if name in record["gap"]]
    names = {
        "mean": "mean of people",
        "deviation": "deviation of people",
        "high": "high people",
        "people_above_0": "share of people above 0",
        "unit": "deviation of rewards within a choice",
    }
    rows = [(words, *(number(record["gap"][arm][name]) for arm in known)) for name, words in names.items()]
    said = ["In units of each table's own rewards, which two models do not share."] if len(known) > 1 else []
    return Section("Mean reward where a candidate agrees, less where not", ("", *(arms[a] for a in known)), rows, said)


def _exposure(record: dict[str, Any], beside: str) -> Section:
    of, second = record["exposure"], record["second"]
    if "shares" not in of:
        few = f"Only {of['people']} people are served any viewpoint by both: too few to say how apart they are."
        return Section("Exposure to viewpoints", (), [], [few])
    rows = [("entropy of what all are served", number(of["of_all"]["served"]), number(of["of_all"][second]), "")]
    names = {
        "of_each": "entropy of what each is served",
        "apart": "total variation between people",
        "divergence": "C_KL of what is there from what is served",
    }
    rows += [
        (words, number(of[name]["served"]), number(of[name][second]), _difference(of[name]["difference"]))
        for name, words in names.items()
    ]
    shares = ", ".join(f"{name} {share:.3f}" for name, share in of["shares"]["served"].items())
    said = [f"Entropy in nats, {of['most']:.3f} at most. Served: {shares}."]
    return Section("Exposure to viewpoints", ("", "served", beside, "difference, 95 %"), rows, said)


def _taste(taste: dict[str, Any]) -> str:
    if taste["by"] is None:
        return f"Not identified: {taste['why']}."
    whose = "their taste" if taste["by"] == "taste" else "what they chose in the other half of their choices"
    if taste["value"] is None:
        return f"No correlation of the agreement that people are served with {whose}: all are alike, or too few."
    ends = f"{number(taste['low'])} to {number(taste['high'])}"
    return f"The agreement that people are served goes with {whose}: correlation {number(taste['value'])} ({ends})."
