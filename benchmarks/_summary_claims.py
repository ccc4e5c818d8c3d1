"""Claims on summaries in words, by a summariser that nobody trains: a part of `people_claims`. It needs the encoder
minilm (`make text`)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

import faro
from faro.data import Dataset
from faro.people.summaries import Contrast, History, summarised
from faro.store.model import TrainedModel

from ._claims import Claim, Found

PETS = (
    "cats", "dogs", "parrots", "hamsters", "rabbits", "ponies", "goldfish", "kittens", "puppies", "turtles", "lizards",
    "ferrets",
)  # fmt: skip
CARS = (
    "engines", "brakes", "gearboxes", "lorries", "motorways", "tyres", "exhausts", "pistons", "spanners", "garages",
    "coupes", "clutches",
)  # fmt: skip
FORMS = (
    "a talk on {}", "what my aunt says of {}", "ten facts about {}", "why {} matter to us", "a poem about {}",
    "how {} came to this town",
)  # fmt: skip
SCHEMA = {
    "format": "wide", "unit": "person", "sides": ["a", "b"], "label": "first", "texts": [{"name": "said"}],
    "attributes": [{"name": "place", "levels": ["x", "y"]}],
}  # fmt: skip
SUMMARISERS = {"contrast": Contrast(), "one word": Contrast(words=1), "with what is not liked": Contrast(against=5)}


def votes(seed: int, people: int = 400, each: int = 12) -> Dataset:
    """Half of the people take what is said of pets, the others what is said of cars, but for one answer in twenty; a
    word is in few of the texts, and its place in `FORMS` is chance."""
    rng = np.random.default_rng([20, 20, 9, seed])
    person = np.repeat(np.arange(people), each)
    pets = rng.random(len(person)) < 0.5

    def said(of_pets: np.ndarray) -> list[str]:
        return [str(rng.choice(FORMS)).format(rng.choice(PETS if pet else CARS)) for pet in of_pets]

    frame = {"person": [f"p{p}" for p in person], "a_said": said(pets), "b_said": said(~pets)}
    frame |= {f"{side}_place": rng.choice(["x", "y"], len(person)) for side in "ab"}
    first = (pets == (person % 2 == 0)) ^ (rng.random(len(person)) < 0.05)
    return faro.load(pd.DataFrame(frame | {"first": first.astype(int)}), SCHEMA)


def trained(data: Dataset) -> TrainedModel:
    settings = {"steps": 100, "every": 20, "weight_decay": 0.05}
    return faro.train(data, "demographic_parity", attribute="place", bound=float("inf"), settings=settings)


def right(model: TrainedModel, data: Dataset) -> float:
    """Of the choices of new people, the share that the model foretells."""
    scored = model.score(data)
    asked = scored[scored["part"] == "dev"].pivot(index="choice", columns="alternative")
    return float(((asked["reward"]["a"] > asked["reward"]["b"]) == (asked["label"]["a"] > 0.5)).mean())


def of_summaries(seed: int) -> Found:
    data = votes(seed)
    told = functools.partial(summarised, data, k=4)
    tables: dict[str, Any] = {name: told(summariser) for name, summariser in SUMMARISERS.items()}
    tables |= {"raw history": told(History()), "shuffled": told(Contrast(), shuffled=True)}
    models = {name: trained(table) for name, table in tables.items()}
    found = {name: right(model, tables[name]) for name, model in models.items()}
    found["one reward"] = right(trained(data), data)
    for reads, by in (("contrast", "one word"), ("one word", "contrast"), ("contrast", "raw history")):
        found[f"rewards of {reads}, summaries of {by}"] = right(models[reads], tables[by])
    return found


PARTS = {"summaries": of_summaries}
CLAIMS = (
    Claim(
        "summaries",
        "one reward; somebody else's summaries; one's own, of four choices (who knows the taste: .95)",
        ("one reward", "shuffled", "contrast"),
        "not measured",
        lambda one, other, own: own > max(one, other) + 0.15 and abs(other - 0.5) < 0.1,
    ),
    Claim(
        "summaries",
        "transfer: rewards fitted to five words read one, and the other way round, beside one word by its own",
        ("rewards of contrast, summaries of one word", "rewards of one word, summaries of contrast", "one word"),
        "not measured",
        lambda fewer, more, own: min(fewer, more) > 0.55,
    ),
    Claim(
        "summaries",
        "NEGATIVE: what is not liked beside what is liked: vectors hardly hear a not",
        ("with what is not liked", "contrast"),
        "not measured",
        lambda both, liked: both < liked - 0.1,
    ),
    Claim(
        "summaries",
        "NEGATIVE: the raw history as a text, by its own rewards and by those of summaries",
        ("raw history", "rewards of contrast, summaries of raw history"),
        "not measured",
        lambda own, other: max(own, other) < 0.65,
    ),
)
