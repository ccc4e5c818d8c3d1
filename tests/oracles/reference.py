"""Every notion of the catalogue counted alternative by alternative in plain Python. It shares nothing with the package.

`measure(notion, alternatives, levels, ...)` gives every row by its label, and the gap. `alternatives(world)` lists
those that count, with what people and the model made of them; `world` has plain arrays of choices and rewards.
"""

import configparser
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

SETUP = configparser.ConfigParser()
SETUP.read(Path(__file__).parents[2] / "setup.cfg")
DECLARED = SETUP["options.entry_points"]["faro.constraints"].strip().split("\n")
OF_PEOPLE = (
    "welfare_floor",
    "accuracy_parity",
    "person_exchange",
)  # of whole choices: test_welfare.py, test_exchange.py
NOTIONS = [line.partition("=")[0].strip() for line in DECLARED]
NOTIONS = [name for name in NOTIONS if name not in OF_PEOPLE]  # the names of the catalogue, of alternatives


def alternatives(world):
    """One record per alternative that is available, no outside option, and in a row that counts."""
    found = []
    for i, row in enumerate(world.rewards.tolist()):
        live = [k for k in range(len(row)) if world.available[i, k]]
        probability, exposure, decision = probabilities(row, live), exposures(row, live), best(row, live)
        for k in live:
            if world.outside[i, k] or world.weight[i] == 0:
                continue
            found.append(
                SimpleNamespace(
                    weight=float(world.weight[i]),
                    label=float(world.chosen[i, k]),
                    codes={name: int(codes[i, k]) for name, codes in world.codes.items()},
                    reward=row[k],
                    decision=decision[k],
                    probability=probability[k],
                    exposure=exposure[k],
                    valid={name: bool(twin.valid[i, k].all()) for name, twin in world.twins.items()},
                    twins={name: twins(row, live, k, twin, i) for name, twin in world.twins.items()},
                )
            )
    return found


def best(row, live):
    """{alternative: share of the decision}: ties share equally."""
    winners = [k for k in live if row[k] == max(row[j] for j in live)]
    return {k: (k in winners) / len(winners) for k in live}


def probabilities(row, live):
    return {k: math.exp(row[k]) / sum(math.exp(row[j]) for j in live) for k in live}


def exposures(row, live):
    """Mean over all orders that the rewards allow of 1 / log2(1 + rank), as a share of the whole choice's."""
    orders = [o for o in itertools.permutations(live) if all(row[a] >= row[b] for a, b in itertools.pairwise(o))]
    value = {k: sum(1 / math.log2(2 + order.index(k)) for order in orders) / len(orders) for k in live}
    return {k: value[k] / sum(value.values()) for k in live}


def twins(row, live, k, twin, i):
    """Per level: (reward, decision) of alternative k when it alone is set to the level, or when its chooser is."""
    found = []
    for level in range(twin.rewards.shape[-1]):
        world = list(row)
        for j in live if twin.chooser else [k]:
            world[j] = float(twin.rewards[i, j, level])
        found.append((world[k], best(world, live)[k]))
    return found


# Rates ----------------------------------------------------------------------------------------------------------------


def rate(members, value, share=lambda a: 1.0):
    """Weighted mean of `value` over the members, each counting with its share; None if there is nothing."""
    mass = sum(a.weight * share(a) for a in members)
    return sum(a.weight * share(a) * value(a) for a in members) / mass if mass else None


def precision(members):
    return rate(members, lambda a: a.label, lambda a: a.decision)


def joined(name, *rest):
    named = ", ".join(word for word in rest if word)
    return f"{name} | {named}" if named else name


def strata(people, levels, of, within):
    """{name of the stratum: its members}, among alternatives of a kind."""
    people = [a for a in people if of is None or a.codes[of[0]] == levels[of[0]].index(of[1])]
    if within is None:
        return {"": people}
    return {f"{within}={name}": [a for a in people if a.codes[within] == s] for s, name in enumerate(levels[within])}


def groups(members, levels, attribute):
    """{name of the group: its members}; everyone is one group without an attribute."""
    if attribute is None:
        return {"everyone": members}
    named = enumerate(levels[attribute])
    return {f"{attribute}={name}": [a for a in members if a.codes[attribute] == g] for g, name in named}


def sigma(x):
    return 1 / (1 + math.exp(-x))


def everyone(a):
    return 1.0


def voted(a):
    return a.label


def unvoted(a):
    return 1 - a.label


def decided(a):
    return a.decision


def events(notion, scale=1.0, thresholds=()):
    """The (name, share, value) whose rates a parity notion compares."""
    chosen, rejected = ("chosen", voted, decided), ("rejected", unvoted, decided)
    return {
        "demographic_parity": [("", everyone, decided)],
        "equalized_odds": [chosen, rejected],
        "equal_opportunity": [chosen],
        "predictive_equality": [rejected],
        "reward_parity": [("", everyone, lambda a: sigma(a.reward / scale))],
        "threshold_parity": [(f"reward>{t:g}", everyone, lambda a, t=t: a.reward > t) for t in thresholds],
        "exposure_parity": [("", everyone, lambda a: a.exposure)],
    }[notion]


