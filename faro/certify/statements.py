"""What every output says of the audited table, in words: whose rows, counted how, and what units have in common.

Nothing here depends on a score, so that a gate may say it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .rules import Served, said

ALIKE = {"row": "every row counts alike", "unit": "every unit counts alike"}


def about_table(data: Mapping[str, Any] | None, table: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> list[str]:
    """Lines about the table of a certificate.

    data    the field `data` of the certificate; None or without `description_sha256` in format 1: no lines
    table   what the description says (`summary`), or None of a foreign table
    rules   `estimand`, `units`, `per` (columns that claims take for units) and `twins` (attributes that claims set to
            their levels) of the policy; of a rule that is not argmax also `rule` and `candidates`
    """
    if not data or "description_sha256" not in data:
        return []
    unit = rules.get("units") or "unit"
    told = said(rules["rule"], rules["candidates"], data["candidates"]) if "candidates" in data else []
    told += [after(data["support"]), *histories(data["support"], rules.get("twins", ()))] if "support" in data else []
    if table is None:
        declared = f"; the policy says that units are {rules['units']!r}" if rules.get("units") else ""
        lines = [f"foreign table: nothing describes it{declared}"]
    else:
        unit = table["units"]["column"] if table["units"]["origin"] == "column" else "row"
        lines = ["units: every row is one" if unit == "row" else f"units: the column {unit!r} of the data"]
        if table["units"].get("rule") == 1:
            lines.append("units are spelled by rule 1: two spellings of one person may be two units")
        for name, sha256 in table.get("summaries", {}).items():
            lines.append(f"earlier answers are told in summaries by {name} at {sha256[:12]}")
        named = table["constraint"]
        lines.append(
            f"the model was trained under {named}" if named else "nothing says what the model was trained under"
        )
        if table["estimand"] != rules.get("estimand"):
            lines.append(f"in training {ALIKE[table['estimand']]}, here {ALIKE[rules.get('estimand', 'row')]}")
    lines = [*told, *about_twins(data.get("twins", {})), *lines]
    for column, counts in data["shared"].items():
        of_training = "" if counts["trained"] is None else f", {counts['trained']} of them seen in training"
        about = f"{counts['values']} values of {column!r}, {counts['crossed']} under several units{of_training}"
        if column in rules.get("per", ()):
            lines.append(f"{about}: claims per {column} are about new ones, the others about new units and these")
        elif counts["crossed"]:
            lines.append(f"{about}: new {unit}, these {column}")
        else:
            lines.append(about)
    return lines


def about_twins(untwinned: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How much claims of twins leave out, a line for every attribute of which some are missing.

    untwinned  attribute -> how many choices are asked about, and in how many a twin is missing
    """
    return [
        f"twins of {name!r}: missing in {of['missing']} of {of['choices']} choices (share "
        f"{of['missing'] / of['choices']:.3g}), of which nothing is claimed"
        for name, of in untwinned.items()
    ]


def after(support: Mapping[str, Any]) -> str:
    """Whom a certificate of a model that reads earlier answers is about.

    support  k, and the column by which the first ones are; "": by a hash of names
    """
    how = f"the earliest by {support['order']!r}" if support["order"] else "by a hash of names"
    return f"for new people, after k = {support['k']} answers of each ({how}; fewer where that leaves no question)"


def histories(support: Mapping[str, Any], twins: Sequence[str]) -> list[str]:
    """What becomes of a person's earlier answers in claims of twins, a line each.

    support  k, order and `rewritten`: the attributes whose twins rewrite them
    twins    the attributes that claims set to their levels
    """
    return [
        f"twins of {name!r}: "
        + (
            "earlier answers are rewritten too (the effect through history)"
            if name in support.get("rewritten", ())
            else "earlier answers are kept (the direct effect given history)"
        )
        for name in twins
    ]


def summary(description: Any) -> dict[str, Any] | None:
    """What a certificate's `info` keeps of a description, for readers."""
    if description is None:
        return None
    body = description.body()
    names = (
        "units",
        "constraint",
        "estimand",
        "weights",
        "data_sha256",
        *(["summaries"] if description.summaries else []),
    )
    return {name: body[name] for name in names}


def rules_of(estimand: str, units: str, claims: Sequence[Any], rule: Served | None = None) -> dict[str, Any]:
    """`rules` of a policy as the generator reads it."""
    rules = {"estimand": estimand, "units": units, "per": sorted({claim.per for claim in claims if claim.per})}
    rules["twins"] = sorted({claim.attribute for claim in claims if claim.twins and claim.attribute})
    return rules if rule is None else rules | {"rule": rule.text, "candidates": rule._asdict()}
