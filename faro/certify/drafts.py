"""What a model was trained under as a policy: every part of its constraint a claim, with all of its options.

    claims_of     constraint -> claims and the attributes that they name, or the reason why no claim says that
    draft_policy  the file: a head that people edit, attributes, claims

A claim is drafted only where what it counts is what the constraint measures (docs/certificate-format.md, "What a claim
measures"). What a constraint has beyond that, the form of its rows and the softness of its proxy, changes no gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from constraints import ANOTHER, Attribute, Constraint, Stack, rule_text

from ..data import Dataset, Schema
from ..data.made import REWARD
from ..errors import UsageError
from ..registry import make_constraint
from ..store.model import TrainedModel
from ..store.others import digests
from ..store.spec import Record, to_record
from .cells import People
from .plugins import attributes_of, counted_by_rows, describe, made_up, named, outside_of, unclaimed, uncounted
from .policy import ACCURACIES, EXCHANGE, FLOORS, policy_of
from .rules import ARGMAX
from .scored import sets_of
from .showable import dev_audit, remarks

METHODS = {"reward_parity": "block-pair", "counterfactual_parity": "unit-ratio", "counterfactual_flip": "unit-ratio",
           "counterfactual_oscillation": "unit-ratio", "rate_cap": "clopper-pearson", "rate_floor": "clopper-pearson",
           "group_error": "clopper-pearson"}  # fmt: skip
MAX_CHARACTERS = 60  # characters of a number


class Claims(NamedTuple):
    """Claims as the policy's keys and values, and the attributes they name, by name."""

    claims: list[dict[str, Any]]
    attributes: dict[str, Attribute]


def draft_policy(
    model: TrainedModel,
    bound: float | None = None,
    arguments: Mapping[str, Any] | None = None,
    data: Dataset | None = None,
    note: Callable[[str], None] = lambda line: None,
    others: Sequence[TrainedModel] = (),
    tail: float | None = None,
    rule: str | None = None,
) -> str:
    """A policy for a model's own constraint.

    model      whose constraint it is
    bound      to ask for; None: the model's own
    arguments  name the constraint where the file does not
    data       that the model was trained on: then every claim has the method that is sharpest for as many people as are
               in dev, and says which bound they could show at all
    note       is told in words of claims that they could not show
    others     models of other seeds, whose aggregates the policy admits as well
    tail       share of people: those who fare worst by half of their choices, on dev, whose floor is claimed as well
    rule       by which rewards become decisions; None: that of training. Its sets are those that the schema declares

    `UsageError` with the reason where no claim says what was trained, or a policy cannot ask for it.
    """
    constraint = constraint_of(model, arguments)
    if constraint is None:
        raise UsageError("the model was trained under no constraint that is known: write the policy by hand")
    decided = rule_text(model.rule_named(rule))
    hard = decided == ARGMAX  # of another rule, methods that count rows do not suit
    claims = claims_of(constraint, model.schema, bound, single=_sizes(model)["single"] and hard)
    if tail is not None:
        claims = _with_tail(claims, tail, data)
    lines = head(model, constraint, claims, aggregates_of([model, *others]), hard)
    if not hard:
        lines = _served(lines, decided, model, data)
    elif ANOTHER in constraint.twins():
        lines = _third(lines)
    text = "\n".join([*lines, *written(claims)]) + "\n"
    policy = policy_of(text.encode())  # what cannot be read, or has no method, is no draft
    if data is None or not policy.audited:
        return text
    audit, said = dev_audit(model, data, policy), []
    of_tail = [claim for claim in policy.claims if claim.constraint == "welfare_tail"]
    if tail is not None:
        for own, claim in zip(claims.claims[-len(of_tail) :], of_tail, strict=True):
            found, share, units = People(policy, audit).cutoff(claim, tail)
            own["cutoff"] = Decimal(repr(round(found, 6)))
            note(
                f"{claim.name}: {share:.3f} of {units} people on dev gain {found:.4g} or less by half of their choices"
            )
        policy = policy_of("\n".join([*lines, *written(claims)]).encode())
    for own, claim in zip(claims.claims, policy.claims, strict=True):
        own["method"], words, able = remarks(claim, policy, audit, float(policy.delta))
        said.append(words)
        if not able:
            note(f"{claim.name}: {'; '.join(words)}")
    return "\n".join([*lines, *written(claims, said)]) + "\n"


