"""The audit table: scored alternatives of people who were held back, read, checked, digested, and decided.

A row per alternative: unit, choice, alternative, weight, label, outside, content, attributes, shared columns, reward,
twin rewards, decision, as docs/certificate-format.md says. Rows are sorted by their names first, so that the order of a
file means nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from constraints import ANOTHER

from ..errors import DataError, NotIndependentError
from ..units import PAIR, pair_name, two_by_two
from .bounds.binomial import Floats
from .columns import read_columns
from .committed_order import quote
from .overlap import check_spellings
from .policy import EXCHANGE, Claim, Policy
from .rules import Served, candidates_of, decisions_alone
from .rules import decisions as decisions_by

if TYPE_CHECKING:
    from .description import PlugIn

DECISION_TOLERANCE = 1e-9  # of a decision to the one that the rewards give
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
CELL = re.compile("0|[1-9][0-9]{0,8}")
MAX_TOTAL_WEIGHT = float(np.finfo(np.float64).max)  # a sum of weights stays below, in whatever order
Codes = NDArray[np.intp]


class Counted(NamedTuple):
    """Whose cells a plug-in made: `cell [rows, slots]` (-1: in none), the share with which a row counts there, and the
    value of which the cell's rate is the mean; None: it is made of the decision."""

    made: PlugIn
    cell: Codes
    share: Floats
    value: Floats | None

    def place(self, block: str, group: str) -> int:
        """The number of a cell."""
        return self.made.blocks.index(block) * len(self.made.groups) + self.made.groups.index(group)


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """An entry per row, rows sorted by (unit, choice, alternative)."""

    unit: list[str]
    choice: list[str]
    alternative: list[str]
    member_of: Codes  # number of the row's choice
    weight: Floats
    label: Floats | None
    reward: Floats
    outside: NDArray[np.bool_]
    levels: dict[str, Codes]  # of every declared attribute; -1 does not apply
    shared: dict[str, list[str]]  # column -> prompt, item, ... of every row, which rows of several units may have
    twins: dict[str, Floats]  # attribute -> [levels, rows] rewards, NaN: no such twin
    rows_sha256: str
    frame_sha256: str
    plugins: dict[str, Counted] = dataclasses.field(default_factory=dict)  # by the digest that a claim names
    others: dict[str, Floats] = dataclasses.field(default_factory=dict)  # name of an aggregate -> its rewards
    rule: Served | None = None  # by which decisions are made; None: argmax
    log_ref: Floats | None = None  # of the reference, where the rule may read one
    candidates: dict[str, Any] | None = None  # what its sets are, as a certificate says it
    pair: list[str] | None = None  # of every row the pair of its unit, where a claim is of pairs of people

    def units_by(self, column: str | None) -> list[str]:
        """The unit of every row: a value of this column; None: of the table's own."""
        if column is None:
            return self.unit
        return (self.pair or []) if column == PAIR else self.shared[column]

    @functools.cached_property
    def units(self) -> int:
        """How many there are."""
        return len(set(self.unit))

    def crossed(self, column: str) -> list[str]:
        """The values of a shared column that rows of two or more units have."""
        owner: dict[str, str] = {}
        several = {
            value
            for unit, value in zip(self.unit, self.shared[column], strict=True)
            if owner.setdefault(value, unit) != unit
        }
        return sorted(several)

    def decisions(self, rewards: Floats, threshold: float) -> Floats:
        """Share of the choice that every row gets: those with the largest reward share it equally, also with the
        outside option, whose reward is the threshold; under another rule, how likely it is."""
        if self.rule:
            return decisions_by(self.rule, rewards, self.member_of, self.outside, threshold, self.log_ref)
        choices = int(self.member_of.max()) + 1
        best = np.full(choices, -np.inf)
        np.maximum.at(best, self.member_of, rewards)
        beside = np.zeros(choices, bool)
        beside[self.member_of] = self.outside
        lost = beside & (threshold > best)
        wins = (rewards == best[self.member_of]) & ~lost[self.member_of]
        sharing = np.bincount(self.member_of[wins], minlength=choices) + (beside & (threshold == best))
        return np.where(wins, 1 / np.maximum(sharing, 1)[self.member_of], 0.0)

    def welfare(self, rewards: Floats, threshold: float, claim: Claim) -> Floats:
        """Of every choice, `[choices]` in [0, 1], what these rewards are worth to who chose; the outside option has
        what labels and decisions of the others leave."""
        assert self.label is not None
        at, choices = self.member_of, int(self.member_of.max()) + 1
        beside = np.zeros(choices, bool)
        beside[at] = self.outside
        label_outside = np.where(beside, np.clip(1 - np.bincount(at, self.label, choices), 0, 1), 0)
        if claim.welfare == "decision":
            decided = self.decisions(rewards, threshold)
            left = np.clip(1 - np.bincount(at, decided, choices), 0, 1)
            return np.clip(np.bincount(at, self.label * decided, choices) + label_outside * left, 0, 1)
        top = np.where(beside, threshold, -np.inf)
        np.maximum.at(top, at, rewards)
        powers, power_outside = np.exp(rewards - top[at]), np.where(beside, np.exp(threshold - top), 0)
        total = np.bincount(at, powers, choices) + power_outside
        if claim.welfare == "brier":
            apart = np.bincount(at, (powers / total[at] - self.label) ** 2, choices)
            return np.clip(1 - (apart + (power_outside / total - label_outside) ** 2) / 2, 0, 1)
        logs = rewards - top[at] - np.log(total)[at]
        log_outside = threshold - top - np.log(total)
        loss = -np.bincount(at, np.where(self.label > 0, self.label * logs, 0), choices)
        loss -= np.where(label_outside > 0, label_outside * log_outside, 0)
        return np.clip(1 - loss / float(claim.floor), 0, 1)

    def valid_twins(self, name: str, chooser: bool) -> NDArray[np.bool_]:
        """Rows with a twin at every level; of a chooser's attribute, in every row of the choice."""
        valid: NDArray[np.bool_] = ~np.any(np.isnan(self.twins[name]), axis=0)
        if chooser:
            broken = np.bincount(self.member_of, ~valid) > 0
            valid = ~broken[self.member_of]
        return valid

    def twin_decisions(self, name: str, chooser: bool, threshold: float) -> Floats:
        """`[levels, rows]` the decision on a row whose alternative alone (a chooser's attribute: whose choice) is set
        to a level; rows without valid twins have no meaning."""
        if chooser:
            return np.stack([self.decisions(np.nan_to_num(rewards), threshold) for rewards in self.twins[name]])
        if self.rule:
            sets = self.member_of, self.outside, threshold, self.log_ref
            return np.stack([decisions_alone(self.rule, self.reward, row, *sets) for row in self.twins[name]])
        rival, rivals = self._best_others(threshold)
        twin_rewards = np.nan_to_num(self.twins[name])
        return np.where(twin_rewards > rival, 1.0, np.where(twin_rewards == rival, 1 / (1 + rivals), 0.0))

    def _best_others(self, threshold: float) -> tuple[Floats, Floats]:
        """The largest reward among the other alternatives of each row's choice, and how many have it."""
        choices = int(self.member_of.max()) + 1
        beside = np.zeros(choices, bool)
        beside[self.member_of] = self.outside
        reward = np.concatenate([self.reward, np.full(int(beside.sum()), threshold)])
        choice = np.concatenate([self.member_of, np.flatnonzero(beside)])

        def largest(rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
            best = np.full(choices, -np.inf)
            np.maximum.at(best, choice[rows], reward[rows])
            return best, np.bincount(choice[rows & (reward == best[choice])], minlength=choices).astype(float)

        first, many = largest(np.ones(len(reward), bool))
        second, more = largest(reward < first[choice])
        at = self.member_of
        alone = (self.reward == first[at]) & (many[at] == 1)
        shared = many[at] - (self.reward == first[at])
        return np.where(alone, second[at], first[at]), np.where(alone, more[at], shared)


def read_audit(path: str | Path, policy: Policy) -> Audit:
    """The table as the policy reads it; `DataError` for a broken promise, `NotIndependentError` for a duplicate row."""
    return audit_of(read_columns(path), policy, str(path))


def audit_of(
    columns: dict[str, list[str]],
    policy: Policy,
    where: str = "table",
    shared: Collection[str] = (),
    plugins: Sequence[PlugIn] = (),
) -> Audit:
    """The same, of columns of texts.

    shared   columns to be read beside those that claims name in `per`
    plugins  whose cells the table has
    """
    source = _Columns(columns, where)
    claims = policy.audited
    check_roles(columns, policy, where)
    unit, choice = source.texts("unit"), source.texts("choice")
    alternative = source.columns.get("alternative", [""] * source.rows)
    names = list(zip(unit, choice, alternative, strict=True))
    if len(set(names)) < len(names):
        twice, times = Counter(names).most_common(1)[0]
        raise NotIndependentError(f"{where}: the row {twice!r} stands {times} times; every row may count once")
    order = sorted(range(len(names)), key=names.__getitem__)
    source = _Columns({name: [cells[i] for i in order] for name, cells in columns.items()}, where)

    unit, choice = source.texts("unit"), source.texts("choice")
    alternative = source.columns.get("alternative", [""] * source.rows)
    reward = source.numbers("reward")
    weight = source.numbers("weight", lambda w: w >= 0, ">= 0") if "weight" in source.columns else np.ones(source.rows)
    if len(weight) * float(weight.max()) >= MAX_TOTAL_WEIGHT:
        raise DataError(
            f"{where}: column 'weight': weights up to {weight.max():g} overflow when they are added up; divide all of "
            "them by the largest, and the policy's cap"
        )
    labelled = any(claim.by_unit or block.event for claim in claims for block in claim.blocks)
    label = source.numbers("label", lambda y: (y >= 0) & (y <= 1), "in [0, 1]") if labelled else None
    by_row = policy.outside == "column"
    outside = source.numbers("outside", lambda o: (o == 0) | (o == 1), "1 or 0") if by_row else None
    content = source.texts("content") if policy.equal_content == "refuse" else [""] * source.rows
    declared = sorted(policy.attributes.items())
    levels = {name: source.levels(name, attribute.levels) for name, attribute in declared}
    together = {name: source.texts(name) for name in sorted({*shared, *policy.shared})}
    twins = {
        name: np.stack([source.numbers(column, empty=True) for column in policy.twin_columns(name)])
        for name in policy.twins
    }
    others = {name: source.numbers(f"reward:{name}") for name in sorted({c.against for c in claims if c.against})}
    made = {plugin.sha256: plugin for plugin in plugins}
    wanted = sorted({(claim.plugin, claim.plugin_sha256): claim for claim in claims if claim.plugin}.items())
    cells = {claim.plugin_sha256: source.cells(claim, made) for _, claim in wanted}
    numbering = {name: number for number, name in enumerate(dict.fromkeys(choice))}
    member_of = np.fromiter(map(numbering.__getitem__, choice), np.intp, source.rows)
    if len(numbering) < source.rows:
        _one_per_choice(where, "unit", choice, unit)
        _one_per_choice(where, "content", choice, content)
        _one_per_choice(where, "outside", choice, [] if outside is None else list(outside))
        if any(claim.by_choice for claim in claims):
            _one_per_choice(where, "weight", choice, list(weight))
        for name in sorted({claim.attribute or claim.within or "" for claim in claims if claim.by_choice} - {""}):
            _one_per_choice(where, name, choice, source.columns[name])
    pair = source.texts(PAIR) if any(claim.constraint == EXCHANGE for claim in claims) else None
    if pair:
        check_pairs(unit, pair, ~np.isnan(twins[ANOTHER][0]), source.columns.get("part", []), where)
    names_of_units = dict.fromkeys(unit)
    check_spellings(names_of_units, where)
    if policy.equal_content == "refuse":
        _one_owner(where, unit, content)

    frame = [unit, choice, alternative, _texts(weight), _texts(label), _texts(outside), content]
    frame += [source.columns[name] for name, _ in declared] + [together[name] for name in policy.shared]
    frame += [pair] if pair else []
    log_ref = source.numbers("log_ref") if policy.rule and "log_ref" in source.columns else None
    frame += [_texts(log_ref)] if policy.rule else []
    for counted in cells.values():
        frame += [
            texts
            for cell, share in zip(counted.cell.T, counted.share.T, strict=True)
            for texts in (_codes(cell), _texts(share))
        ]
    if policy.format >= 2:  # which twins there are is of the audit set, and no model's to say
        absent = {name: absent_twins(levels[name], twins[name]) for name in policy.twins if name != ANOTHER}
        frame += [[name * missing for missing in rows.tolist()] for name, rows in absent.items() if rows.any()]
    frame = [column or [""] * source.rows for column in frame]
    rewards = [_texts(reward), *(_texts(row) for twin_rewards in twins.values() for row in twin_rewards)]
    rewards += [_texts(values) for values in others.values()]
    rewards += [_texts(value) for counted in cells.values() if counted.value is not None for value in counted.value.T]
    frames = [",".join(map(quote, row)) for row in zip(*frame, strict=True)]
    rows = [f"{f},{','.join(map(quote, r))}" for f, r in zip(frames, zip(*rewards, strict=True), strict=True)]
    candidates = None
    if policy.rule:
        sets = zip(choice, alternative, _texts(log_ref) or [""] * source.rows, strict=True)
        digest = _digest(",".join(map(quote, row)) for row in sets)
        candidates = candidates_of(policy.rule, where, member_of, log_ref, digest)
    audit = Audit(
        unit, choice, alternative, member_of, weight, label, reward,
        outside == 1 if outside is not None else np.full(source.rows, policy.outside == "all"),
        levels, together, twins, _digest(rows), _digest(frames), cells, others, policy.rule, log_ref, candidates,
        pair,
    )  # fmt: skip
    if "decision" in source.columns:
        _same_decisions(source, audit, policy)
    return audit


def absent_twins(level: Codes, rewards: Floats) -> NDArray[np.bool_]:
    """Rows that have a level of an attribute (-1: none), and not at every level a twin, `rewards [levels, rows]`."""
    missing: NDArray[np.bool_] = (level >= 0) & np.isnan(rewards).any(0)
    return missing


def check_pairs(
    unit: Sequence[str], pair: Sequence[str], there: NDArray[np.bool_], part: Sequence[str], where: str
) -> None:
    """`NotIndependentError` unless units are paired as `faro.units` has it, and of one part: who may choose pairs can
    choose those that are alike. `DataError` unless every row of who has a partner says what that one changes, and no
    other row: who may leave cells empty can leave out those in which much changes.

    unit  of every row
    pair  of every row
    there whether a row has a reward with the partner in the person's place
    part  of every row, if the table says so
    where name of the table, for messages
    """
    if len(set(part)) > 1:
        raise NotIndependentError(f"{where}: people are paired within one part; score with --part gate")
    both = {name: people for people in two_by_two(unit) for name in people}
    for name, own, filled in zip(unit, pair, there, strict=True):
        if own != pair_name(both[name]):
            raise NotIndependentError(
                f"{where}: {name[:40]!r} is of the pair {own[:60]!r}, and by the hash of names of "
                f"{pair_name(both[name])[:60]!r}; score all people of the part, by faro score"
            )
        if filled != (len(both[name]) == 2):
            told = "no reward with the partner in the person's place" if not filled else "a reward with a partner"
            whose = "has one" if not filled else "has none"
            raise DataError(f"{where}: a row of {name[:40]!r} has {told}, and {whose}; score with --twins {ANOTHER!r}")


def check_roles(columns: dict[str, list[str]], policy: Policy, where: str, foreign: bool = False) -> None:
    """`NotIndependentError` for a row that the model was told, or that shares an item with one: no evidence about it.

    columns  of the table
    policy   that says whether the model reads earlier answers
    where    name of the table, for messages
    foreign  whether nothing describes it: then a column `role` is taken for what it says, unless the policy names it
    """
    named = "role" in policy.attributes or "role" in policy.shared
    told: list[str] = []
    if policy.support:
        told = [text for text in _Columns(columns, where).texts("role") if text != "query"]
    elif foreign and not named:
        told = [text for text in columns.get("role", []) if text in ("support", "neither")]
    if told:
        raise NotIndependentError(
            f"{where}: {len(told)} rows have the role {told[0][:20]!r}: what a model was told of a person, or shares "
            "an item with that, is no evidence about it; score with --part gate, which has queries alone"
        )


def _same_decisions(source: _Columns, audit: Audit, policy: Policy) -> None:
    """`DataError` if the table decided otherwise than its rewards do under this policy."""
    stated = source.numbers("decision", empty=True)
    made = audit.decisions(audit.reward, float(policy.threshold))
    other = np.abs(stated - made) > DECISION_TOLERANCE  # an empty cell is NaN, and states nothing
    if other.any():
        row = int(np.argmax(other))
        asked = f"outside = {policy.outside!r} and threshold {policy.threshold}"
        asked = f"the rule {policy.rule.text}" if policy.rule else asked
        raise DataError(
            f"{source.where}: choice {audit.choice[row][:40]!r}: decision {stated[row]:g}, but these rewards give "
            f"{made[row]:g} with {asked}: {int(other.sum())} rows were decided by another rule than the policy's"
        )


class _Columns:
    """Columns of texts, each checked as it is asked for."""

    def __init__(self, columns: dict[str, list[str]], where: str):
        self.columns, self.where = columns, where
        self.rows = len(next(iter(columns.values()), []))
        if not self.rows:
            raise DataError(f"{where}: no rows; an audit table has a row per scored alternative")

    def column(self, name: str) -> list[str]:
        if name not in self.columns:
            raise DataError(f"{self.where}: no column {name!r}; there are {', '.join(self.columns)}"[:300])
        return self.columns[name]

    def texts(self, name: str) -> list[str]:
        column = self.column(name)
        if "" in column:
            raise DataError(f"{self.where}: column {name!r} has an empty cell")
        return column

    def numbers(self, name: str, good=lambda x: True, expected: str = "", empty: bool = False) -> Floats:
        """Doubles; cells that may be empty are NaN then."""
        column = self.column(name) if empty else self.texts(name)
        for text in column:
            if text and not (len(text) <= 60 and NUMBER.fullmatch(text) and math.isfinite(float(text))):
                raise DataError(f"{self.where}: column {name!r}: expected finite numbers, got {text[:20]!r}")
        values = np.array([float(text) if text else math.nan for text in column]) + 0.0
        if not empty and not np.all(good(values)):
            raise DataError(f"{self.where}: column {name!r}: expected numbers {expected}")
        return values

    def levels(self, name: str, known: tuple[str, ...]) -> Codes:
        column = self.column(name)
        codes = {level: code for code, level in enumerate(known)} | {"": -1}
        if strange := sorted(set(column) - set(codes)):
            raise DataError(
                f"{self.where}: column {name!r}: {strange[0][:40]!r} is no level that the policy declares: "
                f"{', '.join(known)}"
            )
        return np.fromiter(map(codes.__getitem__, column), np.intp, self.rows)

    def cells(self, claim: Claim, made: dict[str, PlugIn]) -> Counted:
        """The cells that a claim is about; every row in all of a slot's columns, or in none."""
        if claim.plugin_sha256 not in made:
            raise DataError(
                f"{self.where}: nothing says that it has cells by {claim.plugin}: no description, or one without them; "
                "score with faro score, where the plug-in is installed"
            )
        made_by = made[claim.plugin_sha256]
        size = len(made_by.blocks) * len(made_by.groups)
        cells, shares, values = [], [], []
        for slot in made_by.slots:
            column = self.column(f"cell:{slot}")
            known = {text: int(text) for text in set(column) if CELL.fullmatch(text) and int(text) < size} | {"": -1}
            if strange := sorted(set(column) - set(known)):
                raise DataError(f"{self.where}: column 'cell:{slot}': {strange[0][:40]!r} is no cell of {size}")
            cells.append(np.fromiter(map(known.__getitem__, column), np.intp, self.rows))
            inside = cells[-1] >= 0
            shares.append(self.numbers(f"share:{slot}", empty=True))
            good = np.where(inside, shares[-1] > 0, np.isnan(shares[-1]))
            if made_by.values == "column":
                values.append(self.numbers(f"value:{slot}", empty=True))
                good &= np.where(inside, (values[-1] >= 0) & (values[-1] <= 1), np.isnan(values[-1]))
            if not good.all():
                raise DataError(
                    f"{self.where}: slot {slot!r} of cells: expected a share > 0, and a value in [0, 1], of every row "
                    "in a cell, and neither of the others"
                )
        share = np.stack(shares, 1)
        if share.size * float(np.nanmax(share, initial=0)) >= MAX_TOTAL_WEIGHT:
            raise DataError(f"{self.where}: shares of {made_by.plugin} overflow when they are added up")
        return Counted(made_by, np.stack(cells, 1), share, np.stack(values, 1) if values else None)


def _codes(values: Codes) -> list[str]:
    return ["" if value < 0 else str(value) for value in values.tolist()]


def _texts(values: Floats | None) -> list[str]:
    """Python's repr of doubles, "" for NaN; an absent column is an empty list."""
    return [] if values is None else ["" if value != value else repr(value) for value in values.tolist()]


def _digest(rows: Iterable[str]) -> str:
    """sha256 over the sorted sha256 of rows."""
    row_digests = sorted(hashlib.sha256(f"[{row}]".encode()).hexdigest() for row in rows)
    return hashlib.sha256("".join(row_digests).encode()).hexdigest()


def _one_per_choice(where: str, name: str, choice: list[str], values: list) -> None:
    first_value: dict[str, object] = {}
    for name_of_choice, value in zip(choice, values, strict=False):  # no values: the column is not read
        if first_value.setdefault(name_of_choice, value) != value:
            raise DataError(f"{where}: choice {name_of_choice[:40]!r} has two values of {name!r}; a choice has one")


def _one_owner(where: str, unit: list[str], content: list[str]) -> None:
    owner: dict[str, str] = {}
    for name, shown in zip(unit, content, strict=True):
        if owner.setdefault(shown, name) != name:
            raise NotIndependentError(f"{where}: two units share the content {shown[:40]!r}; the policy refuses that")
