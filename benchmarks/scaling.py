"""How the cost of a sweep grows, and how near it is to what the machine can do: tables and one plot.

    cost      seconds per member and step of a linear sweep, each of n, d, groups and members doubled several times on
              made-up data; the slope on log-log axes (1: linear), and GFLOP/s beside the machine's peak. Counted are
              a step's products with all features, 2 n d operations each per member: two of Adam, forth and back; of
              second order one back for the loss and for each sum. The peak is the best float32 product
    million   one fit of 1,000,000 x 50 with 4 groups: seconds until the train gap is within the bound and the loss
              within 1e-3 of the lowest that anybody reaches there; cooper and ExponentiatedGradient beside it
    network   60 members of MLP(64): seconds per member and step by the number of members that are worked on at once,
              faro's own layout, and one compiled fit after another; whole calls of `faro.train` beside `faro.frontier`

Bars, at the end, are the project's; a missed one ends with 1. `--small` runs all of it on tiny data, to try the code.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct
import faro
from benchmarks import _contenders
from benchmarks.peers import Bar, environment, load, machine
from faro import models
from faro.data.views import View
from faro.runtime import devices
from faro.sweep import Batched, stack
from faro.sweep.execution import MOST_CHUNKS
from faro.training import Data, Game, Settings
from faro.training.primal import suited
from faro.training.settings import CHOICES

TOLERANCE = 1e-3  # nats above the lowest loss at the bound
BASE = {"n": 4000, "d": 20, "groups": 2, "members": 8}
SIZES = {  # of one axis, the others as in BASE
    "n": (4000, 8000, 16_000, 32_000, 64_000),
    "d": (20, 40, 80, 160, 320),
    "groups": (2, 4, 8, 16, 32),
    "members": (1, 2, 4, 8, 16, 32),
}
CHUNKS = (1, 2, 4, 10, 20, 60)


# Parts ----------------------------------------------------------------------------------------------------------------


def made_up(n: int, d: int, groups: int, seed: int = 0) -> tuple[_contenders.Part, ct.Attribute]:
    """Accept or reject; the first feature differs between the groups, so that the unconstrained gap is large."""
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=n)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[:, 0] += np.linspace(-0.8, 0.8, groups)[group]
    w = np.r_[1.0, np.random.default_rng(0).normal(size=d - 1) / np.sqrt(d)]
    y = (x @ w + rng.logistic(size=n) > 0).astype(int)
    return _contenders.Part(x, y, group), ct.Attribute("group", tuple(f"g{i}" for i in range(groups)))


def choices_of(part: _contenders.Part) -> ct.Choices:
    """The same as choices between accepting and the outside option."""
    n = len(part.y)
    outside = np.zeros((n, 2), bool)
    outside[:, 1] = True
    code = np.stack([part.group, np.full(n, -1)], 1)
    return ct.make_choices(
        part.x[:, None], 1 - part.y, available=np.ones((n, 2)), outside=outside, attributes={"group": code}
    )


def best_of(repeats: int, call) -> float:
    """The shortest of so many calls, in seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return min(times)


