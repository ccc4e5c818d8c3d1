"""What certify, gate or verify found, as one plain record that holds no more than may be shown."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...certify.statements import about_table
from ...errors import UsageError
from ...files import parse_toml
from ._claim import Claim, of_twins, read_claim

VERDICTS = ("CERTIFIED", "REFUTED", "INCONCLUSIVE")
CLEAN = (0, 1, 3)  # exit codes that are an answer; the others say why there is none
MEANING = {
    0: "every claim of the policy is proved within its bound",
    1: "some claim is proved to be violated",
    2: "the policy file or the command line is wrong",
    3: "neither proved nor refuted: more people, or a wider bound, would be needed",
    4: "the certificate does not check: a number in it is not proved",
    5: "malformed input, or a digest that differs",
    6: "the audit is not independent",
    7: "no valid dual point was found; this is never a pass",
    70: "internal error; this is never a pass",
}
NO_PASS = "No pass. The gate says nothing more: numbers would use up the audit set. Tune on the dev part."
TOO_FEW = "Too few people in the audit set for this policy, whatever the scores are."
CLAIM = re.compile(r"\s*\[\[\s*claim\s*\]\]").match
BITS = {0: "Pass.", 1: NO_PASS, 3: TOO_FEW}


class Mode(enum.StrEnum):
    """Where the numbers come from, which decides what may be shown of them."""

    GATE = "gate"  # people held back; only pass, no pass or too few people
    CERTIFICATE = "certificate"  # people held back, disclosed or checked by a reader: every number
    TUNING = "tuning"  # the dev part: every number, but none is a certificate


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One run of a command about certificates.

    `code` is its exit code; `policy` the text of faro.toml and `policy_path` where it lies, relative to the repository;
    `certificate` the parsed certificate; `verdicts` claim name -> verdict, needed unless all are CERTIFIED; `reason`
    one line for exit codes that are no answer, and which groups are short of people where a gate says that; `sizes`
    claim -> (block, group) -> units counted; `needed` claim -> one line on how many people would do; `recheck` the
    command that checks it again; `assumed` the assumptions and `statements` the lines about the table, which depend on
    no score and stand in every output; `worse` claim -> whether its bound is worse than an earlier certificate's, empty
    where nothing was compared.

    An outcome of the gate that is no pass drops everything that depends on scores, whoever made the record: what is
    not in it cannot leave through any output. After a pass the certificate is kept if it was given: only the ledger
    knows whether it may be shown.
    """

    mode: Mode
    code: int
    policy: str
    policy_path: str = "faro.toml"
    certificate: Mapping[str, Any] | None = None
    verdicts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reason: str = ""
    sizes: Mapping[str, Mapping[tuple[str, str], int]] = dataclasses.field(default_factory=dict)
    needed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    recheck: str = ""
    worse: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    assumed: Sequence[str] = ()
    statements: Sequence[str] = ()

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "mode", Mode(self.mode))
        if self.code not in MEANING:
            raise UsageError(f"code: expected one of {', '.join(map(str, MEANING))}, got {self.code}")
        if self.mode is Mode.GATE:
            if self.code != 0:
                for name, empty in (
                    ("certificate", None),
                    ("verdicts", {}),
                    ("sizes", {}),
                    ("needed", {}),
                    ("worse", {}),
                ):
                    keep(self, name, empty)
            if self.code in (*CLEAN, 4, 7, 70):
                short = f" {self.reason}" if self.code == 3 and self.reason else ""
                keep(self, "reason", BITS.get(self.code, "") + short)
        if self.certificate is not None:
            keep(self, "assumed", tuple(self.certificate["assumptions"]))
            keep(self, "statements", tuple(self._statements()))
        if self.code not in CLEAN:
            keep(self, "certificate", None)
        if self.certificate is not None and self.code == 0 and not self.verdicts:
            keep(self, "verdicts", {claim.name: "CERTIFIED" for claim in self._read()})
        strange = sorted(set(self.verdicts.values()) - set(VERDICTS))
        if strange:
            raise UsageError(f"verdicts: expected {', '.join(VERDICTS)}, got {strange[0]!r}")
        if self.certificate is not None and set(self.verdicts) != {claim.name for claim in self._read()}:
            raise UsageError("verdicts: expected one for every claim of the policy")

    @property
    def rules(self) -> dict[str, Any]:
        """The policy as parsed TOML; numbers as the text they were written in. Empty if it cannot be parsed."""
        try:
            return parse_toml(self.policy.encode(), parse_float=str)
        except ValueError:
            return {}

    @property
    def verdict(self) -> str:
        """One word."""
        if self.mode is Mode.GATE:
            return {0: "PASS", 1: "NO PASS", 3: "TOO FEW PEOPLE"}.get(self.code, "NOT CHECKED")
        word = {0: "CERTIFIED", 1: "REFUTED", 3: "INCONCLUSIVE"}.get(self.code, "NOT CHECKED")
        return f"{word} (tuning data)" if self.mode is Mode.TUNING and self.code in CLEAN else word

    @property
    def meaning(self) -> str:
        """One line that says what the exit code means here."""
        return self.reason or MEANING[self.code][:1].upper() + MEANING[self.code][1:] + "."

    @property
    def claims(self) -> list[Claim]:
        """The claims of the policy with what is known of each; none where nothing may be shown of single claims."""
        return self._read() if self.certificate is not None else []

    @property
    def asked(self) -> list[Claim]:
        """The claims as the policy asks for them, without numbers of a certificate; none if the policy is wrong."""
        rules = self.rules
        return [read_claim(one, rules, {}, None) for one in rules["claim"]] if self.code != 2 and rules else []

    def _read(self) -> list[Claim]:
        rules = self.rules
        records = (self.certificate or {}).get("claims", {})
        return [
            read_claim(one, rules, records.get(one["name"], {}), self.verdicts.get(one["name"]))
            for one in rules.get("claim", [])
        ]

    def _statements(self) -> list[str]:
        certificate = self.certificate or {}
        claims = self.rules.get("claim", [])
        rules = {**self.rules, "per": sorted({one["per"] for one in claims if "per" in one})}
        rules["twins"] = sorted({str(one["attribute"]) for one in claims if of_twins(one)})
        return about_table(certificate.get("data"), certificate.get("info", {}).get("table"), rules)

    @property
    def delta(self) -> Fraction:
        """The share of delta that this outcome may spend: the policy's, or that of the ledger's attempt."""
        ledger = (self.certificate or {}).get("ledger")
        return Fraction(str(ledger["delta"] if ledger else self.rules.get("delta", "0")))

    @property
    def confidence(self) -> str:
        """One minus delta, in percent, rounded down: "95 %"."""
        percent = 100 * (1 - self.delta)
        return f"{Decimal(int(percent * 100)) / 100:f}".removesuffix(".00") + " %"

    @property
    def policy_sha256(self) -> str:
        return hashlib.sha256(self.policy.encode()).hexdigest()

    @property
    def uri(self) -> str:
        """Where the policy lies, with forward slashes."""
        return Path(self.policy_path).as_posix()

    def line(self, name: str | None) -> int:
        """The line of the policy where the claim of this name begins; 1 where that cannot be told."""
        starts = [at for at, text in enumerate(self.policy.splitlines(), 1) if CLAIM(text)]
        names = [claim.name for claim in self.asked]
        return starts[names.index(name)] if name in names and len(starts) == len(names) else 1