def _served(lines: list[str], rule: str, model: TrainedModel, data: Dataset | None) -> list[str]:
    """The head of a policy about what this rule decides on the sets that the schema declares."""
    kind, reference, decoding = sets_of(model)
    sets = [f"kind = {toml(kind)}"]
    if kind == "sampled":
        if data is None:
            raise UsageError(f"rule {rule}: how many draws a set has is not known: give the table with --data")
        sets.append(f"draws = {int(data.parsed.inside.sum(1).max())}")
    sets += [f"{name} = {toml(text)}" for name, text in (("reference", reference), ("decoding", decoding)) if text]
    lines = _third(lines)
    asked = [f"rule = {toml(rule)}  # claims of decisions are about its probabilities, on sets like these"]
    return [*lines, *asked, "", "[candidates]", *sets]


def _third(lines: list[str]) -> list[str]:
    """The head in the format whose words it needs."""
    return ['schema = "faro-policy/3"' if line.startswith("schema = ") else line for line in lines]


def constraint_of(model: TrainedModel, arguments: Mapping[str, Any] | None = None) -> Constraint | None:
    """The constraint that a model was trained under, at its bounds. Where its file has the name alone, `arguments` say
    it as `make_constraint` is told; `UsageError` unless that is what the file calls it."""
    if not arguments:
        try:
            return model.constraint
        except UsageError as error:
            raise UsageError(f"{error}; name it with --constraint, and --attribute, --of, --within") from None
    named = make_constraint({spec.name: spec.attribute for spec in model.schema.attributes}, **arguments)
    if named.name() != (trained_under := model.about.get("constraint")):
        raise UsageError(f"{named.name()}: not what the model was trained under, {trained_under}")
    parts, bounds = named.parts(), [float(bound) for bound in model.about["bound"]]
    bounded = tuple(part.at(bound) for part, bound in zip(parts, bounds, strict=True))
    return bounded[0] if len(bounded) == 1 else Stack(members=bounded)


def head(
    model: TrainedModel,
    constraint: Constraint,
    claims: Claims | None = None,
    aggregates: Sequence[str] = (),
    hard: bool = True,
) -> list[str]:
    """What a policy says before its attributes and claims: the question that training asked; for people to edit. Of
    hard decisions of people of one row each it needs no cap, since methods that count rows suit."""
    schema, sizes = model.schema, _sizes(model)
    by_row = sizes["cap"] is not None
    shared = ", ".join(sizes["crossed"])
    lines = [
        "# What must be shown of held-out people; keep it where those who submit models cannot write.",
        'schema = "faro-policy/2"',
        "delta = 0.05",
        f'estimand = "{"row" if by_row else "unit"}"  # '
        + (
            "as in training: every row counts by its weight"
            if by_row
            else "every unit counts once; in training, rows did"
        ),
    ]
    if by_row and not (sizes["single"] and hard):
        lines.append(f"cap = {toml(Decimal(repr(float(sizes['cap']))))}  # the largest mass of a unit in a group")
    lines += [
        f'outside = "{outside_of(schema)}"',
        "threshold = 0",
        f"units = {toml(schema.unit)}",
        "min_group = 30",
        "ties = 0.01",
        'ledger = "ledger.jsonl"',
        'escrow = "escrow"',
    ]
    told = model.told(schema)
    if told.k:
        order = f", order = {toml(told.order)}" if told.order else ""
        through = sorted(name for name in constraint.twins() if schema.twin(name).rewrites_history)
        order += f", rewritten = {toml(through)}" if through else ""
        lines.append(f"support = {{ k = {told.k}{order} }}  # shown for new people, after so many answers")
    if shared:
        lines.append(f"# Units share {shared}: shown for new units and these. A claim with `per` is about new ones.")
    if aggregates:
        lines.append("# Aggregates are what the floor is measured against: admit those, one a seed, that you know.")
    if summaries := sorted(f"summaries by {own.by}" for own in schema.summaries.values()):
        lines.append("# What people answered before is told in somebody's words: admit whom you know.")
    assumed = [*_assumptions(constraint, schema, bool(shared), not by_row and bool(schema.weight)), *summaries]
    if made := [claim for claim in (claims.claims if claims else ()) if "plugin" in claim]:
        lines.append(
            "# Cells by a plug-in are what its author says: read it, and admit it at the digest that you read."
        )
        assumed += dict.fromkeys(f"cells by {claim['plugin']} at {claim['plugin_sha256']}" for claim in made)
    lines.append(f"assumptions = {toml([*assumed, *aggregates])}")
    return lines


