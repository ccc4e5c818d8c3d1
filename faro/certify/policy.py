"""The policy file: what must be shown, of whom, by which method; who submits a model cannot change it.

`read_policy` checks every key and every value: a `UsageError` names the first one that is not as
docs/certificate-format.md says. Numbers stay exact decimals; the file's sha256 goes into every certificate.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from constraints import ANOTHER

from ..errors import UsageError
from ..files import parse_toml
from ..units import PAIR
from .bounds.shift import BALLS
from .overlap import HEX
from .rules import KINDS, Served, served

PAIRS = ("demographic_parity", "equalized_odds", "equal_opportunity", "predictive_equality", "threshold_parity",
         "reward_parity", "counterfactual_parity")  # fmt: skip
CAPS = ("counterfactual_flip", "counterfactual_oscillation", "rate_cap", "rate_floor", "group_error")
SERVED = "policy_parity"  # of format 3: how often the rule answers in one way, by groups of choosers
EXCHANGE = "person_exchange"  # of format 3: what somebody else in the person's place changes; units are pairs of people
PLUGINS = ("plugin_parity", "plugin_cap")  # of cells that a constraint of anybody's made
FLOORS = ("welfare_floor", "welfare_tail")  # welfare of an aggregate less that of the model, a mean over people
ACCURACIES = ("accuracy_parity", "accuracy_ratio")  # welfare of groups, means over people
WELFARES = ("decision", "brier", "log")
SIDES = ("aggregate", "model")  # of a floor, in place of groups
TABLES = ("mixture", "head_optimum")
METHODS = ("exact2", "clopper-pearson", "unit-ratio", "block-pair", "dkw")
EVENTS = {"equalized_odds": ("chosen", "rejected"), "equal_opportunity": ("chosen",),
          "predictive_equality": ("rejected",), "group_error": ("chosen",)}  # fmt: skip
# assumptions that format 1 had no word for
TABLE_ASSUMPTIONS = ("undescribed-table", "weights-ignored", "same-items", "twins-missing")
ASSUMPTIONS = ("iid-units", "group-labels-correct", "label-noise-bounded", "twins-as-declared",
               *TABLE_ASSUMPTIONS, "train-overlap-unchecked", "no-ledger")  # fmt: skip
SCHEMAS = ("faro-policy/1", "faro-policy/2", "faro-policy/3")
# columns of a scored table that have a meaning of their own
OWN_COLUMNS = ("unit", "choice", "alternative", "weight", "label", "outside", "reward", "decision", "part", PAIR)
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# assumptions that name who made the cells, against which model welfare is measured, and who summarised people
NAMED = re.compile(r"(cells by|aggregate) .+ at [0-9a-f]{64}|summaries by .+")
MAX_BYTES = 4 << 20


class Attribute(NamedTuple):
    """Declared levels; a chooser's attribute is the same for all alternatives of a choice."""

    levels: tuple[str, ...]
    chooser: bool


