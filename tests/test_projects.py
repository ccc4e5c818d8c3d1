"""What training, pandas, `certify` and the checker count of one part of a random project agree, or somebody refuses.

Planted faults of the way from the table to the certificate are each found; and every field that travels, dropped or
changed between two commands, ends in a refusal or in a word.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import projects
import pytest
from projects import Readers

from faro.certify import certificate
from faro.data import parse
from faro.errors import FaroError
from faro.scored import write_scored
from faro.trained import TrainedModel

COUNT, WITHIN = 100, 200


class Followed(NamedTuple):
    """A project, its model, and what became of it."""

    project: projects.Project | None
    model: TrainedModel | None
    folder: Path
    answer: str


class World:
    """Projects by seed, followed once."""

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
                model = projects.fit(project)
                answer = projects.follow(project, model, folder)
            except FaroError as error:
                answer = f"{type(error).__name__}: {error}"
            self.known[seed] = Followed(project, model, folder, answer)
        return self.known[seed]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("projects"))


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
    return Readers(policy=lambda model, frame: change(projects.policy_of(model, frame)))


def certifying(**dropped: Any) -> Readers:
    """`certify` that ignores something of every claim."""

    def prepare(table, policy, **options):
        claims = tuple(dataclasses.replace(claim, **dropped) for claim in policy.claims)
        return certificate.prepare(table, dataclasses.replace(policy, claims=claims), **options)

    return Readers(certify=prepare)


def described(**changes: Any) -> Readers:
    """A description that says something else of the table."""
    from faro.certify.description import read_description, write_description

    def between(table, rules):
        write_description(table, dataclasses.replace(read_description(table), **changes))

    return Readers(between=between)


def levels_permuted(scored, model):
    for name, attribute in model.crossed.items() or model.schema.attributes and {
        spec.name: spec.attribute for spec in model.schema.attributes
    }.items():
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
    monkeypatch.setattr(parse, "_unit", lambda text: (text, ""))
    for seed in range(WITHIN):
        if world[seed].answer == "agreed":
            try:
                if projects.run(seed, tmp_path) != "agreed":
                    return
            except projects.Failed:
                return
    pytest.fail("not found")
