"""Do the intervals of `faro ask` cover, end to end: of people who are drawn, after questions that their answers chose?

A model is trained on `demo-people`. People are drawn from the population as it was fitted, which is what intervals are
about; each is interviewed by `faro.people.ask.Interview`, by every criterion, and answers by chance. After 5 and after
10 questions it is counted how many of the pairs that were not asked have their true probability within the interval of
90 %. Coverage is a mean over people, and so is its interval. The bar: it is not below 90 % and not above 93 %, beyond
chance.

What has to fail: the same intervals of somebody else. Told beside it, on the same answers: the law of Laplace, with
the curvature at the mode, which is a little short; the same without a prior (N(0, 1000 I), PReF's ridge), which covers
since it says nothing; and people of the true law, of whom nothing is promised, since the fitted law is another. A line
per cell stands in OUT/people_ask.jsonl.

`python -m benchmarks people_ask -- --people 200 --out out/people`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import faro
from faro.data import Dataset
from faro.data.demo_people import WORLDS
from faro.people import questions
from faro.people.ask import CRITERIA, Interview
from faro.store.model import TrainedModel

from . import _lines

WORLD = WORLDS["demo-people"]
COUNTS, PAIRS, LEVEL, MOST = (5, 10), 120, 0.9, 0.93
MODEL = {"model": "pref(rank=2)", "settings": {"steps": 120, "weight_decay": 1e-3}}
FAILS = "another's"


def trained(path: Path) -> TrainedModel:
    """The model of the benchmark, found on disk if it is there."""
    if not path.with_suffix(".json").exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = faro.train(WORLD.name, "group_error", attribute="community", bound=float("inf"), **MODEL)  # type: ignore[arg-type]
        model.save(path)
    return faro.load_model(path.with_suffix(".json"))


def pairs() -> Dataset:
    """What may be asked: pairs put to people of one community."""
    table = WORLD.generate(seed=7, people=PAIRS, choices=1)
    return Dataset.from_table(table.assign(community="north"), WORLD.schema, name="pairs")


def people(interview: Interview, items: Dataset, law: str, count: int) -> np.ndarray:
    """Probabilities `[U, m]` of the first of every pair, of people of the fitted law or of the true one."""
    rng = np.random.default_rng([20, 18, 5, count])
    if law == "fitted":
        weights = rng.standard_normal((count, interview.pairs.shape[1] - 1))
        margins = interview.pairs[:, 0] + weights @ interview.pairs[:, 1:].T
    else:
        own = WORLD.mean[0] + rng.standard_normal((count, len(WORLD.directions))) @ WORLD.directions - WORLD.apart
        names = ["quality", "clarity", "brevity", "warmth"]
        x = items.frame[names].to_numpy(float).reshape(-1, 2, len(names))
        margins = own @ (x[:, 0] - x[:, 1]).T
    return 1 / (1 + np.exp(-margins))


def laws(interview: Interview) -> dict[str, questions.Gaussian]:
    """What is said of the person after the answers so far: by faro, and by what is held against it."""
    said = {"faro": interview.person()}
    with jax.enable_x64(True):
        asked, answers = jnp.asarray(interview.pairs[interview.asked]), jnp.asarray(interview.answers)
        said["mode"] = questions.posterior(interview.prior, asked, answers)
        spread = jnp.asarray(np.diag([0.0, *[1000.0] * (interview.pairs.shape[1] - 1)]))
        said["no prior"] = questions.posterior(interview.prior._replace(covariance=spread), asked, answers)
    return said


def cell(model: TrainedModel, criterion: str, law: str, count: int) -> dict[str, Any]:
    """Coverage of every person, and the width of intervals, by how many questions were asked and by whose interval."""
    items = pairs()
    first = Interview.of(model, items, max(COUNTS), criterion)
    of_people, rng = people(first, items, law, count), np.random.default_rng([20, 18, 6, count])
    found: dict[str, dict[str, list[float]]] = {}
    for number, chances in enumerate(of_people):
        interview = Interview.of(model, items, max(COUNTS), criterion, number) if number == 0 else _again(first, number)
        while (place := interview.next()) is not None:
            interview.tell(place, float(rng.random() < chances[place]))
            if len(interview.asked) not in COUNTS:
                continue
            rest = np.ones(len(chances), bool)
            rest[interview.asked] = False
            said = laws(interview)
            for name, person in {**said, FAILS: said["faro"]}.items():
                true = of_people[(number + 1) % count] if name == FAILS else chances
                with jax.enable_x64(True):
                    low, high = (np.asarray(end) for end in questions.interval(person, jnp.asarray(interview.pairs)))
                own = found.setdefault(f"{len(interview.asked)} {name}", {"covered": [], "width": []})
                own["covered"].append(float(((low <= true) & (true <= high))[rest].mean()))
                own["width"].append(float((high - low)[rest].mean()))
    return {
        key: {name: [round(value, 4) for value in values] for name, values in own.items()} for key, own in found.items()
    }


def _again(first: Interview, seed: int) -> Interview:
    """The same interview with somebody else."""
    return Interview(first.names, first.pairs, first.prior, first.count, first.criterion, seed)


def told(lines: dict[tuple[str, str], dict[str, Any]]) -> int:
    """The table, and whether every bar is kept."""
    kept = True
    print(f"{'people':8}{'criterion':11}{'asked':>6} {'interval':10}{'coverage':>9}  95 %{'width':>14}")
    for (law, criterion), found in lines.items():
        for key, own in found.items():
            count, _, name = key.partition(" ")
            covered = np.array(own["covered"])
            mean, half = covered.mean(), 1.96 * covered.std(ddof=1) / len(covered) ** 0.5
            good = mean + half >= LEVEL and mean - half <= MOST
            said = ""
            if law == "fitted" and name == "faro":
                said, kept = ("kept" if good else "NOT KEPT"), kept and good
            elif law == "fitted" and name == FAILS:
                said, kept = (
                    ("fails, as it must" if mean + half < LEVEL else "CONTROL PASSES"),
                    kept and mean + half < LEVEL,
                )
            ends = f"[{mean - half:.3f}, {mean + half:.3f}]"
            print(f"{law:8}{criterion:11}{count:>6} {name:10}{mean:9.3f}  {ends}{np.mean(own['width']):8.3f}  {said}")
    print("all bars kept" if kept else "a bar is not kept")
    return 0 if kept else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("out/people"))
    options = parser.parse_args()
    path = options.out / "people_ask.jsonl"
    known = _lines.finished(path, lambda line: (line["law"], line["criterion"], line["people"]))
    cells = [(law, criterion) for law in ("fitted", "true") for criterion in CRITERIA]
    for law, criterion in cells:
        if (law, criterion, options.people) not in known:
            model = trained(options.out / "people_ask_model")
            found = cell(model, criterion, law, options.people)
            line = {"law": law, "criterion": criterion, "people": options.people, "found": found}
            known[law, criterion, options.people] = line
            _lines.add(path, line)
    return told({(law, criterion): known[law, criterion, options.people]["found"] for law, criterion in cells})


if __name__ == "__main__":
    sys.exit(main())