class Support(NamedTuple):
    """How many earlier answers of a person a model reads, at most, and by which column the first; "": by a hash. Of
    the twins of `rewritten` attributes they are set to the level as well, of all others they are kept."""

    k: int
    order: str
    rewritten: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As certificates and descriptions have it."""
        return {"k": self.k, "order": self.order} | ({"rewritten": list(self.rewritten)} if self.rewritten else {})

    def of(self, names: Collection[str]) -> Support:
        """The same where twins of these attributes alone are looked at."""
        return self._replace(rewritten=tuple(name for name in self.rewritten if name in names))


class Block(NamedTuple):
    """Where groups are compared: an event, a threshold, a stratum, each "" if there is none."""

    name: str
    event: str
    threshold: str
    stratum: str


class Comparison(NamedTuple):
    """rate of `high` - rate of `low` in a block; `low` None: the rate of `high` alone."""

    block: str
    high: str
    low: str | None


@dataclasses.dataclass(frozen=True)
class Claim:
    """One `[[claim]]`: a constraint, a bound, and how it is shown."""

    name: str
    constraint: str
    bound: Decimal
    method: str = ""
    attribute: str | None = None
    groups: tuple[str, ...] = ("",)
    per: str | None = None  # a shared column whose values are the units
    cap: Decimal | None = None  # in place of the policy's
    of: tuple[str, str] | None = None
    within: str | None = None
    strata: tuple[str, ...] = ("",)
    thresholds: tuple[str, ...] | None = None
    score: str = "sigmoid"
    scale: Decimal = Decimal(1)
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(1)
    tail: bool = False
    ball: str | None = None
    radius: Decimal = Decimal(0)
    tolerance: Decimal = Decimal(0)
    mu: Decimal = Decimal(1)
    slack: Decimal = Decimal(0)
    plugin: str | None = None  # who made the cells
    plugin_sha256: str = ""  # of all that makes them
    named_blocks: tuple[str, ...] = ("",)  # of these cells
    scores: bool = False  # of these cells: z is what the table says, not the decision
    against: str | None = None  # the aggregate, by the name of its column of rewards
    welfare: str = "decision"
    floor: Decimal = Decimal(3)  # of the welfare "log", in nats
    cutoff: Decimal = Decimal(0)  # whose mean over half A is at most this, is of the tail

    @property
    def by_unit(self) -> bool:
        """Whether every unit counts once, whatever the policy's estimand."""
        return self.constraint in FLOORS + ACCURACIES

    @property
    def by_choice(self) -> bool:
        """Whether a choice is counted as one, by its first row."""
        return self.by_unit or self.constraint in (SERVED, EXCHANGE)

    @property
    def units(self) -> str | None:
        """The column whose values are the units; None: the table's own."""
        return PAIR if self.constraint == EXCHANGE else self.per

    @property
    def decided(self) -> bool:
        """Whether z is made of decisions."""
        if self.by_unit:
            return self.welfare == "decision"
        rewards = ("reward_parity", "threshold_parity", "counterfactual_oscillation", *TABLES)
        return not self.scores and self.constraint not in rewards

    @property
    def moves(self) -> bool:
        """Whether two values of the same rows are compared, so that their difference is one sample."""
        return self.constraint in ("counterfactual_parity", *FLOORS)

    @property
    def of_people(self) -> bool:
        return self.constraint not in TABLES

    @property
    def paired(self) -> bool:
        return self.constraint in (*PAIRS, SERVED, "plugin_parity", *FLOORS, *ACCURACIES)

    @property
    def cells_by(self) -> str:
        """The assumption that somebody's cells are what he says; "" where all is counted from the table itself."""
        return f"cells by {self.plugin} at {self.plugin_sha256}" if self.plugin else ""

    @property
    def twins(self) -> bool:
        return self.constraint.startswith("counterfactual")

    @property
    def of_rewards(self) -> bool:
        """Whether rewards are compared, and not decisions."""
        named = ("reward_parity", "threshold_parity", "counterfactual_oscillation", *ACCURACIES)
        return self.scores or self.constraint in named

    @property
    def everywhere(self) -> bool:
        """Whether all thresholds are compared at once."""
        return self.constraint == "threshold_parity" and self.thresholds is None

    @property
    def blocks(self) -> list[Block]:
        if self.plugin:
            return [Block(name, "", "", "") for name in self.named_blocks]
        blocks = []
        for event in EVENTS.get(self.constraint, ("",)):
            for threshold in self.thresholds or ("",):
                for stratum in self.strata:
                    words = [event]
                    words += [f"reward>{threshold}"] if threshold else []
                    words += [f"{self.within}={stratum}"] if stratum else []
                    blocks.append(Block(", ".join(word for word in words if word), event, threshold, stratum))
        return blocks

    @property
    def comparisons(self) -> list[Comparison]:
        if not self.of_people:
            return []
        cells = [(block.name, group) for block in self.blocks for group in self.groups]
        if not self.paired:
            return [Comparison(block, group, None) for block, group in cells]
        if self.constraint in FLOORS:
            return [Comparison(block.name, *SIDES) for block in self.blocks]
        return [Comparison(block, high, low) for block, high in cells for low in self.groups if low != high]

    def unsuitable(self, rule: Served | None = None) -> str | None:
        """Why the method cannot show this claim of what the rule decides (None: argmax), or None."""
        by_rule = rule is not None and self.decided
        in_between = ("reward_parity", SERVED, EXCHANGE)  # z is any number in [0, 1]
        bounded = self.scores or self.constraint in in_between or by_rule
        rates = self.paired and not self.twins and not bounded and not self.everywhere and not self.by_unit
        moved = self.ball == "w1"
        can = {
            "exact2": rates and not self.ball,
            "clopper-pearson": (rates or (not self.paired and not self.twins and not bounded)) and not moved,
            "unit-ratio": not self.everywhere and not moved
            and not (self.ball and self.constraint == "counterfactual_parity"),
            "block-pair": (rates or (self.paired and bounded and not self.twins)) and not self.ball,
            "dkw": (self.everywhere and not self.ball) or (self.constraint == "reward_parity" and not moved)
            or (self.constraint == "threshold_parity" and not self.everywhere and moved),
        }  # fmt: skip
        if can[self.method]:
            return None
        shifted = f" by the rule {rule.text}" if rule is not None and by_rule else ""
        shifted += f" with ball {self.ball!r}" if self.ball else ""
        return f"method {self.method!r} cannot show {self.constraint}{shifted}; see docs/certificate-format.md, Methods"