def parity(tables, form):
    """Rows and gap from {block: {group: (rate, mass)}}, in which a rate may be None."""
    rows, gap = {}, 0.0
    for block, table in tables.items():
        known = {name: value for name, (value, _) in table.items() if value is not None}
        low, high = (min(known.values()), max(known.values())) if known else (0.0, 0.0)
        gap = max(gap, high - low)
        if form == "anchored" and known:
            centre = sum(value * mass for value, mass in table.values() if mass) / sum(m for _, m in table.values())
        else:
            centre = (low + high) / 2
        for name in table:
            if form == "pairwise":
                for other in set(table) - {name}:
                    both = name in known and other in known
                    rows[joined(f"{name} over {other}", block)] = known[name] - known[other] if both else 0.0
            else:
                far = 2 * (known[name] - centre) if name in known else 0.0
                rows[f"high {joined(name, block)}"], rows[f"low {joined(name, block)}"] = far, -far
    return rows, gap


# The notions ----------------------------------------------------------------------------------------------------------


def measure(notion, people, levels, attribute=None, of=None, within=None, bound=0.5, form="centred", **options):
    """({label: measurement}, gap) of a notion; attributes are named, `of` is (attribute, level)."""
    cells = {s: groups(members, levels, attribute) for s, members in strata(people, levels, of, within).items()}
    if notion == "counterfactual_parity":
        return parity(set_to(people, levels, attribute, of, within), form)
    if notion in ("counterfactual_flip", "counterfactual_oscillation"):
        tables = set_to(people, levels, attribute, of, within, difference=(notion, options))
        rows = {joined(name, s): value or 0.0 for s, table in tables.items() for name, (value, _) in table.items()}
        return rows, max(rows.values())
    if notion == "predictive_parity":
        return precisions(cells)
    if notion in ("rate_ratio", "precision_floor", "calibration"):
        rows = {}
        for s, table in cells.items():
            for name, members in table.items():
                rows[joined(name, s)] = alone(notion, members, table.values(), bound, **options)
        floor = [1 - precision(m) for t in cells.values() for m in t.values() if precision(m) is not None]
        return rows, max(floor if notion == "precision_floor" else rows.values())
    if notion in ("rate_cap", "rate_floor", "group_error", "group_loss"):
        return caps(notion, cells, **options)
    tables = {}
    for event, share, value in events(notion, **options):
        for s, table in cells.items():
            block = ", ".join(word for word in (event, s) if word)
            tables[block] = {
                name: (rate(members, value, share), sum(a.weight * share(a) for a in members))
                for name, members in table.items()
            }
    return parity(tables, form)


def set_to(people, levels, attribute, of, within, difference=None):
    """{stratum: {level: (mean, mass)}} of decisions on alternatives set to a level; or, of those that are not at it, of
    the difference that it makes."""
    people = [a for a in people if a.codes[attribute] >= 0 and a.valid[attribute]]
    tables = {}
    for s, members in strata(people, levels, of, within).items():
        for level, name in enumerate(levels[attribute]):
            if difference is None:
                those, value = members, lambda a, level=level: a.twins[attribute][level][1]
            else:
                those = [a for a in members if a.codes[attribute] != level]
                value = differing(attribute, level, *difference)
            own = rate(those, value), sum(a.weight for a in those)
            tables.setdefault(s, {})[f"{attribute}:={name}"] = own
    return tables


def differing(attribute, level, notion, options):
    def flip(a):
        return abs(a.twins[attribute][level][1] - a.decision)

    def oscillation(a):
        moved = abs(a.twins[attribute][level][0] - a.reward) / options.get("scale", 1.0)
        return float(moved > 1) if options.get("tail") else min(moved, 1.0)

    return flip if notion == "counterfactual_flip" else oscillation


def precisions(cells):
    """Rows and gap of predictive parity: a group with data and no precision makes the gap 1 where it has company."""
    rows, gap = parity({s: {name: (precision(m), 0.0) for name, m in t.items()} for s, t in cells.items()}, "centred")
    for s, table in cells.items():
        present = [name for name, members in table.items() if members]
        for name in present:
            if precision(table[name]) is None and len(present) > 1:
                gap = rows[f"high {joined(name, s)}"] = rows[f"low {joined(name, s)}"] = 1.0
    return rows, gap


def caps(notion, cells, reference=(0.0,)):
    share, value = {
        "rate_cap": (everyone, decided),
        "rate_floor": (everyone, lambda a: 1 - a.decision),
        "group_error": (voted, lambda a: 1 - a.decision),
        "group_loss": (voted, lambda a: -math.log(a.probability)),
    }[notion]
    rows = {}
    for s, table in cells.items():
        for name, members in table.items():
            own = rate(members, value, share)
            rows[joined(name, s)] = own - reference[len(rows) % len(reference)] if own is not None else 0.0
    return rows, max(rows.values())


def alone(notion, members, rivals, bound, bins=10):
    """A row that is about one group; a group without data measures 0."""
    if not members:
        return 0.0
    mass = sum(a.weight for a in members)
    if notion == "rate_ratio":
        largest = max(rate(m, decided) for m in rivals if m)
        return 1 - rate(members, decided) / largest if largest else 0.0
    if notion == "precision_floor":  # linear: wrong choices beyond the bound's share of all choices
        return sum(a.weight * a.decision * (1 - a.label - bound) for a in members) / mass + bound
    errors = [0.0] * bins
    for a in members:
        errors[min(int(a.probability * bins), bins - 1)] += a.weight * (a.probability - a.label)
    return sum(map(abs, errors)) / mass
