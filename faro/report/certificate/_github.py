"""For GitHub Actions: a Markdown summary of at most 1 MiB, and a few annotations at the lines of the policy."""

from __future__ import annotations

import re

from ._outcome import Mode, Outcome
from ._words import assumptions, compared, headline, result, sentence, statement

SUMMARY_BYTES = 1 << 20
CUT = "\n\n*Cut here: a summary holds 1 MiB at most.*\n"
ANNOTATIONS = 5  # GitHub shows ten of a step


def markdown(outcome: Outcome, room: int = SUMMARY_BYTES) -> str:
    """The outcome as Markdown of at most `room` bytes; cut at the end of a line, and then it says so."""
    lines = [f"## faro: {outcome.verdict}", "", escape(headline(outcome)), ""]
    if outcome.mode is Mode.TUNING:
        lines += ["> **Tuning data, no guarantee.** Whoever looks at these numbers and then chooses has used them.", ""]
    lines += [f"**{escape(compared(outcome))}**", ""] if outcome.worse else []
    if outcome.claims:
        lines += ["| claim | says | verdict | result |", "|---|---|---|---|"]
        lines += [
            f"| {escape(c.name)} | {escape(sentence(c))} | {c.verdict} | {escape(result(outcome, c))} |"
            for c in outcome.claims
        ]
        lines += ["", f"Confidence {outcome.confidence}. Rests on:", ""]
    elif outcome.assumed:
        lines += ["Rests on:", ""]
    if outcome.claims or outcome.assumed:
        rests = [*(words for _, words in assumptions(outcome)), *outcome.statements]
        lines += [f"- {escape(words)}" for words in rests] or ["- nothing about people"]
    if outcome.certificate:
        lines += ["", f"Certificate `{outcome.certificate.get('sha256', '')}`"]
    lines += ["", f"Policy `{escape(outcome.uri)}`, sha256 `{outcome.policy_sha256}`", ""]
    return _cut("\n".join(lines), room)


def _cut(text: str, room: int) -> str:
    data = text.encode()
    if len(data) <= room:
        return text
    kept = data[: max(0, room - len(CUT.encode()))]
    return kept[: kept.rfind(b"\n") + 1].decode() + CUT if len(CUT) <= room else ""


def escape(text: str) -> str:
    """Text that Markdown and HTML leave alone, on one line."""
    text = re.sub(r"\s+", " ", text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!@])", r"\\\1", text)


def github_annotations(outcome: Outcome, level: str = "error") -> list[str]:
    """Workflow commands, at most five: `::error file=...,line=...,title=...::message`. None if all is well.

    `level` is error, or warning where the job goes on whatever the verdict.
    """
    worse = [name for name, is_worse in outcome.worse.items() if is_worse]
    if outcome.code == 0 and not worse:
        return []
    bad = [claim for claim in outcome.claims if claim.verdict != "CERTIFIED"]
    note = " Tuning data, no guarantee." if outcome.mode is Mode.TUNING else ""
    commands = [
        _command(level, outcome, claim.name, f"{claim.name}: {claim.verdict}", f"{statement(outcome, claim)}{note}")
        for claim in bad
    ]
    commands = [
        _command(level, outcome, name, f"{name}: WORSE", f"The bound is worse than in the baseline.{note}")
        for name in worse
    ] + commands
    if len(commands) > ANNOTATIONS:
        rest = len(commands) - ANNOTATIONS + 1
        more = _command(
            level,
            outcome,
            None,
            f"faro: {outcome.verdict}",
            f"{rest} more claims fall short.",
        )
        commands = [*commands[: ANNOTATIONS - 1], more]
    return commands or [_command(level, outcome, None, f"faro: {outcome.verdict}", outcome.meaning)]


def _command(level: str, outcome: Outcome, claim: str | None, title: str, message: str) -> str:
    line = outcome.line(claim)
    return f"::{level} file={_property(outcome.uri)},line={line},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
