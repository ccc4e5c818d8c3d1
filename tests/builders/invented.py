"""Finished runs that nobody trained: every number of them is known, because it is made here."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from faro.report import Run, read_run, write_report
from tests.oracles.page import Page


@dataclasses.dataclass
class Invented:
    """A run that nobody trained: `write` puts it into a folder."""

    name: str = "invented"
    bounds: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    seeds: int = 3
    groups: int = 3
    parts: tuple[str, ...] = ("demographic_parity(sex)",)
    status: str = "FEASIBLE"
    diverged: tuple[int, ...] = ()
    known: bool = False
    records: int = 100
    seed: int = 7  # of the noise
    setting: int = 2000
    cell: str = "sex={}"

    def write(self, folder: Path) -> Path:
        rng = np.random.default_rng(self.seed)
        cells = [self.cell.format(group) for group in range(self.groups)]
        labels = [f"{part}: {side} {cell}" for part in self.parts for side in ("high", "low") for cell in cells]
        rows = [self._row(rng, bound, seed, cells) for bound in (*self.bounds, math.inf) for seed in range(self.seeds)]
        members = pd.DataFrame(rows)
        for row in self.diverged:
            members.loc[row, "status"] = "DIVERGED"
            members.loc[row, "pareto"] = False
            numbers = [name for name in members if re.match(r".*_(accuracy|nll|ece|gap)", name) or "_rate[" in name]
            members.loc[row, numbers] = math.nan
        folder.mkdir(parents=True, exist_ok=True)
        members.to_csv(folder / "frontier.csv", index=False)
        self._traces(rng, members, labels, folder)
        manifest = {
            "faro": "0.1.0",
            "versions": {"python": "3.11.7", "jax": "0.10.2"},
            "data": {
                "name": self.name, "digest": "0" * 64, "choices": 6980, "people": 1396, "source": "a made-up place",
                "unit": "person (no. 1 to 1396)",
                "licence": "none needed", "traps": ["pairs within one group count too"],
            },
            "constraint": {"name": " and ".join(self.parts), "parts": self.parts, "labels": labels, "cells": cells},
            "configuration": {"steps": self.setting, "note": self.name},
            "seeds": list(range(self.seeds)),
            "bounds": self.bounds,
            "command": "faro frontier --data invented",
            "seconds": 12.5,
            "device": "cpu",
        }  # fmt: skip
        if self.known:
            at = np.linspace(0, 0.4, 40)
            manifest["truth"] = {"bounds": list(at), "accuracy": list(best(at))}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def _row(self, rng, bound, seed, cells):
        gap = min(bound, 0.3)
        row = {
            "constraint": "c", "bound": bound, "seed": seed,
            "status": "FEASIBLE" if math.isinf(bound) else self.status,
            "pareto": self.status == "FEASIBLE" and gap < 0.2,
        }  # fmt: skip
        for prefix, extra in (("train", 0.0), ("selection", 0.01), ("dev", 0.015)):
            noisy = gap + extra + (0.01 * rng.random() if extra else -0.0005)
            row |= {f"{prefix}_n": 3000 + seed, f"{prefix}_accuracy": best(gap) - extra + 0.004 * rng.random()}
            row |= {f"{prefix}_nll": 0.6 - gap / 5, f"{prefix}_ece": 0.02 + 0.01 * rng.random()}
            if len(self.parts) == 1:
                row[f"{prefix}_gap"] = noisy
            else:
                row |= {f"{prefix}_gap[{part}]": noisy / (1 + place) for place, part in enumerate(self.parts)}
            row |= {
                f"{prefix}_rate[{cell}]": 0.5 + noisy * (i / max(len(cells) - 1, 1) - 0.5)
                for i, cell in enumerate(cells)
            }
        if self.known:
            row |= {"population_accuracy": best(gap) - 0.01 - 0.003 * seed, "population_gap": gap + 0.004 * seed}
            row["population_frontier"] = best(gap)
        place = 0 if math.isinf(bound) else 1 + self.bounds.index(bound)
        return row | {"model": f"models/bound{place:02d}-seed{seed}.json"}

    def _traces(self, rng, members, labels, folder):
        m, size = len(labels), (len(members), self.records)
        fade = np.exp(-np.linspace(0, 5, self.records))[None, :, None]
        bound = np.minimum(members["bound"].to_numpy(), 0.3)[:, None, None]
        gap = np.broadcast_to(bound + (0.3 - bound) * fade, (*size, len(self.parts)))
        violation = (gap[..., :1] - bound) * rng.random((1, 1, m)) + 0.01 * rng.standard_normal((*size, m)) * fade
        np.savez(
            folder / "traces.npz", step=np.arange(self.records) * 20, loss=0.6 + 0.1 * fade[..., 0] * np.ones(size),
            gap=gap, violation=violation, multiplier=np.cumsum(violation.clip(0), 1) / 10, capped=np.zeros(size, bool),
            stationarity=0.1 * fade[..., 0] * np.ones(size), feasibility=violation.max(-1).clip(0),
            complementarity=np.zeros(size),
        )  # fmt: skip


def best(gap):
    """The highest accuracy within a gap, where the population is known."""
    return 0.78 - 0.2 * np.exp(-12 * np.asarray(gap)) / 2


def certify(folder: Path) -> Run:
    """Plant certificates of the non-dominated members: one is vacuous, one refuted, the rest a little above the gap."""
    members = pd.read_csv(folder / "frontier.csv")
    at = np.flatnonzero(members["pareto"])
    members["certified_slack"] = pd.Series(dtype=float)
    members["certified_verdict"] = pd.Series(dtype=object)
    members.loc[at, "certified_slack"] = members.loc[at, "dev_gap"] + 0.0512345
    members.loc[at, "certified_verdict"] = "CERTIFIED"
    members.loc[at[0], ["certified_slack", "certified_verdict"]] = 1.0, "INCONCLUSIVE"
    members.loc[at[1], "certified_verdict"] = "REFUTED"
    members.to_csv(folder / "frontier.csv", index=False)
    return read_run(folder)


def recorded(folder: Path, **changes) -> Run:
    """The run with other entries of its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return read_run(folder)


def page(folder: Path) -> tuple[str, Page]:
    """The report of a run, as text and as it is read."""
    text = write_report(read_run(folder), folder).read_text(encoding="utf-8")
    return text, Page(text)
