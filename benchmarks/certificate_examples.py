"""Certificates on real data: an unconstrained and a constrained model each, disclosed on people that nobody had read.

    make bench ARGS="certificate_examples -- --out out/certificates"

Trains on adult, immigration and swissmetro (FARO_DATA or fetched), scores the gate part, makes policy and ledger,
discloses both models at one attempt, and checks every certificate with faro/verify.py. The README quotes the table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import faro
from faro import verify
from faro.certify import ledger
from faro.certify.audit import read_audit
from faro.certify.frontier import certify_points
from faro.certify.policy import read_policy
from faro.certify.sample_size import times_as_many
from faro.data import Dataset, write_table

HEAD = """schema = "faro-policy/1"
delta = 0.05
estimand = "{estimand}"
nonce = "certificate examples, before any score"
min_group = 10
outside = "{outside}"
ledger = "ledger.jsonl"
assumptions = ["iid-units", "group-labels-correct", "twins-as-declared"]
"""
LEVELS = """
[attributes.{name}]
levels = {levels}
chooser = {chooser}
"""
CLAIM = """
[[claim]]
name = "{name}"
constraint = "{constraint}"
attribute = "{attribute}"
bound = {bound}
method = "{method}"
"""

# data set: what to train under, bound, estimand, outside, claims (name, constraint, attribute, bound, method, more)
EXAMPLES = {
    "adult": (
        {"attribute": "sex"}, 0.01, "row", "all",
        [("parity by sex", "demographic_parity", "sex", 0.05, "exact2", "")],
    ),
    "immigration": (
        {"constraint": "demographic_parity", "attribute": "Gender,CountryOfOrigin"}, 0.02, "unit", "none",
        [
            ("parity by gender", "demographic_parity", "Gender", 0.1, "unit-ratio", ""),
            ("parity by country", "demographic_parity", "CountryOfOrigin", 0.1, "unit-ratio", ""),
            ("gender exchanged", "counterfactual_parity", "Gender", 0.1, "unit-ratio", ""),
        ],
    ),
    "swissmetro": (
        {"attribute": "gender", "of": "mode=Swissmetro"}, 0.01, "unit", "none",
        [("parity by gender", "demographic_parity", "gender", 0.1, "unit-ratio", 'of = ["mode", "Swissmetro"]\n')],
    ),
}  # fmt: skip


def policy_text(data: Dataset, example: tuple) -> str:
    _, _, estimand, outside, claims = example
    used = {attribute for _, _, attribute, *_ in claims} | {"mode" for *_, more in claims if "mode" in more}
    parts = [HEAD.format(estimand=estimand, outside=outside)]
    for name, attribute in data.attributes.items():
        if name in used:
            chooser = str(attribute.chooser).lower()
            parts.append(LEVELS.format(name=name, levels=json.dumps(list(attribute.levels)), chooser=chooser))
    for name, constraint, attribute, bound, method, more in claims:
        own = {"name": name, "constraint": constraint, "attribute": attribute, "bound": bound, "method": method}
        parts.append(CLAIM.format(**own) + more)
    return "".join(parts)


def run(name: str, folder: Path) -> list[str]:
    """Lines of the table for one data set."""
    constrained, bound, *_ = example = EXAMPLES[name]
    data = faro.load(name)
    began = time.perf_counter()
    frontier = faro.frontier(data, **constrained, bounds=[bound], seeds=[0], out=folder, overwrite=True)
    trained = time.perf_counter() - began
    (folder / "faro.toml").write_text(policy_text(data, example))
    policy = read_policy(folder / "faro.toml")
    scored = frontier.models[0].score(data, ["Gender"] if name == "immigration" else [])
    write_table(scored[scored["part"] == "gate"], folder / "gate.csv")
    for old in (folder / "ledger.jsonl", folder / "ledger.jsonl.head"):  # an example: a real ledger is never removed
        old.unlink(missing_ok=True)
    ledger.create(folder / "ledger.jsonl", policy, read_audit(folder / "gate.csv", policy))
    began = time.perf_counter()
    certify_points(folder, policy, folder / "ledger.jsonl", {"tool": "benchmarks certificate_examples"}, points="all")
    took = time.perf_counter() - began
    lines = []
    for i, kind in enumerate(("unconstrained", f"trained within {bound}")):
        place = folder / "certificates" / f"bound{i:02d}-seed0"
        result = verify.verify(
            place.with_suffix(".json"), str(place.with_suffix(".csv")), policy=folder / "faro.toml",
            train_units=str(folder / "models" / "seed0.units.txt"),
        )  # fmt: skip
        record = json.loads(place.with_suffix(".json").read_text())
        for claim in policy.claims:
            finding = result.findings[claim.name]
            lcb = "-" if finding.lcb is None else f"{float(finding.lcb):.3f}"
            upper = "vacuous" if finding.ucb >= 1 else f"{float(finding.ucb):.3f}"
            note = finding.note.rsplit(" ", 1)[-1]
            people = record["data"]["units"]
            times = times_as_many(finding.ucb, float(note), claim.bound)
            undecided = finding.verdict == "INCONCLUSIVE"
            wanted = undecided * (f", needs about {times * people:,.0f}" if times else ", counted above the bound")
            lines.append(
                f"| {name}, {claim.name} | {kind} | {people:,} | {float(note):.3f} | {lcb} | {upper} | "
                f"{float(claim.bound):g} | {finding.verdict}{wanted} |"
            )
    print(f"{name}: trained in {trained:.0f} s, certified in {took:.1f} s; every certificate checks")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="out/certificates")
    parser.add_argument("--only", action="append", choices=list(EXAMPLES))
    options = parser.parse_args()
    lines = []
    for name in options.only or EXAMPLES:
        folder = Path(options.out) / name
        shutil.rmtree(folder / "certificates", ignore_errors=True)
        lines += run(name, folder)
    print("| claim | model | people | gap counted | at least | at most | bound | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
