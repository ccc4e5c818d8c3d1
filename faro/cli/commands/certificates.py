"""Commands around certificates: certify, gate, verify, ledger, policy, envelope. What they mean: docs/certificates.md,
docs/envelope.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError, RefusedError, UnprovedError, UsageError, beside
from ...files import absent
from ...registry import import_constraints
from .. import outputs

if TYPE_CHECKING:
    from ...certify.certificate import Case, Certificate
    from ...certify.policy import Policy


DEFAULT_BOUND = 0.05  # the bound that a draft asks for where training had none, or several


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
    _imported(certify, "of a frontier run: import its constraint")
    certify.add_argument("--report-only", action="store_true", help="end with 0 whatever the verdict")

    gate = command(
        "gate",
        outputs.reported("gate", _gate),
        "Ask one bit about the gate part: 0 pass, 1 no pass, 3 too few people whatever the scores.",
        "  faro score out/model.json people.csv --part gate --out gate.csv\n"
        "  faro gate gate.csv --policy faro.toml --train-units out/model.units.txt --model out/model.json",
    )
    _judged(gate)

    verify = command(
        "verify",
        _verify,
        "Check a certificate, or an envelope, with the stand-alone checker faro/verify.py, which trusts nothing.",
        "  faro verify certificate.json gate.csv --policy faro.toml --html certificate.html\n"
        "  faro verify out/demo/envelope-seed0.json out/demo/envelope-seed0.jsonl",
    )
    verify.add_argument("certificate", metavar="CERT", help="a certificate, or an envelope")
    verify.add_argument("audit", nargs="?", metavar="AUDIT", help="the scored table, or the table of the envelope")
    verify.add_argument("--policy", metavar="FILE", help="the policy (TOML) of a certificate")
    verify.add_argument("--ledger", metavar="FILE", help="the ledger, if it is not where the policy says")
    verify.add_argument(
        "--rescore", metavar="NAME|FILE", help="score AUDIT's people again with --model MODEL.json, and compare"
    )
    verify.add_argument("--tolerance", type=float, default=1e-5, help="how far scores may differ (default 1e-5)")
    _imported(verify, "compute the cells again that this constraint made")
    outputs.add(verify)
    _inputs(verify)

    ledger = command(
        "ledger",
        _ledger,
        "Make the ledger of an audit set, before anything looks at it; or show what has looked.",
        "  faro ledger init gate.csv --policy faro.toml\n  faro ledger show --policy faro.toml",
    )
    ledger.add_argument("action", choices=("init", "show"))
    ledger.add_argument(
        "table", nargs="?", metavar="TABLE", help="init: the gate part scored by any model, or a run's folder"
    )
    ledger.add_argument("--data", metavar="NAME|FILE", help="data of a frontier run, if it is not a known data set")
    _imported(ledger, "of a frontier run: import its constraint")
    ledger.add_argument("--policy", required=True, metavar="FILE", help="the policy (TOML)")
    ledger.add_argument("--ledger", metavar="FILE", help="the ledger, if it is not where the policy says")
    ledger.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FILE",
        help="init: whose folder is told of the audit set as well",
    )
    outputs.add_plain(ledger)

    policy = command(
        "policy",
        _policy,
        "Draft a policy for a saved model or a frontier run: edit it, then keep it where submitters cannot write.",
        "  faro policy out/model.json --out faro.toml\n  faro policy out/demo --bound 0.05 --out out/demo/faro.toml",
    )
    policy.add_argument("model", help="a saved model, or the folder of a frontier run")
    policy.add_argument(
        "--bound",
        type=float,
        help=f"slack to show (default: that of training; {DEFAULT_BOUND} for a run, or a model without one)",
    )
    _named(policy, "of a model whose file has the constraint's name alone")
    policy.add_argument("--data", metavar="NAME|FILE", help="data of a run, if it is not a known data set")
    policy.add_argument(
        "--tail",
        type=float,
        metavar="SHARE",
        help="of a welfare floor: claim it as well of this share of people, those who fare worst on dev",
    )
    policy.add_argument(
        "--rule", metavar="RULE", help="argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N), on sets as "
        "the schema declares them (default: that of training)",
    )  # fmt: skip
    policy.add_argument(
        "--candidates", choices=("enumerated", "sampled"), help="what a set is, where no schema says it"
    )
    _imported(policy, "import the model's constraint")
    policy.add_argument("--out", metavar="FILE", help="where to write (default: stdout)")

    envelope = command(
        "envelope",
        _envelope,
        "Prove of a run with a linear model which losses no such model can beat on its sample, and by how much its own "
        "models could be beaten; draw it into the report.",
        "  faro envelope out/demo\n  faro envelope out/demo --features --width 1e-5",
    )
    envelope.add_argument("folder", metavar="RUN", help="the --out folder of faro frontier")
    envelope.add_argument("--data", metavar="NAME|FILE", help="data of the run, if it is not a known data set")
    envelope.add_argument(
        "--width", type=float, metavar="NATS", help="how far a model that exists may be above it (default 1e-4)"
    )
    envelope.add_argument("--points", type=int, metavar="N", help="at most this many solves a seed (default 200)")
    envelope.add_argument(
        "--member", metavar="FILE", help="of a network, as models/bound03-seed0.json: its last layer, the rest frozen"
    )
    envelope.add_argument("--features", action="store_true", help="write the tables that faro verify proves it from")
    _named(envelope, "of a run that has the constraint's name alone")
    outputs.add_plain(envelope)


CONSTRAINT_OPTIONS = ("constraint", "attribute", "of", "within")


def _named(sub: argparse.ArgumentParser, whose: str) -> None:
    for name in CONSTRAINT_OPTIONS:
        sub.add_argument(f"--{name}", metavar="NAME", help=whose)


def _constraint_named(options: argparse.Namespace) -> dict[str, str]:
    """What was said of the constraint, as `make_constraint` is told."""
    given = {name: getattr(options, name) for name in CONSTRAINT_OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def _judged(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("scored", nargs="?", metavar="TABLE", help="a scored table: .csv, .jsonl or .parquet")
    sub.add_argument("--policy", required=True, metavar="FILE", help="the policy (TOML)")
    sub.add_argument("--ledger", metavar="FILE", help="the ledger, if it is not where the policy says")
    sub.add_argument("--out", metavar="FILE", help="write the certificate (JSON)")
    outputs.add(sub)
    _inputs(sub)
    outputs.add_plain(sub)


def _inputs(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--train-units", metavar="FILE", help="hashed units that training saw")
    sub.add_argument("--model", action="append", default=[], metavar="FILE", help="a file of the model (repeatable)")
    sub.add_argument(
        "--table", action="append", default=[], metavar="NAME=FILE", help="the table of a claim about models"
    )


def _imported(sub: argparse.ArgumentParser, what: str) -> None:
    sub.add_argument(
        "--plugin", action="append", default=[], metavar="NAME",
        help=f"{what}: a name, or package.module:Name (repeatable); no file decides what is imported",
    )  # fmt: skip


# The commands -------------------------------------------------------------------------------------------------------


def _case(options: argparse.Namespace, policy: Policy) -> Case:
    from ...certify.certificate import prepare

    return prepare(
        options.scored, policy, train_units=options.train_units, models=options.model, tables=_tables(options.table)
    )


def _tables(given: list[str]) -> dict[str, str]:
    tables = dict(text.split("=", 1) for text in given if "=" in text)
    if len(tables) < len(given):
        raise UsageError("--table: expected NAME=FILE, every name once")
    return tables


def _info() -> dict[str, Any]:
    from importlib.metadata import version

    return {"tool": f"faro {version('faro-fairness')}"}


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
    _note_content(case.columns or {}, options)
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


def _note_content(columns: Mapping[str, list[str]], options: argparse.Namespace) -> None:
    from ...certify.overlap import sharing_content

    shared = 0 if options.quiet else beside(lambda: sharing_content(columns), lambda why: 0)
    if shared:
        what = f"{shared} units show content that another unit shows too: are they one person under two names? "
        outputs.noted(options, [what + 'equal_content = "refuse" in the policy refuses them'])


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
                tables=_tables(options.table), models=options.model,
            )  # fmt: skip
        except verify.Refused as refused:
            return f"the checker refused it: {refused}"
    return None if result.verdict == "CERTIFIED" else f"the checker says {result.verdict}"


def _verify(options: argparse.Namespace) -> int:
    if Path(options.certificate).is_dir():
        raise UsageError(absent(options.certificate, "a certificate", (".json",), '"faro-certificate/'))
    if options.policy is not None:
        return outputs.reported("certificate", _verify_certificate)(options)
    from ... import verify

    others = (options.ledger, options.train_units, options.table, options.model, options.rescore, options.plugin)
    if not options.audit or any(others) or outputs.wanted(options):
        raise UsageError("a certificate needs --policy FILE, an envelope its table and no options")
    try:
        print(verify.envelope(options.certificate, options.audit))
    except verify.Refused as refused:
        raise RefusedError(refused.code, refused) from None
    return 0


def _verify_certificate(options: argparse.Namespace) -> int:
    from ... import verify

    try:
        result = verify.verify(
            options.certificate, options.audit, policy=options.policy, ledger=options.ledger,
            train_units=options.train_units, tables=_tables(options.table), models=options.model,
        )  # fmt: skip
    except verify.Refused as refused:
        raise RefusedError(refused.code, refused) from None
    if options.plugin:
        from ...certify.plugins import recomputed
        from ...certify.policy import read_policy

        print("\n".join(recomputed(options.audit or "", read_policy(options.policy), options.plugin)))
    if options.rescore:
        print(_rescored(options))
    print(verify.report(result))
    record = json.loads(Path(options.certificate).read_text(encoding="utf-8-sig"))
    record["info"] = _held(record["info"], options.audit, result)
    verdicts = {name: finding.verdict for name, finding in result.findings.items()}
    options.outcome = {"certificate": record, "verdicts": verdicts}
    return verify.VERDICTS[result.verdict]


def _held(info: Any, audit: str | None, result: Any) -> dict[str, Any]:
    """`info`, which no seal covers, with what the checker itself found where outputs state it as a fact."""
    from ...certify.description import read_description
    from ...certify.statements import summary

    described_table = {"table": summary(read_description(audit))} if audit else {}
    blind = {name: finding.reason for name, finding in result.findings.items() if finding.reason}
    return (info if isinstance(info, dict) else {}) | described_table | {"blind": blind}


def _rescored(options: argparse.Namespace) -> str:
    """What scoring the people again found, as a line."""
    from ...certify.policy import read_policy
    from ...certify.rescore import rescore

    models = [name for name in options.model if name.endswith(".json")]
    if len(models) != 1 or not options.audit or not 0 <= options.tolerance < 1:
        raise UsageError("--rescore needs AUDIT, one --model MODEL.json, and a --tolerance in [0, 1)")
    again = rescore(options.audit, read_policy(options.policy), models[0], options.rescore, options.tolerance)
    return f"scored again: {again.rows} rows, rewards differ by at most {again.largest:.3g}"


def _ledger(options: argparse.Namespace) -> int:
    from ...certify import access, ledger
    from ...certify.certificate import read_described
    from ...certify.policy import read_policy

    policy = read_policy(options.policy)
    place = ledger.place(policy, options.ledger)
    if options.action == "init":
        if not options.table:
            raise UsageError("faro ledger init needs TABLE: the gate part scored by any model, or a run's folder")
        table = Path(options.table)
        if table.is_dir():
            import_constraints(options.plugin)
            from ...certify.frontier import first_model, score_gate

            table = score_gate(table, first_model(table), policy, options.data)
        columns, _, audit = read_described(table, policy)
        _note_content(columns, options)
        folders = [table.parent, policy.folder, place.parent, *(Path(name).parent for name in options.model)]
        access.check(audit.unit, folders)
        access.mark(ledger.create(place, policy, audit), folders)
        secret = f"{place}.seed"
        if options.json:
            print(json.dumps({"ledger": str(place), "seed": secret}))
        else:
            print(f"{place}: {audit.units} units, no attempt yet; keep {secret} from whoever submits models")
        return 0
    with ledger.opened(place, policy) as book:
        following = book.spends(book.attempts + 1)
        record = {
            "ledger": str(place), "attempts": book.attempts, "passes": book.passes, "closed": book.closed,
            "next_share": None if book.closed else float(following),
        }  # fmt: skip
    if options.json:
        print(json.dumps(record))
    else:
        left = book.closed or f"the next attempt may spend {float(following):.2g} of delta {float(policy.delta):g}"
        print(f"{place}: {book.attempts} attempts, {book.passes} of {policy.passes} passes; {left}")
    return 0


def _policy(options: argparse.Namespace) -> int:
    from constraints import Argmax

    from ...api import load_model
    from ...certify.drafts import constraint_of, draft_policy
    from ...certify.frontier import first_model, first_models, read_data
    from ...data import NAMES, load
    from ...data.made import REWARD
    from ...files import write_text

    def told(line: str) -> None:
        print(f"faro: note: {line}", file=sys.stderr)

    import_constraints(options.plugin)
    place, bound = Path(options.model), options.bound
    model = load_model(place / first_model(place) if place.is_dir() else place)
    if options.candidates:
        model = dataclasses.replace(model, schema=model.schema.replace(candidates=options.candidates))
    arguments = _constraint_named(options)
    constraint = constraint_of(model, arguments)
    bounds = [float(part.bound) for part in constraint.parts()] if constraint is not None else []
    if bound is None and (place.is_dir() or float("inf") in bounds):
        bound = DEFAULT_BOUND
        why = "a run has models of many bounds" if place.is_dir() else "it was trained without a bound"
        told(f"{why}: the draft asks for {DEFAULT_BOUND}; say another with --bound")
    data, others = None, []
    if place.is_dir() and constraint is not None and any(name.startswith(REWARD) for name in constraint.columns()):
        others = [load_model(place / name) for name in first_models(place)]
    if not place.is_dir():
        own = str(model.about.get("data", ""))
        drawn = model.candidates == "sampled" and not isinstance(model.rule_named(options.rule), Argmax)
        source = options.data or (own if options.tail is not None or (drawn and own in NAMES) else None)
        data = None if source is None else model.read(load(source) if source in NAMES else source)
    elif options.data or model.about.get("data") in NAMES:
        data = read_data(place, model, options.data)
    else:
        told("which method is sharpest for these people is not known: give the table with --data")
    text = draft_policy(model, bound, arguments, data, told, others, options.tail, options.rule)
    write_text(options.out, text) if options.out else print(text, end="")
    return 0


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


# Certificates on disk and on the terminal ---------------------------------------------------------------------------


def _write(certificate: Certificate, path: str) -> None:
    from ...files import write_json

    write_json(path, certificate.record)


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


def _show(certificate: Certificate, policy: Policy, options: argparse.Namespace) -> None:
    from ..terminal import show_certificate

    if options.json:
        print(json.dumps(certificate.record))
    else:
        show_certificate(*described(certificate, policy))


def described(certificate: Certificate, policy: Policy) -> tuple[list[dict[str, Any]], list[str], str]:
    """Rows, notes and the verdict for a reader: what is claimed of whom, and what would change it."""
    from ...certify.sample_size import advice
    from ...certify.statements import about_table, rules_of

    rows, notes = [], []
    units = certificate.record["data"] and certificate.record["data"]["units"]
    for claim in policy.claims:
        finding = certificate.findings[claim.name]
        shifted = f", {claim.ball} {claim.radius}" if claim.ball else ""
        vacuous = finding.ucb is not None and finding.ucb >= 1
        rows.append(
            {
                "claim": f"{claim.name}: {claim.constraint}{shifted} by {claim.method or 'exact arithmetic'}",
                "counted": finding.counted, "at least": finding.lcb and float(finding.lcb),
                "at most": "VACUOUS" if vacuous else finding.ucb and float(finding.ucb),
                "bound": float(claim.bound), "verdict": finding.verdict.value,
            }
        )  # fmt: skip
        notes += [f"{claim.name}: {cell}" for cell in finding.short]
        notes += [f"{claim.name}: {finding.blind}"] if finding.blind else []
        if hint := advice(claim, finding, float(policy.delta), units):
            notes.append(f"{claim.name}: {hint}")
        notes += repair_hints(claim, finding, certificate)
    record = certificate.record
    spent = record["ledger"] and record["ledger"]["delta"]
    from fractions import Fraction

    confidence = 1 - float(Fraction(spent) if spent else Fraction(policy.delta))
    notes.append(f"confidence {confidence:.4g} per claim; every {policy.estimand} counts alike")
    rules = rules_of(policy.estimand, policy.units, policy.audited, policy.rule)
    notes += about_table(record["data"], record["info"].get("table"), rules)
    notes.append(f"assumed: {', '.join(record['assumptions'])}")
    if "note" in record["info"]:
        notes.append(record["info"]["note"])
    return rows, notes, certificate.verdict.value


def repair_hints(claim: Any, finding: Any, certificate: Certificate) -> list[str]:
    """What parity would cost where dev rows were counted; never of gate rows."""
    if "note" not in certificate.record["info"] or finding.verdict.value == "CERTIFIED" or not finding.rates:
        return []
    from ...certify.repair import advice

    return advice(claim, finding)


def _envelope(options: argparse.Namespace) -> int:
    from ...runtime import locks

    with locks.alone(options.folder, folder=True):
        return _enveloped(options)


def _enveloped(options: argparse.Namespace) -> int:
    from ... import report
    from ...exact import of_run

    asked = _constraint_named(options)
    limits = {"width": options.width, "most": options.points}
    written = of_run.write_envelopes(
        options.folder, source=options.data, asked=asked, features=options.features, member=options.member,
        **{name: value for name, value in limits.items() if value is not None},
    )  # fmt: skip
    beside(
        lambda: report.write_shown(report.read_run(options.folder), options.folder),
        lambda why: print(f"faro: note: no pictures and no report: {why}", file=sys.stderr),
    )
    if options.json:
        print(json.dumps(written, indent=1))
        return 0
    for envelope in written:
        width = report.rounded_up(envelope["width"])
        print(f"{envelope['envelope']}: {envelope['points']} points, nowhere wider than {width} nats")
        if envelope["members"]:
            gap = report.rounded_up(envelope["largest_gap"])
            print(f"  {envelope['members']} models: none could be beaten by more than {gap} nats")
    wide = [str(envelope["seed"]) for envelope in written if envelope["width"] > (options.width or of_run.WIDTH)]
    if wide and not options.quiet:
        print(f"faro: note: seed {', '.join(wide)}: wider than asked; give more --points", file=sys.stderr)
    return 0
