"""The envelope of a run: its files, the checker that proves them from a table, what they say of the run's models."""

import copy
import dataclasses
import functools
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

import constraints as ct
from constraints.testing import GROUP, example_choices
from faro import exact, models, verify
from faro.api import Settings, frontier, load, load_model
from faro.cli import main
from faro.data.views import View
from faro.exact import of_run
from faro.exact import rows as exact_rows
from faro.report import read_run
from faro.report._envelope import envelope_panel
from faro.report._series import panel
from faro.store.run import clear
from faro.training.ridge import Ridge
from tests.builders.drawn import draw

PAIRS = ct.Attribute("g", ("a", "b"))


def choices(n=60, k=2, d=3, seed=0, lean=0.8, outside=False):
    """Alternatives of group b have a larger first feature, by `lean`; some have no third alternative."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, (n, k))
    items = rng.normal(size=(n, k, d)) + lean * group[..., None] * np.eye(d)[0]
    available = np.ones((n, k), bool)
    available[::3, 2:] = False
    utility = items @ np.linspace(2, -1, d) + rng.gumbel(size=(n, k))
    chosen = np.where(available, utility, -np.inf).argmax(1)
    weight = rng.choice([0.5, 1.0, 2.0], n)
    return ct.make_choices(items, chosen, available=available, weight=weight, attributes={"g": group})


def problem(k=2, ridge=1e-2, **options):
    head = exact.Head.of(choices(k=k, **options), ridge)
    return head, exact.rows_of(ct.demographic_parity(PAIRS), head)


def stored(head, rows, envelope, members=()):
    """(record, text of the table)"""
    text = "".join(f"{line}\n" for line in exact.table(head, rows))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return exact.record(rows, envelope, sha256, dict(members), {"data": "made here"}), text


def sealed(record):
    """With the seal that a forger would put on it."""
    bare = {key: value for key, value in record.items() if key != "sha256"}
    return bare | {"sha256": verify.digest(bare)}


def proved(folder, record, text):
    """What the checker says: a line per model, or the exit code of its refusal."""
    (folder / "e.json").write_text(json.dumps(record))
    (folder / "e.jsonl").write_text(text)
    try:
        return verify.envelope(folder / "e.json", str(folder / "e.jsonl"))
    except verify.Refused as refused:
        return refused.code


@pytest.fixture(scope="module")
def made():
    """A problem with unavailable alternatives and weights, its envelope, a bad model, and the files."""
    head, rows = problem(k=3)
    envelope = of_run.sample(head, rows, width=1e-2)
    good = envelope.points[len(envelope.points) // 2]
    w = 0.5 * good.w
    bad = exact.PlacedModel(w, head.loss(w), exact.priced(head, rows, rows.slack(w), 3 * good.multipliers))
    record, text = stored(head, rows, envelope, {"bad": bad})
    return head, rows, envelope, record, text


# No model below -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 3])
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
@hypothesis.given(
    seed=st.integers(0, 10**6), lean=st.floats(-2, 2), power=st.floats(-3, 0), size=st.sampled_from([1e-3, 0.1, 1, 10])
)
def test_no_model_is_below(k, seed, lean, power, size):
    head, rows = problem(k=k, n=30, seed=seed, lean=lean, ridge=10**power)
    envelope = of_run.sample(head, rows, width=3e-2, most=8)
    rng = np.random.default_rng(seed)
    for point in envelope.points:
        assert point.loss - envelope.lower(point.bound) <= 1e-8
        for near in (point.w, np.zeros(head.d)):
            w = near + size * rng.normal(size=head.d)
            assert head.loss(w) >= envelope.lower(rows.slack(w))
    nu = point.multipliers * rng.exponential(size=len(point.multipliers))
    assert exact.priced(head, rows, point.bound, nu).lower() <= point.loss


def test_a_planted_worse_model_shows_its_gap(made):
    head, rows, _, record, _ = made
    (member,) = record["members"]
    w = np.array(member["w"], float)
    best = exact.solve(head, rows, rows.slack(w))
    true = head.loss(w) - best.loss
    assert true > 0.01
    assert true <= float(member["gap"]) <= true + 1e-2  # the envelope is that thick
    assert float(member["own_gap"]) >= true


def test_multiples_of_multipliers_prove_what_the_right_one_does(made):
    head, rows, envelope, *_ = made
    point = envelope.points[2]
    np.testing.assert_allclose(
        exact.priced(head, rows, point.bound, 7 * point.multipliers).lower(), point.lower(), atol=1e-8
    )
    none = exact.priced(head, rows, point.bound, 0 * point.multipliers)
    assert none.price == 0
    assert none.lower() <= exact.solve(head, exact.Rows.of(np.zeros((0, head.d))), 0).loss


@pytest.mark.parametrize("notion", [ct.demographic_parity, ct.equalized_odds])
def test_own_multipliers_keep_their_pull(notion, x64):
    """The gradient of centred rows is that of the pairs that they are turned into, also in a stack."""
    constraint = ct.Stack(members=(notion(GROUP), ct.rate_cap(GROUP)))
    head = exact.Head.of(example_choices(n=80, k=3, seed=1), 1e-2)
    rows = exact.rows_of(constraint, head)
    measure = exact_rows._measurement(constraint, head, 1.0)
    rng = np.random.default_rng(0)
    w, nu = rng.normal(size=head.d), rng.exponential(size=len(constraint.labels()))
    paired = exact.multipliers_of_linear(constraint, nu, rows.matrix @ w)
    step = 1e-6 * np.eye(head.d)
    slope = [nu @ (measure(w + e, constraint) - measure(w - e, constraint)) / 2e-6 for e in step]
    np.testing.assert_allclose(paired @ rows.matrix, slope, atol=1e-7)
    assert (paired >= 0).all()


# The checker ----------------------------------------------------------------------------------------------------------


def test_the_checker_proves_it_and_is_tight(made, tmp_path):
    head, _, envelope, record, text = made
    said = proved(tmp_path, record, text)
    assert said.startswith("PROVED")
    assert exact.SCOPE in said
    assert "bad" in said
    table = verify.read_problem(str(tmp_path / "e.jsonl"))
    available, label, weight = (
        np.asarray(x) for x in (head.choices.available, head.choices.chosen, head.choices.weight)
    )
    p = np.longdouble(weight) / weight.sum()
    for point in envelope.points:
        u = np.where(available, head.features.astype(np.longdouble) @ point.w, -np.inf)
        top = u.max(1, keepdims=True)
        log = top[:, 0] + np.log(np.exp(u - top).sum(1))
        alpha = np.exp(u - log[:, None])
        loss = p @ (log - (label * np.where(available, u, 0)).sum(1))
        entropy = -p @ (alpha * np.log(np.where(alpha > 0, alpha, 1))).sum(1)
        moment = np.einsum("n,nk,nkd->d", p, alpha - label, head.features)
        seen = verify._pass(table, list(point.w), "")
        assert loss <= float(seen.loss) <= loss + 1e-11
        assert entropy - 1e-11 <= float(seen.entropy) <= entropy
        assert max(abs(moment - np.array(seen.moment, float))) <= float(seen.unsure) <= 1e-10
    assert float(record["width"]) <= 1.01e-2


def change(record, path, by):
    mutant = copy.deepcopy(record)
    place = functools.reduce(lambda node, key: node[key], path[:-1], mutant)
    place[path[-1]] = by(place[path[-1]])
    return mutant


def more(by):
    return lambda text: repr(float(text) + by)


MUTANTS = {
    "a better loss": (("points", 1, "loss"), more(-1e-6)),
    "a higher line": (("points", 1, "constant"), more(1e-6)),
    "a flatter line": (("points", 1, "price"), more(-1e-6)),
    "a smaller slack": (("points", 1, "slack"), more(-1e-6)),
    "other multipliers": (("points", 1, "multipliers"), lambda nu: [repr(1.5 * float(x)) for x in nu]),
    "no multipliers": (("points", 0, "multipliers"), lambda nu: ["0.0"] * len(nu)),
    "other parameters": (("points", 1, "w"), lambda w: [repr(1.1 * float(x)) for x in w]),
    "a thinner sandwich": (("width",), more(-1e-6)),
    "a removed point": (("points",), lambda points: [points[0], *points[2:]]),
    "one point at each end": (("points",), lambda points: [points[0], points[-1]]),
    "a member's better loss": (("members", 0, "loss"), more(-1e-6)),
    "a member's smaller gap": (("members", 0, "gap"), more(-1e-6)),
    "a member's smaller own gap": (("members", 0, "own_gap"), more(-1e-6)),
    "a member's smaller slack": (("members", 0, "slack"), more(-1e-6)),
    "a member's higher line": (("members", 0, "own", "constant"), more(1e-6)),
}
BROKEN = {
    "NaN": (("points", 1, "loss"), lambda text: "nan"),
    "infinity": (("points", 1, "constant"), lambda text: "-inf"),
    "an overflow": (("points", 1, "loss"), lambda text: "1e999"),
    "a number": (("points", 1, "price"), float),
    "short multipliers": (("points", 1, "multipliers"), lambda nu: nu[1:]),
    "no points": (("points",), lambda points: []),
    "another order": (("points",), lambda points: points[::-1]),
    "another scope": (("scope",), lambda text: text.replace("on this sample, ", "")),
    "another table": (("table_sha256",), lambda text: "0" * 64),
    "another format": (("schema",), lambda text: "faro-envelope/2"),
    "an unknown field": (("points", 1), lambda point: point | {"status": "optimal"}),
    "a missing field": (("members", 0), lambda member: {k: v for k, v in member.items() if k != "own"}),
}


@pytest.mark.parametrize("name", [*MUTANTS, *BROKEN])
def test_no_mutant_passes(name, made, tmp_path):
    """Sealed anew by the forger; and as it is, where the seal alone gives it away."""
    *_, record, text = made
    mutant = change(record, *(MUTANTS | BROKEN)[name])
    assert proved(tmp_path, sealed(mutant), text) == (4 if name in MUTANTS else 5)
    assert proved(tmp_path, mutant, text) == 5


@pytest.mark.slow
def test_junk_is_refused_wherever_it_stands(made, tmp_path):
    *_, record, text = made
    paths = [("points", 0, "w", 0), ("points", 0, "multipliers", 1), *((key,) for key in record if key != "sha256")]
    paths += [("points", 0), *(("points", 0, key) for key in record["points"][0])]
    paths += [("members", 0), *(("members", 0, key) for key in record["members"][0])]
    fine = [
        (("about",), "{}"),
        (("members",), "[]"),
        (("members", 0, "name"), '"?"'),
        (("members", 0, "name"), '"1e99"'),
    ]
    for path in paths:
        for junk in (None, True, 7, [], {}, "?", "1e99", [[]], ["?"]):
            if (path, json.dumps(junk)) not in fine:
                mutant = change(record, path, lambda _, junk=junk: junk)
                assert proved(tmp_path, sealed(mutant), text) == 5, (path, junk)
    lines = text.splitlines()
    for index in (0, 1, -1):
        for key in json.loads(lines[index]):
            for junk in (None, [], {}, [["?"]], -7, 1e99):
                forged = [*lines]
                forged[index] = json.dumps(json.loads(lines[index]) | {key: junk})
                other = "\n".join(forged) + "\n"
                mine = record | {"table_sha256": hashlib.sha256(other.encode()).hexdigest()}
                code = proved(tmp_path, sealed(mine), other)
                assert code == 5 or (code == 4 and key == "base"), (index, key, junk)
    assert proved(tmp_path, sealed(record | {"table_sha256": hashlib.sha256(b"").hexdigest()}), "") == 5


def test_multipliers_below_zero_are_no_dual_point(made, tmp_path):
    *_, record, text = made
    mutant = change(record, ("points", 1, "multipliers"), lambda nu: ["-0.1", *nu[1:]])
    assert proved(tmp_path, sealed(mutant), text) == 7


@pytest.mark.parametrize(
    ("index", "by", "code"),
    [
        (0, lambda line: line | {"ridge": 2 * line["ridge"]}, 4),
        (0, lambda line: line | {"ridge": 0.0}, 5),
        (1, lambda line: line | {"features": [0.5 * x for x in line["features"]]}, 4),
        (1, lambda line: line | {"slope": -1.0}, 5),
        (-1, lambda line: line | {"chosen": line["chosen"][::-1]}, 4),
        (-1, lambda line: line | {"weight": 9.0}, 4),
        (-1, lambda line: line | {"items": [[float("nan")] * 3] * len(line["items"])}, 5),
        (-1, lambda line: line | {"items": [[1.0]] * len(line["items"])}, 5),
    ],
)  # fmt: skip
def test_another_table_proves_nothing(index, by, code, made, tmp_path):
    *_, record, text = made
    lines = text.splitlines()
    lines[index] = json.dumps(by(json.loads(lines[index])))
    other = "\n".join(lines) + "\n"
    assert proved(tmp_path, record, other) == 5
    sha256 = hashlib.sha256(other.encode()).hexdigest()
    assert proved(tmp_path, sealed(record | {"table_sha256": sha256}), other) == code


# The command ----------------------------------------------------------------------------------------------------------


def demo():
    """The data set without its population, which nothing here asks for."""
    return dataclasses.replace(load("demo"), population=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the demo, with one bound; an envelope is of whatever models there are, so they are drawn."""
    folder = tmp_path_factory.mktemp("run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        draw(patch)
        frontier(demo(), bounds=[0.1], seeds=1, settings=Settings(steps=30), out=folder)
    return folder


@pytest.fixture(scope="module")
def placed(run, tmp_path_factory):
    """The run with its envelope."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("placed") / "out")
    assert main(["envelope", str(folder), "--width", "2e-2", "--features", "--quiet"]) == 0
    return folder


@pytest.mark.slow
def test_the_envelope_of_a_run(placed, faro):
    folder = placed
    record = json.loads((folder / "envelope-seed0.json").read_text())
    assert [member["name"] for member in record["members"]] == [
        "models/bound00-seed0.json",
        "models/bound01-seed0.json",
    ]
    files = [str(folder / f"envelope-seed0.{kind}") for kind in ("json", "jsonl")]
    alone = subprocess.run([sys.executable, "-I", "-S", verify.__file__, *files], capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    assert faro("verify", *files)[1] == alone.stdout
    for member in record["members"]:
        model = load_model(folder / member["name"])
        data = of_run.read_data(of_run.Frontier.load(folder), folder)
        view = View.of(data, 0)
        with jax.enable_x64(True):
            ridge = Ridge.read(model.about["ridge"])
            shares = model.model.shares(models.PARTS, ridge.interactions)
            head = exact.Head.of(
                data.choices(view.coding, view.rows["train"], dtype=np.float64), ridge.decay, shares=shares
            )
        rows = exact.rows_of(ct.demographic_parity(data.attributes["dialect"]), head)
        w = head.weights(model.params)
        nll = model.about["figures"]["train_nll"]
        np.testing.assert_allclose(float(member["loss"]), nll + ridge.decay / 2 * w @ w, atol=1e-8)
        np.testing.assert_allclose(float(member["slack"]), np.max(rows.matrix @ w), atol=1e-9)
        assert 0 < float(member["gap"]) <= float(member["own_gap"]) + 1e-9


@pytest.mark.slow
def test_a_frozen_network_is_a_linear_model(x64):
    """Rewards and those of twins, of an alternative's attribute and of a chooser's."""
    model = models.MLP((4, 3))
    choices = example_choices(n=20, k=3, seed=0)
    params = jax.tree.map(np.float64, model.init(jax.random.key(0), choices))
    outputs, linear = model.linear_head(params, choices)
    assert outputs.items.shape[-1] == 3
    names = tuple(choices.twins)
    assert names
    for seen, own in zip(
        (
            models.rewards(models.Linear(), linear, outputs),
            models.twin_rewards(models.Linear(), linear, outputs, names),
        ),
        (models.rewards(model, params, choices), models.twin_rewards(model, params, choices, names)),
        strict=True,
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), seen, own)


@pytest.mark.slow
def test_the_last_layer_of_a_network(faro, tmp_path, monkeypatch):
    """On frozen features the network is a linear model with the same loss; what it can be beaten by is proved."""
    draw(monkeypatch)
    folder = tmp_path / "out"
    how = {"bounds": [0.1], "seeds": 1, "settings": Settings(steps=15), "out": folder, "model": "mlp:4"}
    run = frontier(demo(), **how)
    assert faro("envelope", folder)[0] == 2
    assert faro("envelope", folder, "--member", "models/none.json")[0] == 2
    name = "models/bound01-seed0.json"
    assert faro("envelope", folder, "--member", name, "--width", "3e-2", "--features")[0] == 0
    files = [folder / f"envelope-bound01-seed0.{kind}" for kind in ("json", "jsonl")]
    assert faro("verify", *files)[0] == 0
    (member,) = json.loads(files[0].read_text())["members"]
    w = np.array(member["w"], float)
    nll = run.models[1].about["figures"]["train_nll"]
    decay = run.models[1].about["ridge"]["weight_decay"]
    np.testing.assert_allclose(float(member["loss"]), nll + decay / 2 * w @ w, atol=1e-8)
    assert 0 < float(member["gap"]) < 1
    assert faro("report", folder)[0] == 0
    assert "Certified envelope" not in (folder / "report.html").read_text()  # a class of its own for every member


def test_a_run_that_has_none_says_so(run, faro, tmp_path):
    folder = shutil.copytree(run, tmp_path / "out")
    assert faro("envelope", folder, "--data", "compas")[0] in (2, 5)
    code, _, err = faro("envelope", folder, "--attribute", "dialect", "--constraint", "equalized_odds")
    assert code == 2
    assert "not the constraint" in err
    assert faro("envelope", folder, "--width", "0")[0] == 2
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["constraint"]["name"] = "calibration(bins=5)(dialect)"
    del manifest["constraint"]["record"]  # as runs of format 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = faro("envelope", folder)
    assert code == 2
    assert "--constraint" in err
    assert not list(Path(folder).glob("envelope*"))


def test_the_report_draws_it_apart_from_accuracy(placed, faro):
    run = read_run(placed)
    lower = envelope_panel(run)
    assert "loss" in lower.y
    assert "accuracy" not in lower.x + lower.y
    assert exact.SCOPE in lower.note
    assert "lower" not in [series.style for series in panel(run).series]
    (line,) = (series for series in lower.series if series.style == "lower")
    record = json.loads((placed / "envelope-seed0.json").read_text())
    for point in line.points:
        lines = [float(p["constant"]) - float(p["price"]) * point.x for p in record["points"]]
        assert point.y == pytest.approx(max(lines), abs=1e-12)
    members = [point for series in lower.series for point in series.points if point.title]
    for point, member in zip(sorted(members, key=lambda each: each.rows), record["members"], strict=True):
        assert run.trials["model"].iloc[point.rows[0]] == member["name"]
        assert point.up == (float(member["loss"]) - float(member["gap"]), float(member["loss"]))
        said = float(dict(point.facts)["none lower by more than"].removesuffix(" nats"))
        assert float(member["gap"]) <= said <= 1.1 * float(member["gap"])
    page = (placed / "report.html").read_text()
    assert page.count('data-panel="') == 2
    assert page.count(exact.SCOPE) >= 1
    assert (placed / "envelope.png").stat().st_size > 10_000
    drawn = (placed / "envelope.svg").read_bytes()
    assert faro("report", placed)[0] == 0
    assert (placed / "envelope.svg").read_bytes() == drawn


@pytest.mark.parametrize(
    "by",
    [
        lambda record: record | {"points": []},
        lambda record: record | {"width": "nan"},
        lambda record: record | {"members": [record["members"][0] | {"name": "models/other.json"}]},
        lambda record: record | {"about": {"digest": "0"}},
        lambda record: [record],
    ],
)
def test_a_damaged_envelope_is_not_drawn(by, placed, faro, tmp_path):
    folder = shutil.copytree(placed, tmp_path / "out")
    path = folder / "envelope-seed0.json"
    path.write_text(json.dumps(by(json.loads(path.read_text()))))
    code, _, err = faro("report", folder)
    assert code == 5
    assert "faro envelope" in err


def test_a_new_sweep_takes_the_old_envelope_away(placed, tmp_path):
    folder = shutil.copytree(placed, tmp_path / "out")
    clear(folder)
    assert not list(folder.glob("envelope*"))
    assert not list((folder / "models").glob("*"))


def test_the_checker_wants_a_table_or_a_policy(faro, tmp_path):
    (tmp_path / "e.json").write_text("{}")
    assert faro("verify", tmp_path / "e.json")[0] == 2
    assert faro("verify", tmp_path / "e.json", tmp_path / "none.jsonl")[0] == 5
    assert faro("verify", tmp_path / "e.json", tmp_path / "none.jsonl", "--ledger", "l")[0] == 2


@pytest.mark.real_data
@pytest.mark.slow
def test_the_bar_on_compas():
    from benchmarks.envelope import beaten, problem

    head, rows = problem("compas")
    envelope = of_run.sample(head, rows)
    assert max(point.loss - envelope.lower(point.bound) for point in envelope.points) <= 1e-8
    assert envelope.widest()[1] <= 1e-4
    assert beaten(head, rows, envelope) == 0
