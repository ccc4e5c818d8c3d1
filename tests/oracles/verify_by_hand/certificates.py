"""Records of claims, and the certificate of a table under a policy."""

from __future__ import annotations

import hashlib
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from .bounds import betting_upper, cdf_gap, cp_upper, dkw_radius, exact2_upper, pair_blocks
from .canonical import H, dec, plain, seal
from .measured import Measured, untwinned
from .policies import toml
from .shift import best_dual, bins, value
from .tables import EXCHANGE, digests, shared_counts, write_csv

PAD = 2e-9


def record(measured, level, comparisons, refute=True, breakdown=True, form=1):
    """The record of a claim about people; in format 2 no bound contradicts what was counted."""
    claim, rules = measured.claim, measured.rules
    method, ball = claim["method"], claim.get("ball")
    cap = 1.0 if rules["estimand"] == "unit" else float(claim.get("cap", rules.get("cap", 0)))

    def counted(block, high, low=None):
        value = measured.counted(block, high, low) if form > 1 else None
        return math.nan if value is None else value  # comparisons with NaN change nothing below

    ends = method in ("clopper-pearson", "unit-ratio") and measured.kind != "counterfactual_parity"
    found = {"ucb": "1", "lcb": None}

    def below(block, group, a):
        if method == "unit-ratio":
            return betting_upper(*measured.units(block, group), cap, a)
        z = measured.kept(block)[group]
        return cp_upper(sum(v > 0 for v in z), len(z), a)

    def above(block, group, a):
        if method == "unit-ratio":
            s, n = measured.units(block, group)
            return 1 - betting_upper(n - s, n, cap, a)
        z = measured.kept(block)[group]
        return 1 - cp_upper(sum(v < 1 for v in z), len(z), a)

    def gap(block, a, b, at):
        if measured.kind == "counterfactual_parity":
            s, n = measured.units(block, a, lambda m: (1 + m["z"][a] - m["z"][b]) / 2)
            return 2 * betting_upper(s, n, cap, at) - 1
        z = measured.kept(block)
        if not z[a] or not z[b]:
            return 1.0
        if method == "exact2":
            return exact2_upper(sum(v > 0 for v in z[a]), len(z[a]), sum(v == 1 for v in z[b]), len(z[b]), at)
        if method == "block-pair":
            x = pair_blocks(z[a], z[b])
            return 2 * betting_upper(x, np.ones(len(x)), 1.0, at) - 1
        return cdf_gap(z[a], z[b]) + dkw_radius(len(z[a]), len(z[b]), at)

    keys = list(measured.comparisons())
    half = level / 2 if measured.paired else level
    if ends:
        pairs = {b: {g: (max(below(b, g, half) + PAD, counted(b, g)), min(above(b, g, half) - PAD, counted(b, g)))
                     for g in measured.groups} for b in measured.blocks}  # fmt: skip
        found["ends"] = {b: {g: [dec(max(0.0, lo)) if measured.paired else "0", dec(min(1.0, hi))]
                             for g, (hi, lo) in v.items()} for b, v in pairs.items()}  # fmt: skip
    sides = ("up", "down") if measured.paired else ("up",)

    def law(block, group, side):
        """(law, deviation) of z or 1 - z."""
        if ends:
            lo, hi = map(float, found["ends"][block][group])
            p = hi if side == "up" else 1 - lo
            return {0.0: 1 - p, 1.0: p}, 0.0
        z = np.asarray(measured.kept(block)[group])
        return bins(z if side == "up" else 1 - z), math.sqrt(math.log(1 / half) / (2 * len(z)))

    def transport(block, group, side, rho, lam):
        t = float(next(t for t in claim["thresholds"] if f"reward>{t}" in block))
        r = np.array([row["reward"] for row in measured.rows if row[claim["attribute"]] == group])
        v = np.where(r > t, 1.0, 1 - lam * (t - r)) if side == "up" else np.where(r <= t, 1.0, 1 - lam * (r - t))
        return lam * rho + np.maximum(v, 0).mean() + math.sqrt(math.log(1 / half) / (2 * len(r)))

    def total(values):
        return max(values[b, a, "up"] + (values[b, low, "down"] - 1 if low else 0) for b, a, low in keys)

    def shift(rho):
        dual, values = {}, {}
        for b in measured.blocks:
            for g in measured.groups:
                for side in sides:
                    if ball == "w1":
                        lam = min(np.geomspace(0.01, 50, 60), key=lambda v: transport(b, g, side, rho, v))
                        point = {"lambda": dec(lam)}
                        values[b, g, side] = min(1.0, transport(b, g, side, rho, float(dec(lam))))
                    else:
                        point = best_dual(ball, rho, *law(b, g, side))
                        values[b, g, side] = value(ball, rho, point, *law(b, g, side))
                    dual.setdefault(b, {}).setdefault(g, {})[side] = point
        return dual, total(values) + PAD

    if ball:
        found["dual"], worst = shift(float(claim["radius"]))
        found["breakdown"] = None
        bound = float(claim["bound"])
        if breakdown and worst <= bound:
            found["breakdown"] = {"radius": str(claim["radius"]), "dual": found["dual"]}
    elif ends:
        hi = {(b, g, "up"): float(found["ends"][b][g][1]) for b in measured.blocks for g in measured.groups}
        lo = {(b, g, "down"): 1 - float(found["ends"][b][g][0]) for b in measured.blocks for g in measured.groups}
        worst = total(hi | lo) + PAD
    elif measured.kind == "reward_parity" and method == "dkw":
        worst = PAD + total({
            (b, g, side): min(1.0, sum(z * m for z, m in law(b, g, side)[0].items()) + law(b, g, side)[1])
            for b in measured.blocks for g in measured.groups for side in sides
        })  # fmt: skip
    else:
        worst = max(gap(*key, level) for key in keys) + PAD
    worst = max([worst, *(seen for key in keys if not math.isnan(seen := counted(*key) + PAD))])
    found["ucb"] = dec(min(1.0, worst), 9)

    if refute and (method != "dkw" or measured.everywhere):
        share = level / comparisons
        best = (-math.inf, None)
        for block, a, b in keys:
            split = None
            if b is None:
                v = min(above(block, a, share) - PAD, counted(block, a))
            elif ends:
                split = min(above(block, a, share / 2) - PAD, counted(block, a))
                v = split - max(below(block, b, share / 2) + 2 * PAD, counted(block, b))
            elif measured.everywhere:
                z = measured.kept(block)
                v = cdf_gap(z[a], z[b]) - dkw_radius(len(z[a]), len(z[b]), share) - PAD
            else:
                v = -gap(block, b, a, share) - PAD
            v = min(v, counted(block, a, b) - PAD)
            if v > best[0]:
                best = (v, {"block": block, "high": a, "low": b, "value": dec(v), "split": split and dec(split)})
        found["lcb"] = best[1] if best[0] > -1 else None
    return found