@dataclasses.dataclass(frozen=True)
class Policy:
    """The whole file. Paths in it are relative to `folder`."""

    delta: Decimal
    estimand: str
    min_group: int
    assumptions: tuple[str, ...]
    attributes: dict[str, Attribute]
    claims: tuple[Claim, ...]
    format: int = 2
    nonce: str = ""  # of format 1: the order of units and thinning where there is no ledger
    outside: str = "none"
    threshold: Decimal = Decimal(0)
    units: str = ""
    ties: Decimal = Decimal("0.01")
    cap: Decimal | None = None
    equal_content: str = "allow"
    ledger: str | None = None
    passes: int = 1
    escrow: str | None = None
    support: Support | None = None
    rule: Served | None = None  # by which decisions are made; None: argmax
    sha256: str = ""
    folder: Path = Path()

    @property
    def audited(self) -> tuple[Claim, ...]:
        """The claims that read the audit table."""
        return tuple(claim for claim in self.claims if claim.of_people)

    @property
    def comparisons(self) -> int:
        """M: lower bounds are shown at delta / M."""
        return sum(len(claim.comparisons) for claim in self.claims)

    @property
    def twins(self) -> list[str]:
        """Of which attributes a scored table has twins, and whether of somebody else (`ANOTHER`), sorted."""
        named = {claim.attribute for claim in self.audited if claim.twins and claim.attribute}
        return sorted(named | {ANOTHER for claim in self.audited if claim.constraint == EXCHANGE})

    def twin_columns(self, name: str) -> list[str]:
        """The columns with the rewards of a twin, by level."""
        if name == ANOTHER:
            return [f"reward:{ANOTHER}"]
        return [f"reward:{name}={level}" for level in self.attributes[name].levels]

    @property
    def shared(self) -> list[str]:
        """The columns whose values some claim takes for units, sorted."""
        return sorted({claim.per for claim in self.audited if claim.per})

    def admits(self, assumption: str) -> bool:
        """Whether it is listed, or is one that this format has no word for."""
        return assumption in self.assumptions or (self.format == 1 and assumption in TABLE_ASSUMPTIONS)

    def assumed(self, overlap_checked: bool, of_table: Collection[str] = ()) -> list[str]:
        """The assumptions that the claims need, sorted; `of_table`: those that the table needs."""
        people = self.audited
        needed = {
            "iid-units": bool(people),
            "group-labels-correct": any(
                (claim.attribute or claim.plugin or (claim.by_unit and claim.within)) and claim.ball != "label-noise"
                for claim in people
            ),
            "label-noise-bounded": any(claim.ball == "label-noise" for claim in people),
            "twins-as-declared": any(claim.twins or claim.constraint == EXCHANGE for claim in people),
            "train-overlap-unchecked": bool(people) and not overlap_checked,
            "no-ledger": bool(people) and self.ledger is None,
            **dict.fromkeys(of_table, True),
            **{claim.cells_by: True for claim in people if claim.plugin},
        }
        return sorted(name for name, is_needed in needed.items() if is_needed)