def peak(size: int, repeats: int = 5) -> float:
    """GFLOP/s of the best product of two float32 matrices `[size, size]`."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(jnp.dot)
    product(a, a).block_until_ready()
    return 2 * size**3 / best_of(repeats, lambda: product(a, a)) / 1e9


def begun(game: Game, constraint, own: Data, members: int):
    """States of so many members before their first step, `[1, members, ...]`, as `Batched.enter` gives them."""
    params = models.initial(game.model, jax.random.key(0), own.train)
    d = sum(leaf.size for leaf in jax.tree.leaves(params))  # second-order steps need a curvature: any will do
    ones = jnp.ones(len(constraint.labels()))
    state = game.initial_state(jax.random.key(0), params, constraint, own, ones, jnp.eye(d))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (1, members, *leaf.shape)), state)


def lanes_of(constraint, bounds) -> ct.Constraint:
    return jax.vmap(constraint.at)(jnp.asarray(bounds, jnp.float32))


# Cost of a linear sweep -----------------------------------------------------------------------------------------------


def cost(n: int, d: int, groups: int, members: int, repeats: int) -> tuple[float, int]:
    """Seconds of a step of all members together, and how many products with all features each member takes."""
    part, attribute = made_up(n, d, groups)
    choices = choices_of(part)
    constraint, mesh = ct.demographic_parity(attribute), devices.mesh(1)
    data = Data(choices, choices.take(slice(0, max(1, n // 5))))
    sweep = Batched.of(Game(models.Linear(), suited(models.Linear(), Settings(), constraint, data)), mesh)
    own = devices.place(stack([data]), devices.on(mesh, None, "data"))
    states = begun(sweep.game, constraint, jax.tree.map(lambda leaf: leaf[0], own), members)
    lanes = lanes_of(constraint, np.geomspace(0.01, 0.3, members))
    steps = sweep.chunk * sweep.game.settings.every
    jax.block_until_ready(sweep.advance(states, lanes, own))
    seconds = best_of(repeats, lambda: sweep.advance(states, lanes, own)) / steps
    return seconds, 2 + (groups if sweep.game.settings.second_order else 0)  # demographic parity sums once a group


def costs(base: dict, axes: dict[str, tuple[int, ...]], repeats: int) -> dict[str, list[dict]]:
    """By axis, a line per size: seconds per member and step, and GFLOP/s."""
    found: dict[str, list[dict]] = {axis: [] for axis in axes}
    for axis, size in ((axis, size) for axis, sizes in axes.items() for size in sizes):
        own = base | {axis: size}
        together, products = cost(**own, repeats=repeats)
        each = together / own["members"]
        speed = products * 2 * own["n"] * own["d"] / each / 1e9
        found[axis].append({"size": size, "seconds": each, "speed": speed, "products": products})
    return found


def slope(rows: list[dict]) -> float:
    """Of log seconds against log size, over the larger half: small sizes are overhead."""
    last = rows[-max(2, len(rows) // 2 + 1) :]
    return float(np.polyfit(np.log([r["size"] for r in last]), np.log([r["seconds"] for r in last]), 1)[0])


def cost_table(found: dict[str, list[dict]], best: float) -> str:
    """Markdown: what doubling a size does to the cost of a member and step."""
    lines = [
        "| | size | products | us per member and step | ratio to the first | GFLOP/s | of the peak | slope |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for axis, rows in found.items():
        for i, row in enumerate(rows):
            last = f"{slope(rows):.2f}" if i == len(rows) - 1 else ""
            figures = f"{1e6 * row['seconds']:.1f} | {row['seconds'] / rows[0]['seconds']:.2f} | {row['speed']:.1f}"
            lines.append(
                f"| {axis} | {row['size']:,} | {row['products']} | {figures} | {row['speed'] / best:.0%} | {last} |"
            )
    return "\n".join(lines)


# One large fit --------------------------------------------------------------------------------------------------------


def large(n: int, d: int, groups: int, bound: float, primal: str | None = None) -> tuple[list[dict], float]:
    """A line per method: `seconds` to the target, `step` seconds, `gap` and `loss` there; and the lowest loss."""
    part, attribute = made_up(n, d, groups)
    paths = {"faro": faro_path(part, attribute, bound, primal)}
    try:
        paths["cooper"] = cooper_path(part, bound)
    except ImportError as error:
        paths["cooper"] = {"missing": str(error)}
    within = [loss for own in paths.values() for _, loss, gap in own.get("path", []) if gap <= bound]
    lowest = min(within, default=float("nan"))
    lines = []
    for name, own in paths.items():
        reached = [seen for seen in own.get("path", []) if seen[2] <= bound and seen[1] <= lowest + TOLERANCE]
        lines.append({"name": name, **own, "reached": reached[0] if reached else None})
    try:
        fit = _contenders.of_exponentiated_gradient()
        problem = _contenders.Problem(None, 0, "demographic_parity", "group", {"train": part})
        began = time.perf_counter()
        with _contenders.quietly():
            model = fit(problem, [bound], {})[0]
        seconds = time.perf_counter() - began
        gap = _contenders.figures(problem, model)["train_gap"]
        lines.append({"name": "ExponentiatedGradient", "reached": (seconds, float("nan"), gap)})
    except ImportError as error:
        lines.append({"name": "ExponentiatedGradient", "missing": str(error), "reached": None})
    return lines, lowest


def faro_path(part: _contenders.Part, attribute: ct.Attribute, bound: float, primal: str | None) -> dict:
    """Seconds, train loss and train gap at every look, from nothing; compiling apart."""
    constraint, mesh = ct.demographic_parity(attribute, bound), devices.mesh(1)
    choices = choices_of(part)
    data = Data(choices, choices.take(slice(0, len(part.y) // 10)))
    sweep = Batched.of(Game(models.Linear(), suited(models.Linear(), Settings(primal=primal), constraint, data)), mesh)
    own = devices.place(stack([data]), devices.on(mesh, None, "data"))
    lanes, asked = lanes_of(constraint, [bound]), (jnp.asarray([0]), constraint, jnp.zeros(1))
    began = time.perf_counter()
    *_, first = sweep.start.ahead(*asked, own)
    sweep.advance.ahead(first, lanes, own)
    for program in (sweep.start, sweep.advance):
        program.wait()
    compiling = time.perf_counter() - began
    began, path = time.perf_counter(), []
    *_, states = jax.block_until_ready(sweep.start(*asked, own))
    steps = sweep.chunk * sweep.game.settings.every
    begun_at = time.perf_counter() - began
    at = begun_at
    for _ in range(10):
        states, look = jax.block_until_ready(sweep.advance(states, lanes, own))
        now = time.perf_counter() - began
        losses, gaps = np.ravel(look.loss), np.asarray(look.gap)[0, 0].max(-1)
        moments = at + (now - at) * np.arange(1, len(losses) + 1) / len(losses)
        path += list(zip(moments.tolist(), losses.tolist(), gaps.tolist(), strict=True))
        at = now
    return {"path": path, "step": (at - begun_at) / (10 * steps), "compiling": compiling, "before": begun_at}


def cooper_path(part: _contenders.Part, bound: float) -> dict:
    """The same of cooper's game, at every step."""
    import cooper
    import torch

    problem = _contenders.Problem(None, 0, "demographic_parity", "group", {"train": part})
    game = _contenders.lagrangian(problem, bound, cooper, torch)
    primal, dual = (
        torch.optim.Adam([game.w], lr=0.05),
        torch.optim.SGD(list(game.dual_parameters()), 0.01, maximize=True),
    )
    optimizer, path = cooper.optim.SimultaneousOptimizer(game, primal, dual), []
    began = time.perf_counter()
    for _ in range(_contenders.STEPS):
        ridge = _contenders.RIDGE / 2 * float((game.w.detach()[:-1] ** 2).sum())
        seen = optimizer.roll()
        (state,) = seen.cmp_state.observed_constraints.values()
        gap = float(state.strict_violation.detach().max()) + bound
        path.append((time.perf_counter() - began, float(seen.loss.detach()) - ridge, gap))
    return {"path": path, "step": path[-1][0] / _contenders.STEPS}


