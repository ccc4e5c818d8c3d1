"""faro certify and gate: bounds of a scored table under a policy, shown or asked for one bit. What they mean:
docs/certificates.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError, UnprovedError, UsageError
from ...registry import import_constraints
from .. import outputs
from ..flags import add_audited, add_plugin, tables
from ..verdicts import described

if TYPE_CHECKING:
    from ...certify.certificate import Case, Certificate
    from ...certify.policy import Policy


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    certify = command(
        "certify",
        outputs.reported("tuning", _certify),
        "Bound disparities on held-out people: on the dev part as often as wanted, or once with --disclose.",
        "  faro certify dev.csv --policy faro.toml --train-units out/model.units.txt\n"
        "  faro certify gate.csv --policy faro.toml --train-units out/model.units.txt --disclose\n"
        "  faro certify out/demo --policy out/demo/faro.toml --disclose",
    )
    _judged(certify)
    certify.add_argument(
        "--disclose", action="store_true", help="show every number of the gate part, once; retires the audit set"
    )
    certify.add_argument(
        "--fail-on", choices=("refuted", "inconclusive"), default="inconclusive",
        help="which verdicts end with a code other than 0: refuted only, or inconclusive as well (default)",
    )  # fmt: skip
    certify.add_argument(
        "--baseline", metavar="CERT", help="0 if no bound is worse than in CERT, made of the same people"
    )
    certify.add_argument("--data", metavar="NAME|FILE", help="data of a frontier run, if it is not a known data set")
    add_plugin(certify, "of a frontier run: import its constraint")
    certify.add_argument("--report-only", action="store_true", help="end with 0 whatever the verdict")

    gate = command(
        "gate",
        outputs.reported("gate", _gate),
        "Ask one bit about the gate part: 0 pass, 1 no pass, 3 too few people whatever the scores.",
        "  faro score out/model.json people.csv --part gate --out gate.csv\n"
        "  faro gate gate.csv --policy faro.toml --train-units out/model.units.txt --model out/model.json",
    )
    _judged(gate)


def _judged(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("scored", nargs="?", metavar="TABLE", help="a scored table: .csv, .jsonl or .parquet")
    sub.add_argument("--policy", required=True, metavar="FILE", help="the policy (TOML)")
    sub.add_argument("--ledger", metavar="FILE", help="the ledger, if it is not where the policy says")
    sub.add_argument("--out", metavar="FILE", help="write the certificate (JSON)")
    outputs.add(sub)
    add_audited(sub)
    outputs.add_plain(sub)


def _certify(options: argparse.Namespace) -> int:
    from ...certify import ledger, modes
    from ...certify.policy import read_policy

    policy = read_policy(options.policy)
    on_dev = options.baseline or options.report_only or options.fail_on != "inconclusive"
    if options.disclose and on_dev:
        raise UsageError("--fail-on, --baseline and --report-only are for dev rows; --disclose shows what there is")
    if options.disclose and options.scored and Path(options.scored).is_dir():
        if outputs.wanted(options):
            raise UsageError("--html, --junit-xml, --sarif and --markdown are for one certificate, not for a run")
        import_constraints(options.plugin)
        return _disclose_run(options, policy)
    if options.scored and Path(options.scored, "frontier.csv").is_file():
        raise UsageError(f"{options.scored}: a run; say --disclose to show all of it once, or give a scored table")
    case = _case(options, policy)
    options.outcome = _of_case(case)
    outputs.note_shared_content(case.columns or {}, options)
    _note_scale(case, options)
    if options.disclose:
        (certificate,) = modes.disclose([case], ledger.place(policy, options.ledger), _info())
    else:
        certificate = modes.tune(case, _info(), options.ledger)
    baseline = _baseline(options.baseline, case) if options.baseline else None
    if options.out:
        _write(certificate, options.out)
    _show(certificate, policy, options)
    tuning = certificate.record["info"].get("note") == modes.TUNING
    options.outcome |= {"mode": "tuning" if tuning else "certificate", "code": certificate.verdict.exit_code}
    options.outcome |= outputs.described(certificate, policy)
    worse = [] if baseline is None else _worse(certificate, baseline)
    for name in worse:
        print(f"faro: {name}: the bound is worse than in {options.baseline}", file=sys.stderr)
    if baseline is not None:
        options.outcome["worse"] = {claim.name: claim.name in worse for claim in policy.claims}
    if options.report_only:
        return 0
    if baseline is not None:
        return 1 if worse else 0
    code = certificate.verdict.exit_code
    return 0 if code == 3 and options.fail_on == "refuted" else code


def _disclose_run(options: argparse.Namespace, policy: Policy) -> int:
    from ...certify import ledger
    from ...certify.frontier import certify_points
    from ...store.choice import read_choice

    table = certify_points(Path(options.scored), policy, ledger.place(policy, options.ledger), _info(), options.data)
    if options.json:
        print(table.to_json(orient="records"))
    else:
        print(table.drop(columns="spent").to_string(index=False))
        in_sequence = read_choice(options.scored) is not None
        sure = 100 * (1 - (table["spent"].max() if in_sequence else table["spent"].sum()))
        hold = f"with {sure:.4g} % confidence all {len(table)} hold"
        if in_sequence:
            hold = f"each holds with {sure:.4g} % confidence.\nWith that confidence no false claim is CERTIFIED"
        print(
            f"\ncertified_slack: upper bounds for the population of the gate part; {hold}.\n"
            "certified_verdict: of the policy's claims, whatever bound a model was trained for.\n"
            f"The gate part is used up. {Path(options.scored, 'certificates')}: a certificate and a scored table per "
            "point, for faro verify"
        )
    return 0


def _gate(options: argparse.Namespace) -> int:
    from ...certify import ledger, modes
    from ...certify.policy import read_policy

    policy = read_policy(options.policy)
    case = _case(options, policy)
    options.outcome = _of_case(case)
    _note_table(case, options)
    place = ledger.place(policy, options.ledger)
    gated = modes.gate(case, place, lambda certificate: _doubt(certificate, case, place, options), _info())
    if gated.shown and options.out:
        _write(gated.shown, options.out)
    word = {modes.Answer.PASS: "pass", modes.Answer.NO_PASS: "no pass", modes.Answer.TOO_FEW: "too few people"}
    if options.json:
        print(json.dumps({"answer": word[gated.answer], "too_few": list(gated.short)}))
    else:
        print("\n".join([word[gated.answer], *gated.short]))
    if gated.answer is modes.Answer.PASS and options.out and not gated.shown:
        outputs.noted(options, ["more passes are left, so the certificate stays in escrow until they are used"])
    options.outcome = {"reason": "; ".join(gated.short), **_of_case(case)}
    options.outcome |= outputs.described(gated.shown, policy) if gated.shown else {}
    return int(gated.answer)


def _doubt(certificate: Certificate, case: Case, ledger: Path, options: argparse.Namespace) -> str | None:
    """Why the stand-alone checker does not prove a certificate; None if it does."""
    import tempfile

    from ... import verify
    from ...certify.columns import write_columns
    from ...certify.description import write_description

    with tempfile.TemporaryDirectory() as folder:
        written, table = Path(folder, "certificate.json"), Path(folder, "audit.csv")
        written.write_text(json.dumps(certificate.record), encoding="utf-8")
        write_columns(case.columns or {}, table)
        if case.description is not None:
            write_description(table, case.description)
        try:
            result = verify.verify(
                written, str(table), policy=options.policy, ledger=ledger, train_units=options.train_units,
                tables=tables(options.table), models=options.model,
            )  # fmt: skip
        except verify.Refused as refused:
            return f"the checker refused it: {refused}"
    return None if result.verdict == "CERTIFIED" else f"the checker says {result.verdict}"


def _case(options: argparse.Namespace, policy: Policy) -> Case:
    from ...certify.certificate import prepare

    return prepare(
        options.scored, policy, train_units=options.train_units, models=options.model, tables=tables(options.table)
    )


def _info() -> dict[str, Any]:
    from importlib.metadata import version

    return {"tool": f"faro {version('faro-fairness')}"}


def _of_case(case: Case) -> dict[str, Any]:
    """What every output says of the table, whatever becomes of it."""
    return {"assumed": case.assumed, "statements": case.statements}


def _note_table(case: Case, options: argparse.Namespace) -> None:
    """What the table does not say of itself, where nothing else is printed; it depends on no score."""
    from ...certify.policy import TABLE_ASSUMPTIONS

    assumed = [f"assumed: {name}" for name in case.assumed if name in TABLE_ASSUMPTIONS]
    outputs.noted(options, [*assumed, *case.statements])


def _note_scale(case: Case, options: argparse.Namespace) -> None:
    """Rewards that look like probabilities, where the policy's threshold is not one; for dev rows only."""
    audit, policy = case.audit, case.policy
    if audit is None or options.disclose or policy.outside != "all" or 0 < policy.threshold < 1:
        return
    if audit.reward.min() >= 0 and audit.reward.max() <= 1:
        what = "all rewards lie in [0, 1]: are they probabilities? Then accepted means above 0.5: say threshold = 0.5 "
        outputs.noted(options, [f"{what}in the policy, where it is {policy.threshold}"])


