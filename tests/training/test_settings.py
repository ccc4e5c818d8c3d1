"""Settings: one flat record in groups, and a table of when each has an effect that says the truth."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import constraints as ct
import faro
from faro.cli import main
from faro.errors import UsageError
from faro.models import VPL, Linear
from faro.runtime.checkpoint import Keeper
from faro.sweep import exact_path
from faro.training import Data, Game, Settings, streaming
from faro.training.settings import GROUPS, Use, assigned, flat, lacking, listing
from faro.training.trainer import Trials

GROUP = ct.Attribute("g", ("a", "b"))
CONSTRAINT = ct.demographic_parity(GROUP, 0.05)
FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
OTHER = {  # a value of each that is not the default
    "solver": "exact", "primal": "sqp", "steps": 5, "learning_rate": 0.2, "weight_decay": 0.1,
    "interactions": 3.0, "width": 0.5,
    "temperature_start": 0.5, "temperature": 0.3, "dual": "ascent", "dual_data": "own", "dual_rate": 0.5,
    "dual_proportional": 3.0, "cap": 0.01, "memory": 0.1, "margin": 0.3, "batch": 8, "microbatch": 4,
    "compute": "bfloat16", "every": 2, "solution": "last", "max_ties": 0.2,
    "tighten": 1.0, "rule": "softmax(temperature=0.5)", "candidates": "enumerated",
}  # fmt: skip
ROWS = 24
USES = {  # what was asked for, and the primal player that suits
    "sqp": ({"steps": 3}, "sqp"),
    "adam": ({"steps": 3}, "adam"),
    "batches": ({"steps": 3, "every": 1, "batch": 8}, "adam"),
    "own": ({"steps": 3, "every": 1, "batch": 8, "dual_data": "own", "dual": "ascent"}, "adam"),
    "exact": ({"solver": "exact"}, "adam"),
}

IDLE = {
    "sqp": {"learning_rate", "dual", "dual_rate", "dual_proportional", "memory", "batch"},
    "adam": {"memory", "batch"},
    "own": {"dual_proportional", "memory"},
}


def use_of(asked, primal="adam", **given):
    """Of data without context, and a model without hidden units."""
    own = Settings.of(asked)
    return Use(own if own.solver == "exact" else own.filled(primal, ROWS), ROWS, products=False, widths=False, **given)


def pairs(n, seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, (n, 2))
    items = rng.normal(size=(n, 2, 2)) - group[..., None]
    return ct.make_choices(items, rng.integers(0, 2, n), attributes={"g": group})


DATA = Data(pairs(ROWS, 0), pairs(12, 1), pairs(12, 2))


def program(settings, stages):
    """The whole program of a game, or of its last stage alone, with its numbers, as text."""
    game, data = Game(Linear(), settings), DATA if settings.dual_data == "own" else DATA._replace(dual=None)

    def run(member, constraint):
        if "start" in stages:
            pilot, _ = game.start(jax.random.key(0), constraint, data, 1)
            member = game.warm_start(pilot, constraint, data)
        return game.advance(member, constraint, data, settings.evaluations)

    return jax.jit(run).lower(game.state_shapes(CONSTRAINT, data), CONSTRAINT).as_text()


# The table -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", IDLE)
def test_what_the_table_calls_without_effect_has_none(name):
    """All of them are changed at once, and the program is the same, so that what comes out is, to the byte."""
    use = use_of(*USES[name])
    idle = {own: OTHER[own] for own in FIELDS if own not in USES[name][0] and lacking(FIELDS[own], use)}
    assert set(idle) == IDLE[name] | {"interactions", "width", "candidates"}
    changed = dataclasses.replace(use.settings, **idle | ({"batch": ROWS} if "batch" in idle else {}))
    stages = ("start", "advance")
    assert program(use.settings, stages) == program(changed, stages)


def test_exact_solves_read_nothing_else():
    """An exact path of settings that lack what the table calls without effect."""
    read = [own for own, field in FIELDS.items() if lacking(field, use_of(*USES["exact"])) is None]
    assert read == ["solver", "weight_decay", "max_ties", "tighten"]
    linear, own = (
        exact_path.check(Linear(), CONSTRAINT),
        SimpleNamespace(weight_decay=0.1, interactions=None, width=None, max_ties=0.1),
    )
    data = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if leaf.dtype == np.float32 else leaf, DATA)
    fitted = exact_path.ExactPath(own).fit(Trials([0], [data], linear, lambda gap: [linear], Keeper(None, "")))
    assert np.isfinite(fitted.best.gap).all()


@pytest.mark.slow
def test_what_has_an_effect_only_somewhere_has_one_there():
    """The control: each of them changes a game in which the table says that it matters."""
    use = use_of(*USES["batches"])
    usual = program(use.settings, ("advance",))
    for name in ("learning_rate", "dual", "dual_rate", "memory"):
        assert lacking(FIELDS[name], use) is None
        assert program(dataclasses.replace(use.settings, **{name: OTHER[name]}), ("advance",)) != usual, name


@pytest.mark.parametrize("name", USES)
def test_exactly_what_has_no_effect_is_refused(name):
    asked, primal = USES[name]
    use = use_of(asked, primal)
    Settings.of(asked).check_effect(use)
    for own, field in FIELDS.items():
        changed = dataclasses.replace(Settings(), **{own: OTHER[own]})
        if lacking(field, use) is None:
            changed.check_effect(use)
        else:
            with pytest.raises(UsageError, match=f"^{own} = .*: can have no effect, for .*; leave "):
                changed.check_effect(use)
        Settings(**{own: field.default}).check_effect(use)


def test_baselines_read_settings_that_the_run_does_not():
    for own in ("learning_rate", "steps", "microbatch"):
        for asked, primal in (USES["sqp"], USES["exact"]):
            Settings.of({own: OTHER[own]}).check_effect(use_of(asked, primal, baselines=True))
    with pytest.raises(UsageError, match=r"dual_rate = 0\.5: can have no effect, for second-order steps need no rate"):
        Settings(dual_rate=0.5).check_effect(use_of({}, "sqp", baselines=True))


def test_the_documentation_says_the_same():
    page = Path(__file__).parents[2] / "docs" / "training.md"
    text = page.read_text("utf-8").split("## Settings")[1].split("\n## ")[0]
    said, group = [], None
    for line in text.splitlines():
        if heading := re.match(r"`(\w+)`: ", line):
            group = heading[1]
        elif row := re.match(r"\| `(\w+)` \| (.*?) \| (.*?) \| ", line):
            said.append((group, *row.groups()))
    assert [(group, name, matters) for group, name, _, matters in said] == [
        (own["group"], own["name"], own["matters"]) for own in listing()
    ]
    for (_, name, default, _), own in zip(said, listing(), strict=True):
        if own["default"] is not None:
            assert type(own["default"])(default.strip("`")) == own["default"], name


# One record ----------------------------------------------------------------------------------------------------------


def test_the_record_is_flat_and_the_groups_are_its_parts():
    assert sorted(name for group in GROUPS.values() for name in group.__dataclass_fields__) == sorted(FIELDS)
    assert set(OTHER) == set(FIELDS) and all(OTHER[name] != field.default for name, field in FIELDS.items())
    grouped = {
        group: {name: own for name in kind.__dataclass_fields__ if (own := FIELDS[name].default) is not None}
        for group, kind in GROUPS.items()
    }
    assert Settings.of(grouped) == Settings.of(dataclasses.asdict(Settings())) == Settings()
    assert Settings.of({"steps": 3, "batching": {"batch": 8}}) == Settings(steps=3, batch=8)
    assert isinstance(Settings(), tuple(GROUPS.values()))


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("dual_rate", 0, "a number above 0"),  # no multiplier would follow a violation
        ("memory", 1, r"a share in \[0, 1\)"),  # 0 / 0: nothing would be remembered
        ("memory", 1.5, r"a share in \[0, 1\)"),
        ("margin", 1.5, r"a share in \[0, 1\]"),
        ("max_ties", 2, r"a share in \[0, 1\]"),
        ("width", 0, r"a share of hidden units in \(0, 1\]"),
    ],
)
def test_a_value_that_leaves_a_constraint_untrained_is_refused(name, value, expected):
    with pytest.raises(UsageError, match=f"^{name}: expected {expected}, got {value}"):
        Settings.of({name: value})
    Settings.of({"memory": 0, "margin": 1, "max_ties": 0, "width": 1})


@pytest.mark.parametrize(
    "values, text",
    [
        ({"batching": 3}, "batching: expected a table"),
        ({"batching": {"batsh": 3}}, "unknown setting 'batsh'"),
        ({"batching": {"steps": 3}}, "of batching; it is one of optimiser"),
        ({"batch": 8, "batching": {"batch": 8}}, "given twice"),
        ({"steps": {"batch": 8}}, "steps: expected a whole number"),
    ],
)
def test_what_is_in_no_group_is_refused(values, text):
    with pytest.raises(UsageError, match=text):
        Settings.of(values)


def test_the_old_name_of_sqp_is_read_for_one_release():
    """Where a user writes it, and where a manifest of the release before has it."""
    for write in (lambda: Settings(primal="newton"), lambda: Settings.of({"optimiser": {"primal": "newton"}})):
        with pytest.warns(FutureWarning, match="primal = newton is sqp now"):
            settings = write()
        assert settings == Settings(primal="sqp") and dataclasses.asdict(settings)["primal"] == "sqp"
    with pytest.raises(UsageError, match="expected one of sqp, adam"):
        Settings.of({"primal": ["newton"]})


def test_assignments_are_typed_as_in_toml():
    texts = ["steps=1_000", "multipliers.cap = 1e2", "primal=sqp", 'dual="ascent"', "batching.batch=8"]
    assert assigned(texts) == {"steps": 1000, "cap": 100.0, "primal": "sqp", "dual": "ascent", "batch": 8}
    assert isinstance(assigned(["steps=3"])["steps"], int) and assigned([]) == flat({}) == {}
    for text, why in (
        ("steps", "NAME=VALUE"), ("steps.batch=3", "unknown group 'steps'"), ("optimiser.batch=3", "one of batching"),
        ("step=3", "unknown setting"), (".steps=3", "unknown group"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            assigned([text])
    with pytest.raises(UsageError, match="'steps' is given twice"):
        assigned(["steps=3", "optimiser.steps=4"])
    with pytest.raises(UsageError, match="steps: expected a whole number"):
        Settings.of(assigned(["steps=3\nbatch=4"]))


# Where people meet them ----------------------------------------------------------------------------------------------


def test_the_command_refuses_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text("[settings]\nsteps = 3\n[settings.multipliers]\ndual_rate = 0.5\n")
    assert main(["train", "--config", "c.toml", "--out", "m"]) == 2
    assert "dual_rate = 0.5: can have no effect, for second-order steps need no rate;" in capsys.readouterr().err
    assert main(["train", "--set", "batch=1000000"]) == 2
    assert re.search(r"batch = 1000000: .* every step sees all [\d]+ train choices;", capsys.readouterr().err)
    assert main(["train", "--solver", "exact", "--set", "selection.solution=last"]) == 2
    assert "solution = last: can have no effect, for solver = exact plays no game;" in capsys.readouterr().err
    assert main(["train", "--temperature", "0.3", "--set", "temperature=0.3"]) == 2
    assert "'temperature' is given twice" in capsys.readouterr().err
    assert not any(Path().glob("m*"))
    assert main(["settings", "list"]) == 0
    assert all(own["name"] in capsys_text for capsys_text in [capsys.readouterr().out] for own in listing())


def test_set_wins_over_the_file(tmp_path, monkeypatch):
    from faro.cli.commands import training

    (tmp_path / "c.toml").write_text("temperature = 0.9\n[settings.optimiser]\nsteps = 3\n[settings]\ncap = 7\n")
    given = ["train", "--config", str(tmp_path / "c.toml"), "--set", "temperature=0.4", "--set", "optimiser.steps=9"]
    seen = []
    monkeypatch.setattr(training, "_train", lambda options: seen.append(training._configured(options, ())) or 0)
    assert main(given) == 0 and seen[0]["settings"] == Settings(temperature=0.4, steps=9, cap=7)


def test_every_way_to_train_checks():
    x, label, group = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2, np.arange(40) // 2 % 2
    with pytest.raises(UsageError, match=r"learning_rate = 0\.2: can have no effect"):
        faro.ChoiceClassifier(settings=Settings(learning_rate=0.2)).fit(x, label, sensitive_features=group)
    with pytest.raises(UsageError, match=r"learning_rate = 0\.2: can have no effect"):
        faro.frontier("demo", bounds=[0.1], seeds=1, settings={"learning_rate": 0.2})
    with pytest.raises(UsageError, match=r"dual_proportional = 3\.0: can have no effect, for dual = ascent has no"):
        streaming.train(
            [DATA.train], DATA.selection, CONSTRAINT, settings=Settings(dual="ascent", dual_proportional=3.0)
        )


def test_a_model_states_what_suits_it_where_nobody_says_otherwise():
    stated = {"steps": 120, "every": 10, "weight_decay": 1e-3}
    open_ones = Settings().suiting(stated)
    assert (open_ones.steps, open_ones.every, open_ones.weight_decay) == (120, 10, 1e-3)
    said = Settings(steps=8, weight_decay=0.5).suiting(stated)
    assert (said.steps, said.every, said.weight_decay) == (8, 4, 0.5)
    assert Settings(steps=1).suiting(stated).every == 1
    assert Settings().suiting({}) == Settings()


def test_what_a_model_states_arrives_or_is_refused():
    """A setting with a default of its own cannot be left to a model, which would then state it in vain."""
    stated = Settings().suiting(VPL.settings)
    assert (stated.steps, stated.dual_rate) == (120, 0.1) and Settings().filled().dual_rate == 0.03
    assert Settings(dual_rate=0.5).suiting(VPL.settings).dual_rate == 0.5
    with pytest.raises(UsageError, match="a model states 'learning_rate', and only these"):
        Settings().suiting({"steps": 5, "learning_rate": 0.1})
