"""From a frontier to one model that will pass: which members a policy's gate may certify, and which to ask about.

`choose_point` foretells every member from its dev people (`dev_people`, `predicted`) and names the one of highest
accuracy, against the unconstrained member of its seed, whose chance of passing is at least .9, or else the likeliest.
A sequence is a list instead, fixed beforehand, safest first: each is tested at the whole delta, and the first that
fails ends it (`ledger`).

Of the gate part nothing is read. The dev figures of what is chosen were used to choose it, so that they flatter.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError
from ..store import columns
from ..store.choice import SCHEMA, USED
from ..store.model import load_model
from ..store.run import Run
from ..store.saved import model_files
from .dev_people import RATIO, DevPeople, read_dev
from .frontier import read_data
from .policy import Policy
from .predicted import WANTED, Choice, Draws, Gate, choose

LEAST = 0.05  # chance of a member that ends a sequence
MOST = 1000  # times as many people, beyond which none would do


@dataclasses.dataclass(frozen=True)
class Member:
    """A model of a run.

    model     its name below the folder, by which members are told apart
    seed      of its split
    bounds    that it answers, ascending
    accuracy  on dev, `gap` the largest there
    utility   accuracy less that of the unconstrained member of its seed, with its 95 % limits
    chance    of passing, before the price of a choice
    blind     why its decisions can tell no groups apart, or ""
    """

    model: str
    seed: int
    bounds: tuple[float, ...]
    accuracy: float
    gap: float
    utility: float
    low: float
    high: float
    chance: float
    blind: str


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What `faro choose` says.

    members   all of them, in the order of the run
    chosen    one of them
    stated    its chance of passing, less the price of choosing it
    reached   whether that is as much as was wanted
    following the member of the next higher utility that is worth asking for, None if there is none
    needed    times as many people, on dev and at the gate, with which that would pass; None: no number would do
    sequence  members, safest first, and the chance that the test gets to certify each
    units     what the run calls its people
    """

    members: list[Member]
    chosen: Member
    stated: float
    reached: bool
    wanted: float
    level: float
    following: Member | None
    needed: float | None
    sequence: list[tuple[Member, float]]
    units: str


def choose_point(folder: Path, policy: Policy, level: float, source: Any = None, wanted: float = WANTED) -> Chosen:
    """The member of a run to ask a policy's gate about.

    folder  of the run
    policy  what is asked of people
    level   error probability that the gate will spend on it
    source  of the data, where faro does not know them by name
    wanted  least chance of passing

    `DataError` for a run without a member that can be scored, `UsageError` for a claim that no rates foretell.
    """
    run = Run.read(folder)
    rows = members_of(run.trials)
    if not rows:
        raise DataError(f"{folder}: every member DIVERGED: there is nothing to choose")
    models = [load_model(folder / name) for name in rows]
    data = read_data(folder, models[0], source)
    names, seeds = list(rows), [int(run.trials["seed"].iloc[own[0]]) for own in rows.values()]
    free = {seeds[m]: m for m, own in enumerate(rows.values()) if np.isinf(run.trials["bound"].iloc[own]).any()}
    base = np.array([free.get(seed, -1) for seed in seeds] if set(free) == set(seeds) else [-1] * len(seeds))
    dev = read_dev(data, models, [model_files(folder / name) for name in names], policy, base)
    gate, draws = dev.gate(), dev.draws()
    smallest = [run.trials["bound"].iloc[own].min() for own in rows.values()]
    alike = np.unique(smallest, return_inverse=True)[1]  # members of one bound differ by their seed alone
    found = choose(gate, draws, dev.utility, dev.measure(level), alike, RATIO, wanted)
    members = [_member(run, name, own, m, dev, draws, found) for m, (name, own) in enumerate(rows.items())]
    accuracy = np.array([own.accuracy for own in members])
    after = _following(found, dev.utility)
    needed = None if after is None else people_needed(found.gate, draws, after, wanted)
    listed = [(members[m], chance) for m, chance in _sequence(found, draws, dev.utility, accuracy)]
    next_one = None if after is None else members[after]
    return Chosen(
        members, members[found.member], found.stated, found.reached, wanted, level, next_one, needed, listed, run.units
    )