def aggregates_of(models: Sequence[TrainedModel]) -> list[str]:
    """The assumptions that name the aggregates of these models, each once."""
    found = {
        f"aggregate {name.removeprefix(REWARD)} at {sha}" for own in models for name, sha in digests(own.coding).items()
    }
    return sorted(found)


def _sizes(model: TrainedModel) -> dict[str, Any]:
    """What the model's data were like: `faro.data.masses.audit_sizes`; of an old model nothing is known."""
    return model.about.get("audit") or {"cap": None, "single": False, "crossed": []}


def _assumptions(constraint: Constraint, schema: Schema, shared: bool, unweighted: bool) -> list[str]:
    """What the head admits: of twins that there are some only where the schema says so."""
    twins = constraint.twins()
    lack = any(twin.may_lack for twin in schema.twins if twin.attribute in twins)
    needed = {"twins-as-declared": twins, "twins-missing": lack, "same-items": shared, "weights-ignored": unweighted}
    return ["iid-units", "group-labels-correct", *(name for name, is_needed in needed.items() if is_needed)]


def written(claims: Claims, said: Sequence[Sequence[str]] = ()) -> list[str]:
    """The lines of a policy that declare these attributes and claims; `said` is a comment on each."""
    lines = []
    for name, attribute in claims.attributes.items():
        lines += ["", f"[attributes.{toml(name)}]", f"levels = {toml(list(attribute.levels))}"]
        lines += ["chooser = true"] if attribute.chooser else []
    for place, claim in enumerate(claims.claims):
        comment = [f"# {line}" for line in (said[place] if said else ())]
        lines += ["", "[[claim]]", *comment, *(f"{key} = {toml(value)}" for key, value in claim.items())]
    return lines


# Claims ---------------------------------------------------------------------------------------------------------------


def claims_of(constraint: Constraint, schema: Schema, bound: float | None = None, single: bool = False) -> Claims:
    """The claims that together say what the constraint bounds, each at the part's own bound or at this one; `single`:
    every unit has one row, all of one mass, so that methods that count rows suit.

    `UsageError` with the reason for a part that no claim measures, attributes that the schema does not declare so, and
    a bound that no policy can ask for.
    """
    claims: list[dict[str, Any]] = []
    attributes: dict[str, Attribute] = {}
    for part in constraint.parts():
        record, limit = to_record(part), float(part.bound) if bound is None else float(bound)
        looked_at = _check(part, record, schema)
        for attribute in looked_at:
            _declared(attribute, schema)
            if attributes.setdefault(attribute.name, attribute) != attribute:
                raise UsageError(f"two attributes of the constraint are called {attribute.name!r}; rename one")
        claims += _claims(part, record, limit, single) if named(record) else [_of_cells(part, limit, single, schema)]
    _name(claims)
    order = [spec.name for spec in schema.attributes]
    attributes = dict(sorted(attributes.items(), key=lambda item: (*order, item[0]).index(item[0])))
    return Claims(claims, attributes)


def _attributes(part: Any) -> list[Attribute]:
    """The attributes that a part looks at: whose groups, within whose levels, of what kind."""
    attributes = (part.who.attribute, part.who.within, part.who.of and part.who.of[0])
    return [attribute for attribute in attributes if attribute is not None]


