"""How a trial is trained, in four groups: names, defaults that are meant for every data set, which values can be, and
when each of them has an effect.

    Optimiser     who steps, how often and how far
    Multipliers   the dual player
    Batching      what a step sees at once
    Selection     when iterates are evaluated, and what is returned

`Settings` is all of them in one flat record. A setting is declared once, with what it means and what it needs to have
an effect: `Settings.check_effect`, `faro settings list` and the tables of docs/training.md say that and nothing else.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from constraints import CANDIDATES, DecisionRule

from ..data.candidates import named_rule
from ..errors import UsageError
from ..files import parse_toml

PRIMAL: dict[str, dict[str, Any]] = {  # defaults that depend on the primal player
    "sqp": {"steps": 100, "temperature": 0.7, "dual_rate": 0.03},
    "adam": {"steps": 600, "temperature": 0.05, "dual_rate": 0.03},
}
CHOICES = {
    "solver": ("game", "exact"),
    "solution": ("best", "last", "average", "mixture"),
    "primal": tuple(PRIMAL),
    "dual": ("nupi", "ascent"),
    "dual_data": ("train", "own"),
    "compute": ("float32", "bfloat16"),
}
OLD = {"primal": {"newton": "sqp"}}  # values of the release before, for one release; stored manifests keep them
TEXTS = ("rule", "candidates")
WHOLE = ("steps", "every", "batch", "microbatch")
# at dual_rate 0 multipliers follow no violation: nuPI's proportional term alone sees how they change
POSITIVE = ("temperature_start", "temperature", "learning_rate", "dual_rate", "cap", "width")
SHARES = {"memory": "in [0, 1)", "margin": "in [0, 1]", "max_ties": "in [0, 1]", "width": "of hidden units in (0, 1]"}


LEAST_EVALUATIONS = 2  # of a training, with steps after each; and one at where the last of them lead


# When a setting has an effect -----------------------------------------------------------------------------------------


class Use(NamedTuple):
    """What settings are used for.

    settings: filled, as the training plays them
    rows: train choices that a step draws from, of each shard
    shards: into which the train choices are cut
    baselines: whether baselines are trained by the same settings, which play no game
    products: whether the model has products of features and context
    widths: whether it leaves open how many hidden units it has
    """

    settings: Settings
    rows: int
    shards: int = 1
    baselines: bool = False
    products: bool = True
    widths: bool = True


class Need(NamedTuple):
    """Something without which a setting has no effect.

    words: as tables say it
    holds: whether it is there
    lacking: what is there instead, and what to do then
    """

    words: str
    holds: Callable[[Use], bool]
    lacking: Callable[[Use], tuple[str, str]]


def _batches(use: Use) -> bool:
    return use.shards > 1 or (use.settings.batch or use.rows) < use.rows


NO_GAME = ("solver = exact plays no game", "leave it out, or the solver")
NO_RATES = ("second-order steps need no rate", "leave it out, or set primal = adam")
GAME = Need("`game`", lambda use: use.settings.solver == "game", lambda use: NO_GAME)
STEPS = Need("`game` or baselines", lambda use: use.baselines or GAME.holds(use), lambda use: NO_GAME)
ADAM = Need("`adam`", lambda use: use.settings.primal == "adam", lambda use: NO_RATES)
RATES = Need("`adam` or baselines", lambda use: use.baselines or ADAM.holds(use), lambda use: NO_RATES)
NUPI = Need(
    "`dual = nupi`",
    lambda use: use.settings.dual == "nupi",
    lambda use: (f"dual = {use.settings.dual} has no proportional term", "leave out one of the two"),
)
BATCHES = Need(
    "batches",
    _batches,
    lambda use: (f"every step sees all {use.rows} train choices", "leave it out, or set batch below that"),
)
PRODUCTS = Need(
    "products with context",
    lambda use: use.products,
    lambda use: ("the model has no products of features and context", "leave it out"),
)
WIDTHS = Need(
    "a network of open width",
    lambda use: use.widths,
    lambda use: ("the model has no hidden units whose number is open", "leave it out, or the widths of the model"),
)
RULE = Need(
    "a rule of a reference",
    lambda use: use.settings.rule != "argmax",
    lambda use: ("argmax asks for no reference", "leave it out, or set a rule"),
)
SHARED = Need(
    "`dual_data = train`",
    lambda use: use.settings.dual_data == "train",
    lambda use: ("the dual player sees all of its own part at every step", "leave out one of the two"),
)


def _setting(default: Any, means: str, *needs: Need) -> Any:
    """A field with its default, what it means, and what it needs to have an effect: nothing, or each of these."""
    return dataclasses.field(default=default, metadata={"means": means, "needs": needs})


# The groups -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """Who steps, how often and how far."""

    solver: str = _setting("game", "or exact: the path of a linear model, without a game")
    primal: str | None = _setting(None, "sqp or adam; left out: sqp for a narrow linear model of few sums", GAME)
    steps: Any = _setting(None, "of each stage; left out: 100 of sqp (50 of many choices), 600 of adam", STEPS)  # noqa: RUF009
    learning_rate: float = _setting(0.03, "of Adam; falls to a tenth by a cosine", STEPS, RATES)
    weight_decay: float | None = _setting(
        None, "L2 penalty, not of intercepts: weight_decay / 2 * |params|^2 nats; left out: chosen by the data"
    )
    interactions: float | None = _setting(
        None, "times as much that products with context are punished, inf: none; left out: chosen", PRODUCTS
    )
    width: float | None = _setting(None, "share of the hidden units that are there; left out: chosen", WIDTHS)
    temperature_start: float = _setting(1.0, "of the soft decisions that are differentiated, at the first step", STEPS)
    temperature: Any = _setting(None, "and at the last; left out: 0.7 of sqp, 0.05 of adam", STEPS)  # noqa: RUF009


@dataclasses.dataclass(frozen=True)
class Multipliers:
    """The dual player."""

    dual: str = _setting("nupi", "or ascent", GAME, ADAM)
    dual_data: str = _setting("train", "or own: it sees the dual part, which then does not join train", GAME)
    dual_rate: Any = _setting(None, "how fast multipliers follow a violation; left out: 0.03", GAME, ADAM)  # noqa: RUF009
    dual_proportional: float = _setting(0.5, "nuPI's proportional term", GAME, ADAM, NUPI)
    cap: float = _setting(100.0, "largest multiplier", GAME)
    memory: float = _setting(0.9, "how much of the running rates is kept a step", GAME, ADAM, SHARED, BATCHES)
    margin: float = _setting(
        0.01, "multipliers aim at (1 - margin) * bound, so as not to rest just above the bound", GAME
    )


@dataclasses.dataclass(frozen=True)
class Batching:
    """What a step sees at once."""

    batch: int | None = _setting(None, "choices per step; left out: all of them", STEPS, BATCHES)
    microbatch: int | None = _setting(None, "choices worked on at once, for less memory; left out: the batch", STEPS)
    compute: str = _setting("float32", "or bfloat16: of rewards during steps; evaluations stay exact", STEPS)


@dataclasses.dataclass(frozen=True)
class Selection:
    """When iterates are evaluated, and what is returned."""

    every: Any = _setting(  # noqa: RUF009
        None, "steps between two evaluations; left out: 1, of batches as many as see all choices", STEPS
    )
    solution: str = _setting(
        "best", "or last, average, mixture: what is returned, one iterate or a draw of several", GAME
    )
    rule: str = _setting(
        "argmax", "or softmax(temperature=T), kl_tilted(beta=B), best_of(n=N): decisions that the bound is about", GAME
    )
    candidates: str = _setting("", "what a set is, enumerated or sampled, where the schema does not say it", GAME, RULE)
    max_ties: float = _setting(0.01, "share of choices that a candidate may decide by a tie")
    tighten: Any = _setting(  # noqa: RUF009
        0.0, "a heuristic: hold bounds tighter by so many standard errors of group sizes; or chosen, by cross-fitting"
    )


GROUPS: dict[str, type] = {group.__name__.lower(): group for group in (Optimiser, Multipliers, Batching, Selection)}


@dataclasses.dataclass(frozen=True)
class Settings(Selection, Batching, Multipliers, Optimiser):  # fields come from the last to the first
    """How a trial is trained; the defaults are meant for every data set. `faro settings list` says what each means."""

    def __post_init__(self) -> None:
        for name, renamed in OLD.items():
            old = getattr(self, name)
            if old in tuple(renamed):
                object.__setattr__(self, name, renamed[old])
                message = f"{name} = {old} is {renamed[old]} now; the old value goes with the next release"
                warnings.warn(message, FutureWarning, stacklevel=3)

    @property
    def decides(self) -> DecisionRule:
        """The decision rule that the dual player, statuses and figures see; `UsageError` for a text that is none."""
        return named_rule(self.rule, self.candidates)

    @property
    def second_order(self) -> bool:
        """Whether the primal player takes second-order steps; of `filled` settings."""
        return self.primal == "sqp"

    @property
    def evaluations(self) -> int:
        """Evaluations per stage of `filled` settings, whose steps are at least as many as `steps`."""
        return -(-self.steps // (self.every or 1))

    def filled(self, primal: str = "adam", rows: int | None = None, shards: int = 1) -> Settings:
        """What is left open filled as suits it; `UsageError` for fewer steps than there are between two evaluations.

        primal: the primal player, unless one is named
        rows: train choices that a step draws from, of each shard; None: not known yet, and `every` stays open
        shards: into which the train choices are cut
        """
        player = self.primal or primal
        open_ = {name: value for name, value in PRIMAL[player].items() if getattr(self, name) is None}
        filled = dataclasses.replace(self, primal=player, **open_)
        if filled.every is None and rows is not None:
            seen_by = rows // (filled.batch or rows or 1)  # so many steps
            most = filled.steps // (LEAST_EVALUATIONS * shards)
            filled = dataclasses.replace(filled, every=max(1, min(seen_by, most)))
        if filled.every is not None and filled.every > filled.steps:
            raise UsageError(f"every ({filled.every}) must not exceed steps ({filled.steps})")
        return filled

    def suiting(self, stated: Mapping[str, Any]) -> Settings:
        """What is left open filled as a model states it; evaluations are still several, however few the steps.

        stated: `Model.settings`, of settings that can be left open; else `UsageError`
        """
        open_ = [field.name for field in dataclasses.fields(self) if field.default is None]
        if closed := [name for name in stated if name not in open_]:
            raise UsageError(f"a model states {closed[0]!r}, and only these can be left to it: {', '.join(open_)}")
        given = {name: value for name, value in stated.items() if getattr(self, name) is None}
        if "every" in given and self.steps is not None:
            given["every"] = max(1, min(given["every"], self.steps // LEAST_EVALUATIONS))
        return dataclasses.replace(self, **given) if given else self

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from plain values; `UsageError` for an unknown name or a value that cannot be.

        values: by name, or by group and name, as {"steps": 300, "batching": {"batch": 256}}
        """
        values, fields = flat(values), {field.name: field for field in dataclasses.fields(cls)}
        if values.get("interactions") == "inf":  # as JSON has it
            values["interactions"] = math.inf
        for name, value in values.items():
            _check(name, value, fields[name].default)
        settings = cls(**values)
        named_rule(settings.rule, settings.candidates or CANDIDATES[0])  # what sets are, the data may say later
        if settings.candidates:
            named_rule("argmax", settings.candidates)
        if settings.steps is not None:
            settings.filled()  # every does not exceed them
        if settings.batch and settings.microbatch and settings.batch % settings.microbatch:
            raise UsageError(
                f"batch ({settings.batch}) must be a multiple of microbatch ({settings.microbatch}), or be left out"
            )
        return settings

    def check_effect(self, use: Use) -> None:
        """`UsageError` for a value other than the default that can have no effect: why, and what to do.

        use: what these settings are used for
        """
        for field in dataclasses.fields(self):
            value, need = getattr(self, field.name), lacking(field, use)
            if need is not None and value != field.default:
                why, instead = need.lacking(use)
                raise UsageError(f"{field.name} = {value}: can have no effect, for {why}; {instead}")


