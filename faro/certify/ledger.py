"""The ledger: every look at an audit set, in an append-only file, and the share of delta that each look may spend.

    share of attempt j  =  delta 6 / (pi^2 j^2 T_j),     T_j = sum_{i < passes} binomial(j - 1, i)

T_j counts the transcripts of pass and no pass so far, so the shares of all attempts add up to less than delta however
submitters adapt. A *sequence* is the other way to spend delta: a list of scored tables, written before the first
attempt, each of which may spend all of it, in that order, until the first that does not pass. A table with a false
claim passes with probability at most delta, since the first of them in the list would have to (fixed-sequence testing;
Maurer, Hothorn & Lehmacher 1995). Entries are chained by sha256. Beside the ledger lie

    NAME.head       the hash of its last entry: a ledger cut short is noticed unless that file is changed as well
    NAME.units      the audited people, as salted hashes (faro.certify.access)
    NAME.seed       what fixes the order of units and thinning; its hash is in the first entry, and nobody who submits
                    models may see it: keep it out of the repository, or in the variable FARO_LEDGER_SEED

Every problem is a `NotIndependentError`, exit code 6.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import NotIndependentError, UsageError
from ..files import write_text
from . import access
from .audit import Audit
from .policy import Policy

BASEL = Fraction(607927101854, 10**12)  # below 6 / pi^2
SCHEMA = "faro-ledger/2"
SEED = "FARO_LEDGER_SEED"
FIELDS = {
    "init": {"schema", "policy_sha256", "frame_sha256", "seed_sha256", "units_sha256"},
    "sequence": {"rows_sha256"},
    "attempt": {"attempt", "rows_sha256"},
    "points": {"attempt", "rows_sha256"},
    "passed": {"attempt"},
    "disclosed": {"reason"},
    "retired": {"reason"},
}
NO_PREVIOUS = "0" * 64


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no white space, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def share(delta: Fraction, attempt: int, passes: int) -> Fraction:
    """What attempt j = 1, 2, ... may spend."""
    transcripts = sum(math.comb(attempt - 1, i) for i in range(min(passes, attempt)))
    return delta * BASEL / (attempt**2 * transcripts)


class Attempt(NamedTuple):
    """An entry that numbers of one table, or of several points, may refer to."""

    number: int
    entry: str  # its sha256
    share: Fraction  # of delta, of each table
    seed: str  # of the ledger, which fixes order and thinning together with the scored rows

    @property
    def record(self) -> dict[str, Any]:
        """As a certificate has it."""
        return {
            "attempt": self.number,
            "delta": f"{self.share.numerator}/{self.share.denominator}",
            "entry": self.entry,
            "seed": self.seed,
        }


class Ledger:
    """The entries of a locked file; `append` writes one and keeps the chain."""

    def __init__(self, path: Path, policy: Policy, entries: list[dict[str, Any]]):
        self.path, self.policy, self.entries = path, policy, entries

    @functools.cached_property
    def seed(self) -> str:
        """The seed whose hash the first entry has."""
        secret = _beside(self.path, "seed")
        try:
            seed = os.environ.get(SEED, "").strip() or secret.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise NotIndependentError(
                f"{secret}: no seed; keep the file that init wrote, or set {SEED} to it"
            ) from None
        if _sha256(seed) != self.entries[0]["seed_sha256"]:
            raise NotIndependentError(f"{secret}: not the seed that this ledger was made with")
        return seed

    @property
    def attempts(self) -> int:
        return sum(entry["kind"] in ("attempt", "points") for entry in self.entries)

    @property
    def passes(self) -> int:
        return sum(entry["kind"] == "passed" for entry in self.entries)

    @property
    def closed(self) -> str | None:
        """Why there are no more attempts, or None."""
        for entry in self.entries:
            if entry["kind"] in ("disclosed", "retired"):
                return f"the audit set was {entry['kind']}: {entry['reason']}"
        if self.sequence is not None:
            if self.passes < self.attempts:
                return "its sequence ended at the first table that did not pass"
            return "all of its sequence passed" if self.attempts == len(self.sequence) else None
        if self.passes >= self.policy.passes:
            return f"{self.passes} of {self.policy.passes} passes were shown"
        return None

    @property
    def sequence(self) -> list[str] | None:
        """The tables of the sequence that was registered, as digests of their rows; None where none was."""
        rest = self.entries[1:2]
        return list(rest[0]["rows_sha256"]) if rest and rest[0]["kind"] == "sequence" else None

    def spends(self, attempt: int) -> Fraction:
        """What an attempt may spend of delta."""
        delta = Fraction(self.policy.delta)
        return delta if self.sequence is not None else share(delta, attempt, self.policy.passes)

    @property
    def following(self) -> Attempt:
        """The attempt that would come next; it is not made, and has no share."""
        return Attempt(self.attempts + 1, "", Fraction(0), self.seed)

    def level(self, rows_sha256: str) -> float | None:
        """What these scores may spend: the share of the attempt that they had, or the next; None if there is none."""
        for entry in self.entries:
            if entry["kind"] == "attempt" and entry["rows_sha256"] == rows_sha256:
                return float(self._at(entry).share)
        return None if self.closed else float(self.spends(self.attempts + 1))

    def register(self, rows_sha256: list[str]) -> None:
        """A sequence, before the first attempt; the same again changes nothing."""
        if self.sequence == rows_sha256:
            return
        self._check_open()
        if self.sequence is not None or self.attempts:
            looked = "another sequence was registered" if self.sequence is not None else f"{self.attempts} attempts"
            raise NotIndependentError(f"{self.path}: {looked}: a sequence is fixed before the first look, and once")
        if len(set(rows_sha256)) < len(rows_sha256):
            raise UsageError("two models of the sequence score all people alike: leave one out")
        self.append("sequence", rows_sha256=rows_sha256)

    def attempt(self, rows_sha256: str) -> Attempt:
        """The attempt of these scores: the one they had, or a new one, written before anything is counted."""
        for entry in self.entries:
            if entry["kind"] == "attempt" and entry["rows_sha256"] == rows_sha256:
                return self._at(entry)
            if entry["kind"] == "points" and rows_sha256 in entry["rows_sha256"]:
                raise NotIndependentError(f"{self.path}: these scores were disclosed")
        self._check_open()
        if self.sequence is not None and rows_sha256 != self.sequence[self.attempts]:
            raise NotIndependentError(
                f"{self.path}: attempt {self.attempts + 1} of its sequence is about other scores than these: ask in "
                "the order that was registered"
            )
        return self._at(self.append("attempt", attempt=self.attempts + 1, rows_sha256=rows_sha256))

    def disclose(self, rows_sha256: list[str], reason: str) -> dict[str, Attempt]:
        """The attempt of each of these tables: the one it had, or one for all others, its share divided among them.
        Retires the audit set; what was looked at before that is shown again as it was."""
        attempts: dict[str, Attempt] = {}
        for entry in self.entries:
            if entry["kind"] in ("attempt", "points"):
                tables = entry["rows_sha256"] if entry["kind"] == "points" else [entry["rows_sha256"]]
                attempts |= dict.fromkeys(set(tables) & set(rows_sha256), self._at(entry))
        new = sorted(set(rows_sha256) - set(attempts))
        if new and self.sequence is not None:
            raise NotIndependentError(f"{self.path}: a sequence was registered, and these scores are not in their turn")
        disclosed = any(entry["kind"] == "disclosed" for entry in self.entries)
        if new or not disclosed:
            self._check_open()
        if new:
            points = self._at(self.append("points", attempt=self.attempts + 1, rows_sha256=new))
            attempts |= dict.fromkeys(new, points)
        self.retire(reason)
        return attempts

    def retire(self, reason: str) -> None:
        """That every number was shown; once."""
        if not any(entry["kind"] == "disclosed" for entry in self.entries):
            self.append("disclosed", reason=reason)

    def passed(self, attempt: Attempt) -> None:
        """That this attempt was shown as a pass, once."""
        if not any(entry["kind"] == "passed" and entry["attempt"] == attempt.number for entry in self.entries):
            self.append("passed", attempt=attempt.number)

    def append(self, kind: str, **fields: Any) -> dict[str, Any]:
        entry = {"kind": kind, "previous": self.entries[-1]["sha256"] if self.entries else NO_PREVIOUS, **fields}
        entry["sha256"] = digest(entry)
        before = self.path.stat().st_size
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write((canonical(entry) + "\n").encode())
                os.fsync(file.fileno())
                if file.tell() != before + len(canonical(entry)) + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            write_text(_head(self.path), f"{entry['sha256']}\n")
        except OSError:  # a full disk: half an entry, or two that the head does not know, would end the ledger
            os.truncate(self.path, before)
            raise
        self.entries.append(entry)
        return entry

    def _at(self, entry: dict[str, Any]) -> Attempt:
        delta = self.spends(entry["attempt"])
        many = len(entry["rows_sha256"]) if entry["kind"] == "points" else 1
        return Attempt(entry["attempt"], entry["sha256"], delta / many, self.seed)

    def _check_open(self) -> None:
        if self.closed:
            raise NotIndependentError(f"{self.path}: {self.closed}; a new audit set is needed")


def place(policy: Policy, path: str | Path | None) -> Path:
    """Where the ledger is: as given, or as the policy says."""
    if policy.ledger is None:
        raise UsageError('the policy names no ledger: add `ledger = "ledger.jsonl"` to it, then: faro ledger init')
    return policy.folder / policy.ledger if path is None else Path(path)


def files(policy: Policy, path: str | Path | None) -> list[Path]:
    """The ledger and the file beside it."""
    ledger = place(policy, path)
    return [ledger, *(_beside(ledger, what) for what in ("head", "units", "seed"))]


def create(path: Path, policy: Policy, audit: Audit) -> Path:
    """A new ledger for this policy and audit set, never over an old one; where its audited people are listed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path, *(_beside(path, what) for what in ("head", "units", "seed"))]
    for old in written:
        if old.exists():
            raise UsageError(f"{old}: exists; a ledger is never made again for the same audit set")
    seed, listed = secrets.token_hex(32), _beside(path, "units")
    path.open("x").close()
    try:
        with os.fdopen(os.open(_beside(path, "seed"), os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(seed + "\n")
        fields = {
            "schema": SCHEMA, "policy_sha256": policy.sha256, "frame_sha256": audit.frame_sha256,
            "seed_sha256": _sha256(seed), "units_sha256": access.list_people(listed, audit.unit),
        }  # fmt: skip
        Ledger(path, policy, []).append("init", **fields)
    except OSError:
        for made in written:
            made.unlink(missing_ok=True)
        raise
    return listed


def is_about(path: Path, frame_sha256: str) -> bool:
    """Whether there is a ledger of this audit set, of any format; what is wrong with it is not asked."""
    try:
        with path.open(encoding="ascii") as file:
            return json.loads(file.readline())["frame_sha256"] == frame_sha256
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


@contextlib.contextmanager
def opened(path: Path, policy: Policy, frame_sha256: str | None = None) -> Iterator[Ledger]:
    """The ledger, locked against other writers until the block ends; chain, policy and audit set are checked."""
    try:
        file = path.open("r+", encoding="ascii")
    except FileNotFoundError:
        raise NotIndependentError(f"{path}: no ledger; only `faro ledger init` makes one, before any look") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entries = _read(path, _whole(path, file))
        if entries[0]["schema"] != SCHEMA:
            raise NotIndependentError(
                f"{path}: is of format 1, whose order of units comes from the policy, where scorers can read it: its "
                "certificates verify, but there are no more looks; make a ledger for a new audit set"
            )
        if entries[0]["policy_sha256"] != policy.sha256:
            raise NotIndependentError(
                f"{path}: the ledger is of another policy; a changed policy needs a new audit set"
            )
        if frame_sha256 is not None and entries[0]["frame_sha256"] != frame_sha256:
            raise NotIndependentError(f"{path}: the ledger is of another audit set than this table")
        yield Ledger(path, policy, entries)


def _whole(path: Path, file: Any) -> list[str]:
    """The lines; a last one without its end is dropped if the head does not know it: its writer was killed, and told
    nobody anything."""
    try:
        lines = file.read().split("\n")
        torn = lines.pop()
        if torn and lines and json.loads(lines[-1])["sha256"] == _told(path):
            file.truncate(sum(len(line) + 1 for line in lines))
        elif torn:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise NotIndependentError(f"{path}: not the ledger that was written: its last line has no end") from None
    return lines


def _read(path: Path, lines: list[str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    attempts = 0
    try:
        for line in lines:
            entry = json.loads(line)
            body = {name: value for name, value in entry.items() if name != "sha256"}
            expected = {"kind", "previous", *FIELDS[entry["kind"]]}
            if entry.get("schema") == "faro-ledger/1":
                expected -= {"seed_sha256", "units_sha256"}
            good = set(body) == expected and entry["sha256"] == digest(body)
            good &= entry["previous"] == (entries[-1]["sha256"] if entries else NO_PREVIOUS)
            good &= (entry["kind"] == "init") == (not entries)
            good &= entry["kind"] != "sequence" or len(entries) == 1
            if entry["kind"] in ("attempt", "points"):
                attempts += 1
                good &= entry["attempt"] == attempts
            if not good:
                raise ValueError("the chain is broken")
            entries.append(entry)
        if not entries or entries[0]["schema"] not in ("faro-ledger/1", SCHEMA):
            raise ValueError("no first entry")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotIndependentError(
            f"{path}: line {len(entries) + 1}: not the ledger that was written ({error})"
        ) from None
    try:
        head = _told(path)
    except OSError:
        raise NotIndependentError(f"{_head(path)}: missing; it holds the last entry of the ledger") from None
    if head not in {entry["sha256"] for entry in entries[-2:]}:
        raise NotIndependentError(f"{path}: cut short or forked: its last entry is not the one that was written last")
    if head != entries[-1]["sha256"]:  # a writer was killed between two writes
        write_text(_head(path), f"{entries[-1]['sha256']}\n")
    return entries


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")


def _head(path: Path) -> Path:
    return _beside(path, "head")


def _sha256(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()


def _told(path: Path) -> str:
    """What the head says is the last entry."""
    return _head(path).read_text(encoding="ascii", errors="replace").strip()
