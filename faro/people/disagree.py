"""All that a table says of people who disagree, as one record: what `faro disagree` prints and writes."""

from __future__ import annotations

import os
from typing import Any

from faro.data import Dataset, load

from .ceiling import ceiling
from .groups import DEALS, differences
from .majority import dips, facts, service
from .shares import components, habit, level_spread, order_agreement
from .taste import foretold
from .votes import ACCEPT, PAIRS, Votes, votes_of

FORMAT = "faro disagreement 1"


def disagree(
    data: str | os.PathLike | Dataset, schema: Any = None, item: str | None = None, deals: int = DEALS
) -> dict[str, Any]:
    """What a table says of people who disagree, before any model is trained; plain data, figures without an answer
    say why.

    data: a known data set's name, the path of a table, or a `Dataset`
    schema: of a table; None: the data set's own
    item: column that says which choices are of one item; None: by their content
    deals: of people to groups at random, behind the p values of groups

    `DataError` for a table that names no people or has no labels.
    """
    dataset = data if isinstance(data, Dataset) else load(data, schema)
    votes = votes_of(dataset, item)
    return {"format": FORMAT, "data": dataset.name, "digest": dataset.digest, **of_votes(votes, deals)}


def of_votes(votes: Votes, deals: int = DEALS) -> dict[str, Any]:
    """The same of choices by person and item.

    votes: n choices
    deals: as of `disagree`
    """
    parts, top, told = components(votes), ceiling(votes), foretold(votes)
    served = service(votes, top)
    found = differences(votes, deals)
    record = {
        "kind": votes.kind,
        "choices": votes.n,
        "people": votes.people,
        "items": votes.items,
        "called": {"people": votes.called[0], "items": votes.called[1]},
        "level_of": votes.level,
        "parts": {name: part.record() for name, part in parts._asdict().items()},
        "foretold": {
            "shared": told.shared.record(),
            "taste": told.taste.record(),
            "ranks": list(told.ranks),
            "people": told.people,
        },
        "level_and_order": {"spread": level_spread(votes).record(), "order": order_agreement(votes).record()},
        "place": habit(votes).record() if votes.kind == PAIRS else {"value": None, "why": "of pairs alone"},
        "ceiling": {
            "low": top.low.record(),
            "high": top.high.record(),
            "agreement": top.agreement.record(),
            "votes": top.votes,
        },
        "majority": {
            "unhappy_always": [end.record() for end in served.always],
            "unhappy_proportional": served.proportional.record(),
            "items": served.items,
            "unclear": served.unclear,
            "with_majority": served.with_majority.record(),
            "spread": served.spread.record(),
            "worst_tenth": served.worst.record(),
        },
        "dips": facts(dips(votes)),
        "groups": [of.record() for of in found],
        "notes": list(votes.notes),
    }
    return record | {"verdicts": _verdicts(record, votes.kind == ACCEPT)}


def _verdicts(record: dict[str, Any], accept: bool) -> list[str]:
    """What one reward for everybody will not hold, a sentence each, where the data say so beyond chance; else that."""
    said = []
    if record["parts"]["level"].get("low", 0) > 0:
        apart = 2 * record["ceiling"]["votes"]["votes on them"] < record["choices"]
        said.append(
            f"people differ in level, {record['parts']['level']['value']:.3f} of the variance, beyond chance"
            + (", or were asked about different items: most were put to one person alone" if apart else "")
        )
    if record["place"].get("low", 0) > 0:
        said.append("some people take what stands first, or last, beyond chance")
    taste = record["foretold"]["taste"]
    if taste.get("low", 0) > 0:
        said.append(
            "hidden context: what a person chose elsewhere foretells choices that neither the item nor "
            + ("the person's level does" if record["level_of"] else "anything shared does")
        )
    for group in record["groups"]:
        for figure in ("level", "taste"):
            if group.get(f"p_{figure}", 1.0) <= 0.05:
                what = "how often they accept" if accept and figure == "level" else figure
                said.append(f"groups by {group['attribute']} differ in {what} beyond groups dealt at random")
    if beyond := record["dips"].get("beyond", 0):
        said.append(f"Borda dips: {beyond} pairs have a majority against the order of one score for everybody")
    if said:
        return said
    if record["majority"]["unhappy_proportional"]["value"] is None:
        return ["nothing can be said for or against one answer for everybody: no item was put to two people"]
    return ["nothing beyond chance speaks against one answer for everybody; that is no proof for it"]