def members_of(table: pd.DataFrame) -> dict[str, list[int]]:
    """Rows of frontier.csv by model, of models that did not diverge; a model may answer several bounds."""
    found: dict[str, list[int]] = {}
    for row, (name, status) in enumerate(zip(table["model"], table["status"], strict=True)):
        if status != "DIVERGED":
            found.setdefault(str(name), []).append(row)
    return found


def _member(run: Run, name: str, rows: list[int], m: int, dev: DevPeople, draws: Draws, found: Choice) -> Member:
    table = run.trials
    low, high = np.quantile(draws.utility[:, m], [0.025, 0.975])
    return Member(
        name, int(table["seed"].iloc[rows[0]]), tuple(sorted(float(table["bound"].iloc[row]) for row in rows)),
        float(table[columns.figure("dev", "accuracy")].iloc[rows[0]]), float(run.gap("dev")[rows[0]]),
        float(dev.utility[m]), float(low), float(high), float(found.chances[m]), dev.blind[m],
    )  # fmt: skip


def _following(found: Choice, utility: np.ndarray) -> int | None:
    """The likeliest member of higher utility than the one that is chosen; of equals the better."""
    better = np.flatnonzero(utility > utility[found.member])
    if not len(better):
        return None
    return int(better[np.lexsort((utility[better], found.chances[better]))[-1]])


def people_needed(gate: Gate, draws: Draws, member: int, wanted: float) -> float | None:
    """How many times as many people, on dev and at the gate, give a member this chance; None above `MOST`."""
    middle = draws.once.mean(0)[[member]]
    moved = draws.twice[:, [member]] - middle
    here = gate._replace(size=gate.size[[member]])

    def chance(times: float) -> float:
        return float(here._replace(size=here.size * times).passes(middle + moved / np.sqrt(times)).mean())

    if chance(MOST) < wanted:
        return None
    low, high = 1.0, float(MOST)
    while high / low > 1.02:
        between = float(np.sqrt(low * high))
        low, high = (low, between) if chance(between) >= wanted else (between, high)
    return high


def _sequence(found: Choice, draws: Draws, utility: np.ndarray, accuracy: np.ndarray) -> list[tuple[int, float]]:
    """Members that are each of higher utility than all before, safest first, and how likely a test gets to certify
    each."""
    order = sorted(range(len(utility)), key=lambda m: (-found.chances[m], -utility[m]))
    listed: list[int] = []
    for m in order:
        if found.chances[m] >= LEAST and (not listed or utility[m] > utility[listed[-1]]):
            listed.append(m)
    passed = found.gate.passes(draws.twice)

    def expected(members: list[int]) -> float:
        """Mean accuracy of the last member that is certified, 0 where none is."""
        got = np.cumprod(passed[:, members], 1).sum(1)
        return float(np.concatenate([[0.0], accuracy[members]])[got].mean())

    while len(listed) > 1:  # a member between two others may cost more, by ending the sequence, than it brings
        fewer = [listed[:place] + listed[place + 1 :] for place in range(1, len(listed))]
        best = max(fewer, key=expected)
        if expected(best) < expected(listed):
            break
        listed = best
    return [(m, float(passed[:, listed[: place + 1]].all(1).mean())) for place, m in enumerate(listed)]


def record_of(found: Chosen, policy: Policy, models: list[str]) -> dict[str, Any]:
    """choice.json: the models that the gate is to be asked about, in this order, and what was foretold of them."""
    foretold = {own.model: own for own in found.members}
    named = [foretold[name] for name in dict.fromkeys([found.chosen.model, *models])]
    return {
        "schema": SCHEMA,
        "policy_sha256": policy.sha256,
        "level": found.level,
        "wanted": found.wanted,
        "models": models,
        "chosen": found.chosen.model,
        "stated": found.stated,
        "dev_figures": USED,
        "members": [
            dataclasses.asdict(own) | {"bounds": [bound if np.isfinite(bound) else None for bound in own.bounds]}
            for own in named
        ],
    }