def _check(part: Any, record: Record, schema: Schema) -> list[Attribute]:
    """The attributes that a claim of a part names; `UsageError` if no claim measures what the part does."""

    def refuse(reason: str) -> None:
        raise UsageError(f"no draft for the constraint {part.name()}: {reason}")

    if not named(record):
        if reason := uncounted(part, made_up(part, schema)):
            refuse(reason)
        for attribute in attributes_of(record):
            _declared(attribute, schema)
        return []
    for name in part.twins():
        if name == ANOTHER:
            if schema.unit == "row":
                refuse("no column names persons, who would be put in each other's place")
            continue
        if name not in [twin.attribute for twin in schema.twins]:
            refuse(f"{name!r} has no twins; declare them under [[twins]]")
        spec = schema.attribute(name)
        if spec.chooser and any(only.column in schema.categorical for only in schema.twin(spec.name).only):
            refuse(
                f"twins of {spec.name!r} are excluded by an alternative's {schema.twin(spec.name).only[0].column!r}; a "
                "claim counts a chooser's twins for whole choices only"
            )
    return _attributes(part)


def _of_cells(part: Any, bound: float, single: bool, schema: Schema) -> dict[str, Any]:
    """The claim about the cells that a part counts itself."""
    made = describe(part)
    scores, paired = made.values == "column", made.compared == "pairs"
    claim: dict[str, Any] = {
        "name": part.name(), "constraint": "plugin_parity" if paired else "plugin_cap", "plugin": made.plugin,
        "plugin_sha256": made.sha256, "bound": _bound(part, bound),
    }  # fmt: skip
    claim |= {} if made.blocks == ("",) else {"blocks": list(made.blocks)}
    claim |= {"groups": list(made.groups)} | ({"scores": True} if scores else {})
    by_rows = single and (paired or not scores) and counted_by_rows(part, made_up(part, schema))
    rows = "block-pair" if scores else "exact2" if paired else "clopper-pearson"
    return claim | {"method": rows if by_rows else "unit-ratio"}


def _declared(attribute: Attribute, schema: Schema) -> None:
    """`UsageError` unless a scored table has this attribute as a column with these levels."""
    declared = {spec.name: spec.attribute for spec in schema.attributes}
    if attribute.parts and attribute.name in declared:
        raise UsageError(f"the crossed attribute {attribute.name!r} has the name of a declared one; rename that")
    for part in attribute.parts:
        _declared(part, schema)
    if not attribute.parts and attribute != declared.get(attribute.name):
        raise UsageError(
            f"the constraint's attribute {attribute.name!r} is not what the model's schema declares: levels, and whose "
            "it is, must be the same"
        )


def _claims(part: Any, record: Record, bound: float, single: bool) -> Iterator[dict[str, Any]]:
    """The claims of one part: one, or one per cell where another model's numbers are taken off."""
    kind, who = record["type"], part.who
    if kind in FLOORS + ACCURACIES:
        yield _welfare(part, kind, bound)
        return
    claim: dict[str, Any] = {"name": kind, "constraint": kind, "bound": _bound(part, bound)}
    if who.attribute is not None:
        claim["attribute"] = who.attribute.name
    if who.of is not None:
        claim["of"] = [who.of[0].name, who.of[1]]
    if who.within is not None:
        claim["within"] = who.within.name
    if kind == "threshold_parity":
        claim["thresholds"] = [_number("thresholds", threshold) for threshold in dict.fromkeys(part.thresholds)]
    if kind in ("reward_parity", "counterfactual_oscillation"):
        claim["scale"] = _number("scale", part.scale)
    if getattr(part, "tail", False):
        claim["tail"] = True
    claim["method"] = METHODS.get(kind, "exact2") if single and kind != EXCHANGE else "unit-ratio"
    reference = np.asarray(getattr(part, "reference", 0.0), float).ravel()
    if len(set(reference.tolist())) == 1:
        yield claim | {"bound": _bound(part, bound, reference[0])}
        return
    cells = [
        (stratum, group) for stratum in (who.within.levels if who.within else ("",)) for group in who.attribute.levels
    ]
    for (stratum, group), reference_of_cell in zip(cells, reference, strict=True):
        words = ", ".join(filter(None, (group, stratum)))
        where: dict[str, Any] = {"groups": [group]} | ({"strata": [stratum]} if stratum else {})
        yield claim | {"name": f"{kind}: {words}", "bound": _bound(part, bound, reference_of_cell)} | where


