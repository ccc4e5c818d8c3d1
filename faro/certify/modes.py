"""The three ways to look at an audit table, and what each may show.

    tune      dev-audit rows: every number, as often as wanted; tuning data, no guarantee
    gate      gate-audit rows: pass or no pass, at a share of delta that the ledger gives; numbers only into escrow
    disclose  gate-audit rows: every number of several points, once; the audit set is retired. In a sequence each point
              is tested at the whole delta, until the first that fails

A gate that shows numbers teaches submitters the audit set until something passes; one bit an attempt does not, as long
as the ledger's shares add up to delta (docs/statistics.md). Whatever goes wrong after an attempt is written is no pass.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import FaroError, NotIndependentError, UsageError
from ..files import replacing
from . import access
from . import ledger as ledgers
from .certificate import Case, Certificate, make
from .combine import Verdict

TUNING = "tuning data, no guarantee"
Prove = Callable[[Certificate], str | None]  # by the independent checker: None, or why not


class Answer(enum.IntEnum):
    """What a gate says; its value is the exit code."""

    PASS = 0
    NO_PASS = 1
    TOO_FEW = 3


class Gated(NamedTuple):
    """The answer; `shown` is the certificate where it may be shown; `short` names cells with too few units."""

    answer: Answer
    shown: Certificate | None = None
    short: tuple[str, ...] = ()


def tune(case: Case, info: dict | None = None, ledger_path: str | Path | None = None) -> Certificate:
    """Every number of dev-audit rows. Gate rows are refused if the policy has a ledger: they have a gate."""
    if case.policy.ledger is not None and case.part == "gate":
        raise NotIndependentError(
            "these are gate rows, and the policy has a ledger: ask `faro gate`, or `faro certify --disclose`; tune on "
            "the dev part"
        )
    path = None if case.policy.ledger is None else ledgers.place(case.policy, ledger_path)
    if case.audit is not None:
        if path is not None and ledgers.is_about(path, case.audit.frame_sha256):
            raise NotIndependentError(
                f"this table is the audit set of {path}: ask `faro gate`, or `faro certify --disclose`"
            )
        access.check(case.audit.unit, _folders(case, path))
    tuning = case.policy.ledger is not None or case.part not in ("", "gate")
    return make(case, info=(info or {}) | ({"note": TUNING} if tuning else {}))


def gate(case: Case, ledger_path: Path, prove: Prove, info: dict | None = None) -> Gated:
    """One bit about gate-audit rows. `prove` is asked before anything passes."""
    _check_part(case, "faro gate")
    if case.audit is None:
        raise UsageError("no claim of the policy is about people: there is nothing to gate, use faro certify")
    with _silence(), ledgers.opened(ledger_path, case.policy, case.audit.frame_sha256) as ledger:
        access.check(case.audit.unit, _folders(case, ledger_path), ledger.entries[0]["units_sha256"])
        if short := case.short(ledger.following) or _hopeless(case, ledger):
            return Gated(Answer.TOO_FEW, short=tuple(short))
        attempt = ledger.attempt(case.audit.rows_sha256)
        certificate, reason = None, ""
        try:
            certificate = make(case, attempt, info)
            reason = "" if certificate.verdict is Verdict.CERTIFIED else certificate.verdict.value
            reason = reason or prove(certificate) or ""
        except FaroError as error:
            reason = str(error)
        except Exception:  # a fault of ours is no pass either; what it was stays in escrow
            reason = traceback.format_exc()
        _escrow(case, attempt, certificate, reason)
        if reason or certificate is None:
            return Gated(Answer.NO_PASS)
        ledger.passed(attempt)
        fixed = ledger.closed or ledger.sequence is not None  # nobody can adapt to what is shown
        return Gated(Answer.PASS, shown=certificate if fixed else None)


def _folders(case: Case, ledger_path: Path | None) -> list[Path]:
    """Where the people of an audit set may be listed."""
    return [*case.folders, *([] if ledger_path is None else [ledger_path.parent])]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """A warning on stderr would say more of the scores than the answer does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _hopeless(case: Case, ledger: ledgers.Ledger) -> list[str]:
    """Claims that no scores of these people can show at the share that they would have."""
    level = ledger.level(case.audit.rows_sha256) if case.audit else None
    try:
        return [] if level is None else case.hopeless(level, ledger.following)
    except UsageError:
        raise
    except Exception:  # the attempt meets the same fault, and then it is no pass
        return []


def disclose(cases: Sequence[Case], ledger_path: Path, info: dict | None = None) -> list[Certificate]:
    """Every number of several scored tables of one audit set, at the next share divided among them; retires the set."""
    with _opened(cases, ledger_path) as ledger:
        scores = [case.audit.rows_sha256 for case in cases if case.audit]
        attempts = ledger.disclose(scores, f"{len(set(scores))} points, every number")
    return [make(case, attempts[rows], info) for case, rows in zip(cases, scores, strict=True)]


def register(cases: Sequence[Case], ledger_path: Path) -> None:
    """Write a sequence of scored tables of one audit set into the ledger, before the first attempt."""
    with _opened(cases, ledger_path) as ledger:
        ledger.register([case.audit.rows_sha256 for case in cases if case.audit])


def disclose_sequence(cases: Sequence[Case], ledger_path: Path, info: dict | None = None) -> list[Certificate]:
    """Every number of scored tables of one audit set in this order, each at the whole delta, to the first that is not
    CERTIFIED; retires the set. The order is registered before anything is counted, if it was not."""
    found = []
    with _opened(cases, ledger_path) as ledger:
        scores = [case.audit.rows_sha256 for case in cases if case.audit]
        ledger.register(scores)
        for case, rows in zip(cases, scores, strict=True):
            attempt = ledger.attempt(rows)
            found.append(make(case, attempt, info))
            if found[-1].verdict is not Verdict.CERTIFIED:
                break
            ledger.passed(attempt)
        ledger.retire(f"a sequence of {len(scores)}, {len(found)} looked at, every number")
    return found


@contextlib.contextmanager
def _opened(cases: Sequence[Case], ledger_path: Path) -> Iterator[ledgers.Ledger]:
    """The ledger of the one audit set that these tables are about."""
    if not cases or any(case.audit is None for case in cases):
        raise UsageError("expected one scored table or more, and claims about people")
    frames = {case.audit.frame_sha256 for case in cases if case.audit}
    if len(frames) > 1:
        raise UsageError("the points are scored on different people: disclose one audit set at a time")
    for case in cases:
        _check_part(case, "faro certify --disclose")
    with ledgers.opened(ledger_path, cases[0].policy, frames.pop()) as ledger:
        folders = [folder for case in cases for folder in _folders(case, ledger_path)]
        access.check(cases[0].audit.unit if cases[0].audit else [], folders, ledger.entries[0]["units_sha256"])
        yield ledger


def _check_part(case: Case, who: str) -> None:
    if case.part not in ("", "gate"):
        raise NotIndependentError(
            f"{who} reads rows of the gate part alone, these are of {case.part!r}: faro score MODEL DATA --part gate"
        )


def _escrow(case: Case, attempt: ledgers.Attempt, certificate: Certificate | None, reason: str) -> None:
    """The whole certificate, or why there is none, where only the owner looks."""
    if case.policy.escrow is None:
        return
    folder = case.policy.folder / case.policy.escrow
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    record = certificate.record if certificate else {}
    with replacing(folder / f"attempt{attempt.number:04d}.json") as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps({"reason": reason, "certificate": record}, indent=1) + "\n", encoding="utf-8")
        os.chmod(temporary, 0o600)