def size(measured, block, group):
    if measured.claim["method"] == "unit-ratio":
        return len(measured.units(block, group, lambda m: 0.0)[0])
    return len(measured.kept(block)[group])


def certify(
    rules, rows, *, ledger=None, train_units=None, policy_bytes=None, tables=None, form=None, description=None,
    trained=None, **options,
):  # fmt: skip
    """The certificate of a table under a policy (a dict); `ledger`: (attempt, share, entry[, seed])."""
    form = form or int(rules["schema"][-1])
    level = float(Fraction(str(rules["delta"])) if ledger is None else ledger[1])
    claims, verdicts = dict(tables or {}), []
    people = [claim for claim in rules["claim"] if "method" in claim]
    full, frame = digests(rows, rules) if people else ("", "")
    secret = ledger[3] if ledger and form > 1 else rules.get("nonce", "")
    nonce = secret if form == 1 else H([secret, full])
    audited = [Measured(rows, rules, claim, nonce) for claim in people]
    comparisons = sum(len(list(m.comparisons())) for m in audited)
    for m in audited:
        found = claims[m.claim["name"]] = record(m, level, comparisons, form=form, **options)
        bound = Fraction(str(m.claim["bound"]))
        least = min(size(m, b, g) for b in m.blocks for g in m.groups)
        if least < rules["min_group"] or (form > 1 and m.blind()):
            verdicts.append("INCONCLUSIVE")
        elif Fraction(found["ucb"]) <= bound:
            verdicts.append("CERTIFIED")
        else:
            refuted = found["lcb"] and Fraction(found["lcb"]["value"]) > bound
            verdicts.append("REFUTED" if refuted else "INCONCLUSIVE")
    assumed = {
        "iid-units": people, "no-ledger": people and ledger is None,
        "train-overlap-unchecked": people and train_units is None,
        "group-labels-correct": any("attribute" in c and c.get("ball") != "label-noise" for c in people),
        "label-noise-bounded": any(c.get("ball") == "label-noise" for c in people),
        "twins-as-declared": any(m.twins or m.kind == EXCHANGE for m in audited),
    }  # fmt: skip
    data = None
    if people:
        data = {"rows": len(rows), "units": len({r["unit"] for r in rows}), "rows_sha256": full, "frame_sha256": frame}
    if people and form > 1:
        per = {c["per"] for c in people if "per" in c}
        columns = description["shared"] if description else []
        shared = shared_counts(rows, {*columns, *per}, trained if description else None)
        data |= {"description_sha256": description and description["sha256"], "shared": shared}
        data |= {"twins": untwinned(rows, rules)} if untwinned(rows, rules) else {}
        weights = {float(row.get("weight", 1)) for row in rows}
        assumed |= {
            "undescribed-table": description is None,
            "weights-ignored": rules["estimand"] == "unit" and len(weights) > 1,
            "same-items": any(shared[name]["crossed"] for name in {*columns} - per),
            "twins-missing": "twins" in data,
        }  # fmt: skip
    for name, found in (tables or {}).items():
        bound = next(Fraction(str(c["bound"])) for c in rules["claim"] if c["name"] == name)
        verdicts.append("CERTIFIED" if Fraction(found["ucb"]) <= bound else "INCONCLUSIVE")
    verdict = min(set(verdicts), key=("REFUTED", "INCONCLUSIVE", "CERTIFIED").index)
    return seal({
        "schema": f"faro-certificate/{form}", "model_sha256": "0" * 64, "data": data,
        "policy_sha256": hashlib.sha256(toml(rules).encode() if policy_bytes is None else policy_bytes).hexdigest(),
        "ledger": ledger and dict(zip(("attempt", "delta", "entry", "seed"), map(plain, ledger), strict=False)),
        "train_units_sha256": train_units, "assumptions": sorted(k for k, v in assumed.items() if v),
        "claims": claims, "result": {"verdict": verdict}, "info": {},
    })  # fmt: skip


def store(folder: Path, rules, rows, cert, description=None):
    """Write policy, table, description and certificate; returns the arguments of the checker."""
    (folder / "faro.toml").write_text(toml(rules))
    (folder / "cert.json").write_text(json.dumps(cert))
    found = [str(folder / "cert.json")]
    if rows:
        write_csv(folder / "audit.csv", rows)
        found.append(str(folder / "audit.csv"))
        beside = folder / "audit.csv-metadata.json"
        beside.unlink(missing_ok=True)
        if description is not None:
            beside.write_text(json.dumps(description))
    return [*found, "--policy", str(folder / "faro.toml")]