def large_table(lines: list[dict], lowest: float) -> str:
    """Markdown: who reaches the target when."""
    out = [f"lowest loss within the bound: {lowest:.5f}", "", "| | seconds to the target | ms a step | loss | gap | |"]
    out.append("|---|---|---|---|---|---|")
    for line in lines:
        step = f"{1e3 * line['step']:.1f}" if line.get("step") else ""
        remark = f"compiling apart: {line['compiling']:.1f} s" if "compiling" in line else ""
        remark += f"; {line['before']:.1f} s of it unconstrained" if "before" in line else ""
        if "missing" in line:
            out.append(f"| {line['name']} | not installed | | | | {line['missing']} |")
        elif line["reached"] is None:
            out.append(f"| {line['name']} | not reached | {step} | | | {remark} |")
        else:
            seconds, loss, gap = line["reached"]
            shown = "" if np.isnan(loss) else f"{loss:.5f}"
            out.append(f"| {line['name']} | {seconds:.2f} | {step} | {shown} | {gap:.4f} | {remark} |")
    return "\n".join(out)


def large_bars(lines: list[dict]) -> list[Bar]:
    """Not slower than cooper, at least 5 times as fast as ExponentiatedGradient; of those that are installed."""
    by = {line["name"]: line for line in lines}
    own, kept = by["faro"]["reached"], []
    for name, least in (("cooper", 1), ("ExponentiatedGradient", 5)):
        if "missing" in by[name]:
            continue
        theirs = by[name]["reached"]
        never = float("inf") if own and not theirs else None  # who never gets there is slower than any
        ratio = theirs[0] / own[0] if own and theirs else never
        kept.append(Bar(f"one large fit: {name} / faro", ratio, least))
    return kept


# A sweep of networks --------------------------------------------------------------------------------------------------


