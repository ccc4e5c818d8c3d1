"""What judging, pandas, `certify` and the checker count of one part of a random project agree, or somebody refuses.

Planted faults of the way from the table to the certificate are each found; and every field that travels, dropped or
changed between two commands, ends in a refusal or in a word.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pytest

from faro.certify import certificate
from faro.certify.description import Description, Units, place, read_description, write_description
from faro.certify.policy import read_policy
from faro.certify.scored import write_scored
from faro.data import parse
from faro.errors import FaroError
from faro.store.model import TrainedModel
from tests.builders import projects
from tests.builders.drawn import draw
from tests.builders.projects import Readers

COUNT, WITHIN = 40, 200


class Followed(NamedTuple):
    """A project, its model, and what became of it."""

    project: projects.Project | None
    model: TrainedModel | None
    folder: Path
    answer: str


class World:
    """Projects by seed, followed once. Their models are drawn: it is counted what they decide, however they came."""

    def __init__(self, folder: Path):
        self.folder, self.known = folder, {}

    def __getitem__(self, seed: int) -> Followed:
        if seed not in self.known:
            jax.config.update("jax_disable_most_optimizations", True)
            folder = self.folder / str(seed)
            folder.mkdir()
            project = model = None
            try:
                project = projects.build(seed, folder)
                with pytest.MonkeyPatch.context() as patch:
                    draw(patch)
                    model = projects.fit(project)
                answer = projects.follow(project, model, folder)
            except FaroError as error:
                answer = f"{type(error).__name__}: {error}"
            self.known[seed] = Followed(project, model, folder, answer)
        return self.known[seed]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("projects"))


@pytest.mark.slow
def test_four_readers_count_the_same_or_somebody_refuses(world):
    answers = Counter(world[seed].answer.partition(":")[0] for seed in range(COUNT))
    assert answers["agreed"] >= 0.85 * COUNT, answers
    for seed in range(COUNT):
        answer = world[seed].answer
        assert answer == "agreed" or (len(answer.splitlines()) == 1 and ": " in answer)


# Planted faults -------------------------------------------------------------------------------------------------------


def scoring(change) -> Readers:
    """Scoring with a fault in what the model says of every row; the table is described as it then is."""

    def score(model, *args, **options):
        class Faulty(TrainedModel):
            def score(self, data, *args, **options):
                return change(super().score(data, *args, **options), self)

        fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
        return write_scored(Faulty(**fields), *args, **options)

    return Readers(score=score)


def drafting(change) -> Readers:
    """A draft that loses something."""
    return Readers(policy=lambda model: change(projects.policy_of(model)))


def certifying(**dropped: Any) -> Readers:
    """`certify` that ignores something of every claim."""

    def prepare(table, policy, **options):
        claims = tuple(dataclasses.replace(claim, **dropped) for claim in policy.claims)
        return certificate.prepare(table, dataclasses.replace(policy, claims=claims), **options)

    return Readers(certify=prepare)


def described(**changes: Any) -> Readers:
    """A description that says something else of the table."""

    def between(table, rules):
        write_description(table, dataclasses.replace(read_description(table), **changes))

    return Readers(between=between)


def levels_permuted(scored, model):
    for name, attribute in ({spec.name: spec.attribute for spec in model.schema.attributes} | model.crossed).items():
        scored[name] = scored[name].map(dict(zip(attribute.levels, attribute.levels[::-1], strict=True)) | {"": ""})
    return scored


FAULTS = {
    "the description says that there is no outside option": described(outside="none"),
    "the description says another threshold": described(threshold="0.5"),
    "a draft loses the scale": drafting(lambda text: text.replace("scale = 0.25\n", "")),
    "a draft loses a threshold": drafting(lambda text: text.replace("[0.125]", "[0.5]")),
    "a draft has another threshold": drafting(lambda text: text.replace("threshold = 0\n", "threshold = 0.01\n")),
    "a draft counts units": drafting(lambda text: text.replace('estimand = "row"', 'estimand = "unit"')),
    "a draft is of another event": drafting(lambda text: text.replace("equalized_odds", "equal_opportunity")),
    "scores drop weights": scoring(lambda scored, model: scored.assign(weight=1.0)),
    "scores permute levels": scoring(levels_permuted),
    "scores are of another seed's part": scoring(
        lambda scored, model: scored.assign(part=scored["part"].replace({"dev": "gate", "gate": "dev"}))
    ),
    "scores are rounded": scoring(lambda scored, model: scored.assign(reward=scored["reward"].round(1))),
    "labels are of the other side": scoring(lambda scored, model: scored.assign(label=1 - scored["label"])),
    "a row is lost": scoring(lambda scored, model: scored.drop(index=scored.index[scored["part"] == "dev"][:1])),
    "certify ignores `of`": certifying(of=None),
    "certify ignores `within`": certifying(within=None, strata=("",)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(name, world, tmp_path):
    """In one of the first projects, by other numbers or a refusal where there was none."""
    for seed in range(WITHIN):
        project, model, _, honest = world[seed]
        if honest != "agreed":
            continue
        try:
            if projects.follow(project, model, tmp_path, by=FAULTS[name]) != "agreed":
                return
        except projects.Failed:
            return
    pytest.fail(f"not found in {WITHIN} projects: {name}")


def test_units_without_the_rule_are_found(world, tmp_path, monkeypatch):
    for seed in range(WITHIN):
        if world[seed].answer == "agreed":
            with monkeypatch.context() as patched:
                patched.setattr(parse, "_unit", lambda text: (text, ""))
                draw(patched)
                try:
                    if projects.run(seed, tmp_path) != "agreed":
                        return
                except projects.Failed:
                    return
    pytest.fail("not found")


# What travels ---------------------------------------------------------------------------------------------------------

OTHER = "a" * 64
TRAVEL: dict[str, Any] = {
    "outside": lambda d: {"outside": "none" if d.outside != "none" else "all"},
    "rule": lambda d: {"rule": "expected"},
    "threshold": lambda d: {"threshold": "0.25"},
    "weights": lambda d: {"weights": "none"},
    "estimand": lambda d: {"estimand": "unit"},
    "units: column": lambda d: {"units": d.units._replace(column="another")},
    "units: origin": lambda d: {"units": Units("content", "row", 2)},
    "units: none": lambda d: {"units": d.units._replace(origin="none")},
    "units: rule": lambda d: {"units": d.units._replace(rule=1)},
    "shared": lambda d: {"shared": ()},
    "levels": lambda d: {"attributes": {k: v._replace(levels=("A", "Z")) for k, v in d.attributes.items()}},
    "chooser": lambda d: {"attributes": {k: v._replace(chooser=not v.chooser) for k, v in d.attributes.items()}},
    "attributes": lambda d: {"attributes": {}},
    "constraint": lambda d: {"constraint": "rate_cap(g)"},
    "constraint dropped": lambda d: {"constraint": ""},
    "of another model": lambda d: {"model_sha256": (OTHER,)},
    "of no model": lambda d: {"model_sha256": ()},
    "of other units": lambda d: {"train_units_sha256": OTHER},
    "of another table": lambda d: {"table_sha256": OTHER},
}
ASKED = {
    "outside": ('outside = "', 'outside = "column'), "threshold": ("threshold = 0", "threshold = 1"),
    "units": ("units = ", 'units = "x" # '), "estimand": ('estimand = "row"', 'estimand = "unit"'),
    "levels": ("levels = [", 'levels = ["more", '), "cap": ("cap = ", "cap = 0.01 # "),
}  # fmt: skip


@pytest.fixture
def described_project(world, tmp_path):
    """A project with weights and shared columns, scored: (table, policy, what certify is given)."""
    for seed in range(WITHIN):
        project, model, _, honest = world[seed]
        if honest == "agreed" and project.schema.weight and project.schema.shared and project.schema.unit != "row":
            assert projects.follow(project, model, tmp_path) == "agreed"
            table = tmp_path / f"scored{project.table.suffix}"
            files = [tmp_path / "model.json", tmp_path / "model.safetensors"]
            units = {"train_units": tmp_path / "model.units.txt"}
            return table, tmp_path / "faro.toml", {"models": files, **units}
    raise AssertionError("no such project")


def said(table: Path, rules: Path, given: dict[str, Any]) -> set[str] | str:
    """Every word about the table, or why it is refused."""
    try:
        case = certificate.prepare(table, read_policy(rules), **given)
        certificate.make(case)
    except FaroError as error:
        return str(error)
    return {*case.statements, *case.assumed}


def test_no_field_that_travels_is_dropped_or_changed_in_silence(described_project):
    """The table of mutants: every one ends in a refusal, or in a word that stands in every output."""
    table, rules, given = described_project
    honest, asked = said(table, rules, given), rules.read_text("utf-8")
    description = read_description(table)
    assert isinstance(honest, set) and isinstance(description, Description)
    silent = []
    for name, change in TRAVEL.items():
        write_description(table, dataclasses.replace(description, **change(description)))
        answer = said(table, rules, given)
        silent += [name] if isinstance(answer, set) and not answer - honest else []
    write_description(table, description)
    for name, (old, new) in ASKED.items():
        assert old in asked
        rules.write_text(asked.replace(old, new, 1), "utf-8")
        answer = said(table, rules, given)
        silent += [f"policy: {name}"] if isinstance(answer, set) and not answer - honest else []
    rules.write_text(asked, "utf-8")
    if table.suffix != ".parquet":
        place(table).unlink()
        assert "no description" in str(said(table, rules, given))
    assert not silent


@pytest.mark.slow
def test_every_fiftieth_agrees_by_the_commands_too(tmp_path):
    assert projects.commands(0, tmp_path) == "agreed"