def lacking(field: dataclasses.Field, use: Use) -> Need | None:
    """The first thing that this setting needs and the use lacks; None if it has an effect."""
    return next((need for need in field.metadata["needs"] if not need.holds(use)), None)


def listing() -> list[dict[str, Any]]:
    """Every setting: group, name, default, when it matters, what it means."""
    return [
        {
            "group": name,
            "name": field.name,
            "default": field.default,
            "matters": ", ".join(need.words for need in _said(field.metadata["needs"])) or "always",
            "means": field.metadata["means"],
        }
        for name, group in GROUPS.items()
        for field in dataclasses.fields(group)
    ]


def _said(needs: tuple[Need, ...]) -> list[Need]:
    """Those that a reader is told: with Adam there is a game."""
    weaker = {GAME} if ADAM in needs else {STEPS} if RATES in needs else set()
    return [need for need in needs if need not in weaker]


# From what people write -----------------------------------------------------------------------------------------------


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, from values by name or by group and name; `UsageError` for an unknown name or one given twice."""
    groups = {field.name: name for name, group in GROUPS.items() for field in dataclasses.fields(group)}
    named: dict[str, Any] = {}
    for outer, value in values.items():
        if outer in GROUPS and not isinstance(value, Mapping):
            raise UsageError(f"{outer}: expected a table of settings, got {value!r}")
        for name, inner in value.items() if outer in GROUPS else [(outer, value)]:
            if name not in groups:
                raise UsageError(f"unknown setting {name!r} (known: {', '.join(groups)})")
            if outer in GROUPS and groups[name] != outer:
                raise UsageError(f"unknown setting {name!r} of {outer}; it is one of {groups[name]}")
            if name in named:
                raise UsageError(f"setting {name!r} is given twice; leave one out")
            named[name] = inner
    return named


def assigned(texts: Iterable[str]) -> dict[str, Any]:
    """Values by name, from "NAME=VALUE" or "GROUP.NAME=VALUE" with the values of TOML, or a bare word."""
    named: dict[str, Any] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text}: expected NAME=VALUE, as batch=256")
        group, dot, name = place.strip().rpartition(".")
        if dot and group not in GROUPS:
            raise UsageError(f"{text}: unknown group {group!r} of settings (known: {', '.join(GROUPS)})")
        assignment = flat({group: {name: _value(value)}} if dot else {name: _value(value)})
        if twice := assignment.keys() & named.keys():
            raise UsageError(f"setting {twice.pop()!r} is given twice; leave one out")
        named |= assignment
    return named


def _value(text: str) -> Any:
    """A value as TOML writes it; else the text."""
    try:
        read = parse_toml(f"value = {text}".encode())
    except ValueError:
        return text.strip()
    return read["value"] if read.keys() == {"value"} else text


def _check(name: str, value: Any, default: Any) -> None:
    if value is None and default is None:
        return
    if name in CHOICES:
        if value not in (*CHOICES[name], *OLD.get(name, ())):
            raise UsageError(f"{name}: expected one of {', '.join(CHOICES[name])}, got {value!r}")
        return
    if name in TEXTS:
        if not isinstance(value, str):
            raise UsageError(f"{name}: expected a text, got {value!r}")
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    number = number and (math.isfinite(value) or (name == "interactions" and value > 0))
    number |= name == "tighten" and value == "chosen"
    if number and isinstance(value, str):
        return
    whole = isinstance(default, int) or name in WHOLE
    if name in SHARES and number and not _within(value, SHARES[name]):
        raise UsageError(f"{name}: expected a share {SHARES[name]}, got {value!r}")
    wrong = not number or value < 0 or (name in POSITIVE and value <= 0)
    if wrong or (whole and (value != int(value) or value < 1)):
        raise UsageError(f"{name}: expected a {'whole ' if whole else ''}number above 0, got {value!r}")


def _within(value: float, interval: str) -> bool:
    """Whether it is between 0 and 1, or one of the ends that belong to an interval, as "(0, 1]" ends with."""
    least, most = interval[-len("[0, 1]")], interval[-1]
    return 0 < value < 1 or (value == 0 and least == "[") or (value == 1 and most == "]")