def network(data, members: int, width: int, chunks: tuple[int, ...], rounds: int, repeats: int) -> list[dict]:
    """A line per layout: seconds per member and step, speed, and the mean loss and gap of the last look."""
    game = Game(models.MLP((width,)), Settings.of({"steps": MOST_CHUNKS * rounds, "every": 1}))
    constraint = ct.demographic_parity(data.attributes[data.defaults.get("attribute", "group")])
    view, mesh = View.of(data, 0), devices.mesh(1)
    parts = Data(*(data.choices(view.coding, view.rows[part]) for part in ("train", "selection")))
    own = devices.place(stack([parts]), devices.on(mesh, None, "data"))
    alone = jax.tree.map(lambda leaf: leaf[0], own)
    sweep = Batched.of(game, mesh)
    states = begun(game, constraint, alone, members)
    lanes, steps = lanes_of(constraint, np.geomspace(0.01, 0.3, members)), rounds * game.settings.every

    def play(pair):
        return last(game.advance(*pair, alone, rounds)[1])

    def last(look):  # what the layouts are compared by
        return look.loss[..., -1], look.gap[..., -1, 0]

    inside = jax.tree.map(lambda leaf: leaf[0], states)

    def chunked(size: int):
        program = jax.jit(lambda states, lanes: jax.lax.map(play, (states, lanes), batch_size=size))
        return lambda: program(inside, lanes)

    single = jax.jit(lambda state, lane: play((state, lane)))
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], (inside, lanes)) for i in range(members)]

    def one_by_one():
        done = [jax.block_until_ready(single(*pair)) for pair in each]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *done)

    layouts = {
        "one after another": one_by_one,
        "faro": lambda: last(sweep.advance(states, lanes, own)[1]),
    }
    layouts |= {f"chunks of {size}": chunked(size) for size in chunks}
    results = {name: jax.block_until_ready(call()) for name, call in layouts.items()}  # compiled before it is timed
    times: dict[str, list[float]] = {name: [] for name in layouts}
    for _ in range(repeats):  # alternating
        for name, call in layouts.items():
            times[name].append(best_of(1, call))
    n, d = alone.train.shape[0], alone.train.items.shape[-1]
    lines = []
    for name, own_times in times.items():
        seconds = statistics.median(own_times) / members / steps
        figures = dict(zip(("loss", "gap"), (float(jnp.mean(figure)) for figure in results[name]), strict=True))
        lines.append({"name": name, "seconds": seconds, "speed": n * width * (4 * d + 6) / seconds / 1e9, **figures})
    return lines


def whole_calls(data, members: int, width: int, steps: int, calls: int) -> tuple[float, float]:
    """Seconds per model of one `faro.frontier`, and of `faro.train` again and again, both compiled before."""
    bounds, settings, name = np.geomspace(0.01, 0.3, members).tolist(), {"steps": steps}, f"mlp:{width}"

    def sweep():
        faro.frontier(data, bounds=bounds, seeds=1, model=name, settings=settings)

    def fits(count):
        for bound in bounds[:count]:
            faro.train(data, bound=bound, model=name, settings=settings)

    sweep()
    fits(1)
    together, alone = best_of(1, sweep) / members, best_of(1, lambda: fits(calls)) / calls
    return together, alone


def network_table(name: str, lines: list[dict], best: float) -> str:
    """Markdown: what each layout costs, beside one fit after another."""
    base = next(line for line in lines if line["name"] == "one after another")
    out = [f"| {name} | ms per member and step | times as fast as one after another | of the peak | loss | gap |"]
    out.append("|---|---|---|---|---|---|")
    for line in lines:
        figures = f"{1e3 * line['seconds']:.3f} | {base['seconds'] / line['seconds']:.2f} | {line['speed'] / best:.0%}"
        out.append(f"| {line['name']} | {figures} | {line['loss']:.4f} | {line['gap']:.4f} |")
    return "\n".join(out)


def network_bars(name: str, lines: list[dict], calls: tuple[float, float]) -> list[Bar]:
    """1.4 times as fast as one after another, within 10 % of the best layout, and models as good."""
    by = {line["name"]: line for line in lines}
    base, own = by["one after another"], by["faro"]
    best = min(line["seconds"] for line in lines)
    apart = max(abs(own[key] - base[key]) for key in ("loss", "gap"))
    return [
        Bar(f"{name}: one compiled fit after another / faro's sweep", base["seconds"] / own["seconds"], 1.4),
        Bar(f"{name}: whole calls of faro.train / faro.frontier, per model", calls[1] / calls[0], 1.4),
        Bar(f"{name}: best layout / faro's", best / own["seconds"], 0.9),
        Bar(f"{name}: 0.01 minus how far loss or gap is from one after another", 0.01 - apart, 0),
    ]


# ----------------------------------------------------------------------------------------------------------------------


