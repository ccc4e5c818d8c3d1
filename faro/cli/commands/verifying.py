"""faro verify: a certificate or an envelope is checked by the stand-alone checker."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import RefusedError, UsageError
from ...files import absent
from .. import outputs
from ..flags import add_audited, add_plugin, tables


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
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
    add_plugin(verify, "compute the cells again that this constraint made")
    outputs.add(verify)
    add_audited(verify)


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
            train_units=options.train_units, tables=tables(options.table), models=options.model,
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