class _Table:
    """Keys of a TOML table, each taken once by its type; `done` refuses those that are left."""

    def __init__(self, values: Any, where: str):
        if not isinstance(values, dict):
            raise UsageError(f"{where}: expected a table, got {values!r}")
        self.values, self.where = dict(values), where

    def take(self, key: str, expected: str, good: Callable[[Any], bool], default: Any = ...) -> Any:
        if key not in self.values:
            if default is ...:
                raise UsageError(f"{self.where}: {key} is missing: expected {expected}")
            return default
        value = self.values.pop(key)
        if not good(value):
            raise UsageError(f"{self.where}: {key}: expected {expected}, got {str(value)[:60]!r}")
        return value

    def text(self, key: str, default: Any = ..., among: tuple[str, ...] = ()) -> Any:
        expected = f"one of {', '.join(among)}" if among else "a text that is not empty"
        return self.take(key, expected, lambda v: isinstance(v, str) and v != "" and (not among or v in among), default)

    def path(self, key: str) -> Any:
        return self.take(key, "the name of a file", lambda v: isinstance(v, str) and v != "" and "\0" not in v, None)

    def texts(self, key: str, least: int, default: Any = ...) -> tuple[str, ...]:
        def good(value: Any) -> bool:
            texts = isinstance(value, list) and all(isinstance(v, str) and v for v in value)
            return texts and len(value) >= least and len(set(value)) == len(value)

        return tuple(self.take(key, f"a list of at least {least} different texts", good, default))

    def number(self, key: str, expected: str, good: Callable[[Decimal], bool], default: Any = ...) -> Any:
        value = self.take(key, expected, lambda v: (x := exact(v)) is not None and good(x), default)
        return value if value is default else exact(value)

    def flag(self, key: str) -> bool:
        return self.take(key, "true or false", lambda v: isinstance(v, bool), False)

    def blocks(self, key: str) -> tuple[str, ...]:
        def good(value: Any) -> bool:
            texts = isinstance(value, list) and all(isinstance(v, str) for v in value)
            return texts and len(value) >= 1 and len(set(value)) == len(value)

        return tuple(self.take(key, "a list of different texts", good, [""]))

    def done(self) -> None:
        for key in self.values:
            raise UsageError(f"{self.where}: {key}: unknown key, or not for this constraint")


def exact(value: Any) -> Decimal | None:
    """A number of the policy (an integer, or the text of a plain decimal) exactly, else None."""
    text = str(value) if type(value) is int else value
    good = isinstance(text, str) and len(text) <= 60 and NUMBER.fullmatch(text)
    return Decimal(text) if good else None