def _write(certificate: Certificate, path: str) -> None:
    from ...files import write_json

    write_json(path, certificate.record)


def _show(certificate: Certificate, policy: Policy, options: argparse.Namespace) -> None:
    from ..terminal import show_certificate

    if options.json:
        print(json.dumps(certificate.record))
    else:
        show_certificate(*described(certificate, policy))


def _baseline(path: str, case: Case) -> dict[str, Any]:
    """The claims of an earlier certificate of the same people under the same policy."""
    from ...certify.ledger import digest

    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        claims, same = record["claims"], record["policy_sha256"] == case.policy.sha256
        sealed = {key: value for key, value in record.items() if key not in ("sha256", "info")}
        if record["sha256"] != digest(sealed):
            raise UnprovedError(f"{path}: was changed after it was sealed")
        frame = None if record["data"] is None else record["data"]["frame_sha256"]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnprovedError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: not a certificate: {type(error).__name__}: {error}") from None
    if not same or frame != (case.audit and case.audit.frame_sha256):
        raise DataError(
            f"{path}: made on other people, or under another policy; bounds of two audit sets do not compare"
        )
    if set(claims) != {claim.name for claim in case.policy.claims}:
        raise UnprovedError(f"{path}: has other claims than the policy")
    return claims


def _worse(certificate: Certificate, baseline: dict[str, Any]) -> list[str]:
    """Claims whose bound is larger than the baseline's, or that have none where it has one."""
    from ...certify.policy import exact

    worse = []
    for name, finding in certificate.findings.items():
        record = baseline[name]
        before = exact(record.get("ucb")) if isinstance(record, dict) else None
        if before is None and not (isinstance(record, dict) and record.get("ucb", "") is None):
            raise DataError(f"--baseline: claim {name!r} has no bound that can be read")
        if before is not None and (finding.ucb is None or finding.ucb > before):
            worse.append(name)
    return worse