def _welfare(part: Any, kind: str, bound: float) -> dict[str, Any]:
    """The claim of a part in which people count once."""
    attribute = part.who.attribute
    if reason := unclaimed(part):
        raise UsageError(f"no draft for the constraint {part.name()}: {reason}")
    claim: dict[str, Any] = {"name": kind, "constraint": kind, "bound": _bound(part, bound)}
    claim |= {} if attribute is None else {"attribute": attribute.name}
    claim |= {"against": part.against} if kind in FLOORS else {}
    claim["welfare"] = part.welfare
    claim |= {"floor": _number("floor", part.floor)} if part.welfare == "log" else {}
    return claim | {"method": "unit-ratio"}


def _with_tail(claims: Claims, tail: float, data: Dataset | None) -> Claims:
    """Beside every floor that of those who fare worst."""
    floors = [claim for claim in claims.claims if claim["constraint"] == "welfare_floor"]
    if not floors or data is None or not 0 < tail < 1:
        why = (
            "a share in (0, 1)" if floors and data is not None else "a model trained under welfare_floor, and its data"
        )
        raise UsageError(f"tail: expected {why}")
    more = []
    for claim in floors:
        own = {name: value for name, value in claim.items() if name != "attribute"}
        more.append(own | {"name": "welfare_tail", "constraint": "welfare_tail", "cutoff": Decimal(0)})
    _name(more)
    return Claims([*claims.claims, *more], claims.attributes)


def _bound(part: Constraint, bound: float, reference: float = 0.0) -> Decimal:
    """The exact bound, in [0, 1), plus what another model reaches."""
    if not 0 <= bound < 1:
        why = "it was trained without this constraint" if bound == np.inf else "a claim's bound is in [0, 1)"
        raise UsageError(f"no draft for {part.name()} at bound {bound:g}: {why}; say which bound to show (--bound)")
    exact = Decimal(repr(float(bound))) + Decimal(repr(float(reference)))
    if not 0 <= exact < 1:
        raise UsageError(
            f"no draft for {part.name()} at bound {bound:g}: with the reference {reference:g} it is not in [0, 1)"
        )
    return exact


def _number(what: str, value: Any) -> Decimal:
    """A double exactly; `UsageError` for infinity and NaN."""
    if not np.isfinite(float(value)):
        raise UsageError(f"no draft: {what} {value!r} cannot stand in a policy")
    return Decimal(repr(float(value)))


def _name(claims: list[dict[str, Any]]) -> None:
    """Different names: the notion's; of several with one notion also whose it is; and a number, if even that is one."""
    for how in (lambda claim: f"{claim['name']} {claim.get('attribute', '')}".strip(), None):
        names = [claim["name"] for claim in claims]
        for number, claim in enumerate(claims, 1):
            if names.count(claim["name"]) > 1:
                claim["name"] = how(claim) if how else f"{claim['name']} {number}"


# TOML -----------------------------------------------------------------------------------------------------------------


def toml(value: Any) -> str:
    """A text, truth value, decimal, or list of them as a policy has it; `UsageError` for what it cannot hold."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        digits = format(value, "f")
        if len(digits) > MAX_CHARACTERS:
            raise UsageError(
                f"{float(value)!r} cannot stand in a policy, whose numbers have at most {MAX_CHARACTERS} characters"
            )
        return digits
    return f"[{', '.join(map(toml, value))}]"


def _text(value: str) -> str:
    """A basic string: quotes, backslashes and what is not printed are escaped."""
    if any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        raise UsageError(f"{value!r} is no Unicode text, so no policy can name it; rename it in the data")
    escapes: Mapping[str, str] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

    def written(letter: str) -> str:
        if letter in escapes:
            return escapes[letter]
        return letter if letter.isprintable() else f"\\U{ord(letter):08X}"

    return f'"{"".join(map(written, value))}"'