def read_policy(path: str | Path) -> Policy:
    """The policy in a TOML file; `UsageError` says in one line what is wrong with it."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return policy_of(data, Path(path).parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def policy_of(data: bytes, folder: Path = Path()) -> Policy:
    """The policy in the bytes of a TOML file that is in `folder`."""
    if len(data) > MAX_BYTES:
        raise UsageError(f"longer than {MAX_BYTES} bytes")
    try:
        values = parse_toml(data, parse_float=str)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return _policy(_Table(values, "policy"), hashlib.sha256(data).hexdigest(), folder)


def _policy(table: _Table, sha256: str, folder: Path) -> Policy:
    form = 1 + SCHEMAS.index(table.text("schema", among=SCHEMAS))
    old = form == 1
    attributes = {}
    for name, spec in _Table(table.take("attributes", "a table", lambda v: True, {}), "attributes").values.items():
        spec_table = _Table(spec, f"attributes.{name}")
        attributes[name] = Attribute(spec_table.texts("levels", 2), spec_table.flag("chooser"))
        spec_table.done()
    claims = table.take("claim", "one [[claim]] or more", lambda v: isinstance(v, list) and len(v) > 0)
    policy = Policy(
        delta=table.number("delta", "a number in (0, 0.5]", lambda x: 0 < x <= Decimal("0.5")),
        estimand=table.text("estimand", among=("row", "unit")),
        format=form,
        nonce=table.text("nonce") if old else "",
        min_group=table.take("min_group", "a whole number >= 1", lambda v: type(v) is int and 1 <= v <= 10**9),
        assumptions=table.texts("assumptions", 0),
        attributes=attributes,
        claims=tuple(_claim(_Table(claim, "claim"), attributes, form) for claim in claims),
        outside=table.text("outside", "none" if old else ..., ("none", "all", "column")),
        threshold=table.number("threshold", "a number", lambda x: True, Decimal(0) if old else ...),
        units="" if old else table.text("units"),
        ties=Decimal("0.01") if old else table.number("ties", "in [0, 1]", lambda x: 0 <= x <= 1, Decimal("0.01")),
        cap=table.number("cap", "a number > 0", lambda x: x > 0, None),
        equal_content=table.text("equal_content", "allow", ("allow", "refuse")),
        ledger=table.path("ledger"),
        passes=table.take("passes", "a whole number in 1..100", lambda v: type(v) is int and 1 <= v <= 100, 1),
        escrow=table.path("escrow"),
        support=None if old else _support(table),
        rule=_rule(table) if form == 3 else None,
        sha256=sha256,
        folder=folder,
    )
    table.done()
    known = {name for name in policy.assumptions if name in ASSUMPTIONS or (not old and NAMED.fullmatch(name))}
    if unknown := [name for name in policy.assumptions if name not in known]:
        raise UsageError(f"assumptions: unknown {unknown[0]!r}; there are {', '.join(ASSUMPTIONS)}")
    if len({claim.name for claim in policy.claims}) < len(policy.claims):
        raise UsageError("two claims have the same name")
    if policy.support and ("train-overlap-unchecked" in policy.assumptions or policy.shared):
        raise UsageError(
            "support: what a model that reads earlier answers does is shown for new people: no claim has `per`, and "
            "'train-overlap-unchecked' cannot be admitted"
        )
    for name in policy.support.rewritten if policy.support else ():
        if name not in policy.twins or not policy.attributes[name].chooser:
            raise UsageError(f"support: rewritten: expected chooser's attributes with claims of twins, got {name!r}")
    if policy.rule and policy.rule.name != "softmax" and policy.outside != "none":
        raise UsageError(
            f"rule {policy.rule.text}: a reference says nothing of an outside option; outside must be none"
        )
    for claim in policy.audited:
        reason = claim.unsuitable(policy.rule)
        capped = policy.cap is not None or claim.cap is not None or claim.by_unit
        if claim.method == "unit-ratio" and policy.estimand == "row" and not capped:
            reason = "unit-ratio needs `cap`, the largest mass of a unit in a cell"
        if len({block.name for block in claim.blocks}) < len(claim.blocks):
            reason = "two blocks have the same name"
        if reason:
            raise UsageError(f"claim {claim.name!r}: {reason}")
    return policy


def _rule(table: _Table) -> Served | None:
    """The decision rule, and on what it decides; None: argmax."""
    text = table.text("rule", "argmax")
    try:
        if served(text, "") is None:
            return None
        if "candidates" not in table.values:
            raise ValueError(f"{text} needs [candidates]: kind, and of sampled ones draws, reference and decoding")
        keys = _Table(table.values.pop("candidates"), "candidates")
        kind = keys.text("kind", among=KINDS)
        sampled = kind == "sampled"
        whole = ("a whole number in 1..1000000", lambda v: type(v) is int and 1 <= v <= 10**6)
        found = served(
            text,
            kind,
            draws=keys.take("draws", *whole) if sampled else None,
            sha256=keys.take("sha256", "a sha256", lambda v: isinstance(v, str) and bool(HEX.fullmatch(v)), None),
            reference=keys.text("reference", ... if sampled else ""),
            decoding=keys.text("decoding", ... if sampled else ""),
        )
        keys.done()
        if found and found.draws and found.name == "best_of" and found.value > found.draws:
            raise ValueError(f"{text}: n above the {found.draws} draws of a set")
        return found
    except ValueError as error:
        raise UsageError(f"policy: rule: {error}") from None


def _support(table: _Table) -> Support | None:
    """The rule of support, where the policy has one."""
    if "support" not in table.values:
        return None
    keys = _Table(table.values.pop("support"), "support")
    k = keys.take("k", "a whole number in 1..1000000", lambda v: type(v) is int and 1 <= v <= 10**6)
    found = Support(k, keys.text("order", ""), tuple(sorted(keys.texts("rewritten", 1, ()))))
    keys.done()
    return found


def _claim(table: _Table, attributes: dict[str, Attribute], form: int) -> Claim:
    old = form == 1
    kinds = PAIRS + CAPS + TABLES + (() if old else PLUGINS + FLOORS + ACCURACIES)
    kinds += (SERVED, EXCHANGE) if form == 3 else ()
    name, constraint = table.text("name"), table.text("constraint", among=kinds)
    table.where = f"claim {name!r}"
    positive, any_number = ("a number > 0", lambda x: x > 0), ("a number", lambda x: True)
    not_negative = ("a number >= 0", lambda x: x >= 0)
    values: dict[str, Any] = {"bound": table.number("bound", "a number in [0, 1)", lambda x: 0 <= x < 1)}
    if constraint == "mixture":
        values["tolerance"] = table.number("tolerance", *not_negative)
    elif constraint == "head_optimum":
        values |= {"mu": table.number("mu", *positive), "slack": table.number("slack", *not_negative)}
    elif constraint in FLOORS + ACCURACIES:
        values |= _welfare(table, constraint, attributes)
    else:
        named = constraint in PLUGINS
        values |= _cells(table, constraint) if named else _compared(table, constraint, attributes)
        values["method"] = table.text("method", among=("unit-ratio",) if constraint == EXCHANGE else METHODS)
        if constraint == EXCHANGE:
            values["cap"] = table.number("cap", *positive, None)
        elif not old:
            values["per"] = per = table.text("per", None)
            if per in OWN_COLUMNS or str(per).startswith("reward:"):
                raise UsageError(f"{table.where}: per: {per!r} is no shared column: it has a meaning of its own")
            values["cap"] = table.number("cap", *positive, None)
        if constraint == "threshold_parity":
            values["thresholds"] = _thresholds(table)
        if constraint == "reward_parity":
            values["score"] = table.text("score", "sigmoid", ("sigmoid", "clip"))
        if values.get("score") == "clip":
            low = values["low"] = table.number("low", *any_number)
            values["high"] = table.number("high", "a number above low", lambda x: float(x) > float(low))
        elif constraint in ("reward_parity", "counterfactual_oscillation"):
            values["scale"] = table.number("scale", *positive, Decimal(1))
        if constraint == "counterfactual_oscillation":
            values["tail"] = table.flag("tail")
        ball = None if constraint == EXCHANGE else table.text("ball", None, tuple(BALLS))
        if ball:
            range_ = {"tv": (0, 1), "label-noise": (0, 1), "lr": (1, None), "cvar": (None, 1)}.get(ball, (0, None))
            values |= {"ball": ball, "radius": table.number("radius", *_radius(ball, *range_))}
    table.done()
    return Claim(name, constraint, **values)


def _radius(ball: str, low: int | None, high: int | None) -> tuple[str, Callable[[Decimal], bool]]:
    def good(x: Decimal) -> bool:
        if ball == "cvar":
            return 0 < x <= 1
        return (low is None or x >= low) and (x < high if high is not None else x <= 10**6)

    return f"a radius of the ball {ball!r}", good


def _compared(table: _Table, constraint: str, attributes: dict[str, Attribute]) -> dict[str, Any]:
    """Whose numbers are compared: attribute, groups, of, within, strata."""
    values: dict[str, Any] = {}
    known = tuple(attributes) or ("(no attribute is declared)",)
    paired = constraint in (*PAIRS, SERVED)
    needed = paired or constraint.startswith("counterfactual")
    for key, levels, least in (("attribute", "groups", 2 if paired else 1), ("within", "strata", 1)):
        if constraint == EXCHANGE and key == "attribute":
            continue
        name = table.text(key, ... if needed and key == "attribute" else None, known)
        if name is not None:
            chosen = table.texts(levels, least, attributes[name].levels)
            if strange := [level for level in chosen if level not in attributes[name].levels]:
                raise UsageError(f"{table.where}: {levels}: {strange[0]!r} is not a level of {name!r}")
            values |= {key: name, levels: chosen}
    if "of" in table.values:
        of = table.texts("of", 2)
        if len(of) != 2 or of[0] not in attributes or of[1] not in attributes[of[0]].levels:
            raise UsageError(f"{table.where}: of: expected [attribute, level], both declared, got {list(of)}")
        values["of"] = of
    if constraint == SERVED and not (
        "of" in values and "within" not in values and attributes[values["attribute"]].chooser
    ):
        raise UsageError(f"{table.where}: {SERVED} is of one kind of answer (`of`), by a chooser's attribute")
    return values


def _welfare(table: _Table, constraint: str, attributes: dict[str, Attribute]) -> dict[str, Any]:
    """Whose welfare is compared, what it is, and against which aggregate."""
    choosers = tuple(name for name, attribute in attributes.items() if attribute.chooser)
    parity, tail = constraint in ACCURACIES, constraint == "welfare_tail"
    name = None if tail else table.text("attribute", ... if parity else None, choosers or ("(no chooser's attribute)",))
    values: dict[str, Any] = {"method": table.text("method", among=("unit-ratio",))}
    values["welfare"] = table.text("welfare", "decision", WELFARES)
    if values["welfare"] == "log":
        values["floor"] = table.number("floor", "a number > 0", lambda x: x > 0, Decimal(3))
    if name is not None:
        groups = table.texts("groups", 2 if parity else 1, attributes[name].levels)
        if strange := [level for level in groups if level not in attributes[name].levels]:
            raise UsageError(f"{table.where}: groups: {strange[0]!r} is not a level of {name!r}")
        values |= {"attribute": name, "groups": groups} if parity else {"within": name, "strata": groups}
    if not parity:
        values |= {"against": table.text("against"), "groups": SIDES}
    if tail:
        values["cutoff"] = table.number("cutoff", "a number in [-1, 1]", lambda x: -1 <= x <= 1)
    return values


def _cells(table: _Table, constraint: str) -> dict[str, Any]:
    """Whose cells are counted: who makes them, at which digest, and which of them."""
    digest = ("a sha256 in lower-case hex", lambda v: isinstance(v, str) and bool(HEX.fullmatch(v)))
    return {
        "plugin": table.text("plugin"),
        "plugin_sha256": table.take("plugin_sha256", *digest),
        "named_blocks": table.blocks("blocks"),
        "groups": table.texts("groups", 2 if constraint == "plugin_parity" else 1),
        "scores": table.flag("scores"),
    }


def _thresholds(table: _Table) -> tuple[str, ...] | None:
    def good(value: Any) -> bool:
        if value == "all":
            return True
        numbers = [exact(v) for v in value] if isinstance(value, list) else []
        return bool(numbers) and None not in numbers and len(set(numbers)) == len(numbers)

    value = table.take("thresholds", 'a list of different numbers, or "all"', good)
    return None if value == "all" else tuple(str(v) for v in value)