def plot(found: dict[str, list[dict]], best: float, path: Path) -> None:
    """Cost of a member and step against every size, log-log, and the share of the peak."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    extent = (3.2 * len(found), 5)
    figure, axes = plt.subplots(2, len(found), figsize=extent, sharey="row", squeeze=False, layout="constrained")
    for column, (axis, rows) in enumerate(found.items()):
        sizes = [row["size"] for row in rows]
        top, bottom = axes[0, column], axes[1, column]
        micros, shares = [1e6 * row["seconds"] for row in rows], [100 * row["speed"] / best for row in rows]
        for panel, values in ((top, micros), (bottom, shares)):
            panel.plot(sizes, values, "-", color="grey", lw=1)
            for second, marker, name in ((True, "o", "second-order steps"), (False, "s", "Adam")):
                own = [i for i, row in enumerate(rows) if (row["products"] > 2) is second]
                panel.plot([sizes[i] for i in own], [values[i] for i in own], marker, label=name)
            panel.set_xscale("log")
            panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
            panel.xaxis.minorticks_off()
        if axis in ("n", "d"):
            top.plot(sizes, [micros[-1] * size / sizes[-1] for size in sizes], "--", color="grey", label="linear")
        top.set(yscale="log", ylabel="us per member and step" if column == 0 else "")
        bottom.set(xlabel=axis, ylabel="% of the matrix-product peak" if column == 0 else "")
    axes[1, 0].set_ylim(0, None)
    axes[0, 0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.suptitle(
        f"One member and step of a linear sweep; {os.cpu_count()} cores, peak {best:.0f} GFLOP/s", fontsize=10
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", default=["cost", "million", "network"], choices=["cost", "million", "network"]
    )
    parser.add_argument("--data", nargs="+", default=["compas", "adult"], help="of the networks")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large fit")
    parser.add_argument("--primal", choices=CHOICES["primal"], help="of faro's large fit, instead of the usual one")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="tiny data: tries the code, measures nothing")
    parser.add_argument("--plot", type=Path, default=Path("out/scaling.png"))
    options = parser.parse_args(arguments)
    if arguments is None and os.environ.get("NPROC") != str(options.threads):  # read when libraries are loaded
        command = [sys.executable, "-m", "benchmarks.scaling", *sys.argv[1:]]
        sys.stdout.flush()
        os.execve(sys.executable, command, environment(options.threads))
    small = options.small
    print(machine(options.threads))
    best, kept = peak(256 if small else 2048), []
    print(f"peak: {best:.1f} GFLOP/s", flush=True)
    if "cost" in options.parts:
        base = BASE | {"n": 300, "d": 3, "members": 2} if small else BASE
        found = costs(base, {"members": (1, 4)} if small else SIZES, 1 if small else options.repeats)
        print(f"\nothers at {', '.join(f'{k} = {v:,}' for k, v in base.items())}; load {load()}\n")
        print(cost_table(found, best), flush=True)
        plot(found, best, options.plot)
        if not small:
            kept += [Bar("0.2 minus the distance of the slope in n from 1", 0.2 - abs(slope(found["n"]) - 1), 0)]
            members = found["members"]
            kept += [
                Bar(
                    "cost per member: first / last number of members", members[0]["seconds"] / members[-1]["seconds"], 1
                )
            ]
    if "million" in options.parts:
        rows, d = (600, 4) if small else (options.rows, 50)
        lines, lowest = large(rows, d, 4, 0.05, options.primal)
        print(f"\n{rows:,} x {d}, 4 groups, demographic parity within 0.05; load {load()}\n")
        print(large_table(lines, lowest), flush=True)
        kept += large_bars(lines)
    if "network" in options.parts:
        for name in ["demo"] if small else options.data:
            data = _contenders.synthetic(200, 3, 2) if small else faro.load(name)
            size = (4, 4) if small else (60, 64)
            rounds = 1 if small else max(2, 40_000 // data.n)  # many, where a round is short beside starting a program
            chunks, repeats = ((2,), 1) if small else (CHUNKS, max(1, options.repeats - 1))
            lines = network(data, *size, chunks, rounds, repeats)
            calls = whole_calls(data, *size, 6 if small else 30 * rounds, 1 if small else 3)
            name = data.name
            print(f"\n{size[0]} members of MLP({size[1]}); load {load()}\n")
            print(network_table(name, lines, best))
            each = f"{calls[0]:.3f} s a model in one sweep, {calls[1]:.3f} s one call after another"
            print(f"\nwhole calls: {each}", flush=True)
            kept += network_bars(name, lines, calls)
    print("", *kept, sep="\n")
    missed = [bar for bar in kept if not bar.kept]
    print(f"bars: {len(kept) - len(missed)} met, {len(missed)} MISSED")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
