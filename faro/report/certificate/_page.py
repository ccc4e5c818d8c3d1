"""The certificate as a page for people who did not make it: what is claimed, of whom, how surely, and what would
change it. One HTML file that loads nothing, without scripts, for a screen, a phone and paper."""

from __future__ import annotations

import hashlib
import html
import json
import string
from collections.abc import Sequence
from decimal import Decimal
from importlib import resources

from ._claim import Claim
from ._outcome import Mode, Outcome
from ._words import (
    BALLS,
    ESTIMANDS,
    LIMITS,
    about_people,
    assumptions,
    compared,
    headline,
    proved,
    result,
    sentence,
    shown,
)

escape = html.escape
OF_NOTHING = hashlib.sha256().hexdigest()  # of the model's files, where none was named
COLOURS = {"CERTIFIED": "good", "REFUTED": "bad", "INCONCLUSIVE": "open"}
WOULD = {"CERTIFIED": "would be certified", "REFUTED": "would be refuted", "INCONCLUSIVE": "would stay open"}
TUNING = (
    "<p class='note'><strong>Tuning data, no guarantee.</strong> These are development data: they were looked at while "
    "choosing, so that its numbers may be too small, nobody knows by how much. This page is no certificate, whatever "
    "its numbers are.</p>"
)


def certificate_page(outcome: Outcome) -> str:
    """The page as HTML."""
    here, shared = resources.files(__package__), resources.files("faro.report")
    css = shared.joinpath("page.css").read_text("utf-8") + here.joinpath("certificate.css").read_text("utf-8")
    tuning = outcome.mode is Mode.TUNING
    verdict = "TUNING DATA" if tuning else outcome.verdict
    kind = "tuning" if tuning else {0: "good", 1: "bad", 3: "open"}.get(outcome.code, "bad")
    title = {Mode.GATE: "Gate", Mode.TUNING: "Rehearsal on development data"}.get(outcome.mode, "Certificate")
    return string.Template(here.joinpath("certificate.html").read_text("utf-8")).substitute(
        title=escape(f"faro: {verdict}"),
        css=css,
        kind=kind,
        kicker=escape(f"{title} on differences between groups, policy {outcome.uri}"),
        verdict=escape(verdict),
        headline=escape(" ".join(filter(None, (headline(outcome), compared(outcome))))),
        banner=TUNING if tuning else "",
        claims_title="What is claimed" if kind == "good" else "What the policy asks for",
        claims="".join(_claim(outcome, claim) for claim in outcome.claims or outcome.asked) or "<p>Nothing.</p>",
        body=_body(outcome) if outcome.certificate else _bare(outcome),
    )


def _body(outcome: Outcome) -> str:
    sections = [("Of whom", _whom(outcome)), ("How surely", _surely(outcome))]
    sections += [("What it rests on", _rests(outcome))]
    sections += [("What would change it", _change(outcome)), ("What it does not say", _listed(list(LIMITS)))]
    sections += [("How to check it again", _recheck(outcome))] if outcome.mode is not Mode.TUNING else []
    sections += [("What it names", _facts(outcome))]
    return "".join(f"<section><h2>{escape(name)}</h2>{text}</section>" for name, text in sections if text)


def _bare(outcome: Outcome) -> str:
    """What is said where there are no numbers: what was asked, and nothing else."""
    text = "<p>Nothing but the line at the top: neither numbers nor verdicts on single claims.</p>"
    facts = [("Policy", outcome.uri), ("Policy sha256", outcome.policy_sha256)]
    rests = f"<section><h2>What it rests on</h2>{_rests(outcome)}</section>" if outcome.assumed else ""
    return f"{rests}<section><h2>What was shown</h2>{text}<dl>{_terms(facts)}</dl></section>"


def _rests(outcome: Outcome) -> str:
    """Assumptions, and what is to be said of the table."""
    return _listed([*(words for _, words in assumptions(outcome)), *map(_sentence, outcome.statements)])


def _claim(outcome: Outcome, claim: Claim) -> str:
    stamp = ""
    if claim.verdict:
        stamp = f"<span class='stamp {COLOURS[claim.verdict]}'>{_word(outcome, claim.verdict)}</span>"
    lines = [f"<article><h3><span>{escape(claim.name)}</span>{stamp}</h3>", f"<p>{escape(sentence(claim))}.</p>"]
    if claim.verdict:
        lines += [_bar(outcome, claim), f"<p>{escape(_sentence(result(outcome, claim)))}</p>", _pairs(outcome, claim)]
    return "".join([*lines, "</article>"])


def _word(outcome: Outcome, verdict: str) -> str:
    return WOULD[verdict] if outcome.mode is Mode.TUNING else verdict


def _bar(outcome: Outcome, claim: Claim) -> str:
    """What is proved against the bound, on a line from 0; nothing where the upper bound says nothing."""
    if claim.ucb is None or claim.ucb >= 1:
        return ""
    ends = [claim.bound, claim.ucb, *([claim.lcb] if claim.lcb else [])]
    widest = max(*ends, Decimal("0.001")) * Decimal("1.2")

    def at(value: Decimal) -> float:
        return round(float(100 * max(value, Decimal(0)) / widest), 2)

    colour, left = COLOURS[claim.verdict or "INCONCLUSIVE"], at(claim.bound)
    low = max(claim.lcb or Decimal(0), Decimal(0))
    label = f"{proved(outcome)} at most {shown(claim.ucb)}"
    if low > 0:
        label = f"at least {shown(low, up=False)}, at most {shown(claim.ucb)}"
    marks = [
        "<line class='axis' x1='0' x2='100%' y1='30' y2='30'/>",
        f"<rect class='{colour}' x='{at(low)}%' width='{max(0.4, round(at(claim.ucb) - at(low), 2))}%' y='24' "
        "height='12'/>",
        f"<line class='bound' x1='{left}%' x2='{left}%' y1='18' y2='42'/>",
        _text(left, 12, f"bound {claim.bound}"),
        _text(at(claim.ucb), 54, label),
    ]
    spoken = escape(f"{label}, bound {claim.bound}")
    return f"<svg class='bar' role='img' aria-label='{spoken}'>{''.join(marks)}</svg>"


def _text(at: float, y: int, text: str) -> str:
    anchor = "end" if at > 50 else "start"
    return f"<text x='{at}%' y='{y}' text-anchor='{anchor}'>{escape(text)}</text>"


def _pairs(outcome: Outcome, claim: Claim) -> str:
    """The comparisons of a claim, where the certificate has numbers of their own."""
    if len(claim.comparisons) < 2 or any(one.upper is None for one in claim.comparisons):
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{shown(one.upper)}</td><td>{_word(outcome, one.status)}</td></tr>"
        for one in claim.comparisons
        if one.upper is not None
    )
    head = f"<tr><th>compared</th><th>{proved(outcome)} at most</th><th></th></tr>"
    note = "Each of these numbers holds at the stated confidence on its own, not all of them at once."
    return (
        f"<details><summary>{len(claim.comparisons)} comparisons</summary><div class='scroll'><table><thead>{head}"
        f"</thead><tbody>{rows}</tbody></table></div><p class='quiet'>{note}</p></details>"
    )


def _whom(outcome: Outcome) -> str:
    data = (outcome.certificate or {}).get("data")
    if not data:
        return "<p>Of the listed tables only: no claim of this policy is about people.</p>"
    rows = "" if data["rows"] == data["units"] else f", which gave {data['rows']:,} alternatives"
    text = (
        f"Of the population that the {data['units']:,} audited units come from{rows}. A unit is the person, annotator "
        f"or prompt behind the rows. {ESTIMANDS.get(outcome.rules.get('estimand', ''), '')}"
    )
    sizes = [(claim, block, group, n) for claim, cells in outcome.sizes.items() for (block, group), n in cells.items()]
    least = outcome.rules.get("min_group")
    table = ""
    if sizes:
        several = len(outcome.sizes) > 1
        rows_of = "".join(
            f"<tr><td>{escape(f'{claim}: ' * several)}"
            f"{escape(', '.join(filter(None, (block, group))) or 'all')}</td><td>{n:,}</td></tr>"
            for claim, block, group, n in sizes
        )
        head = f"<tr><th>{'claim: ' * several}group</th><th>units counted</th></tr>"
        table = f"<div class='scroll groups'><table><thead>{head}</thead><tbody>{rows_of}</tbody></table></div>"
    return f"<p>{escape(text)}</p>{table}<p class='quiet'>A group of fewer than {least} units certifies nothing.</p>"


def _surely(outcome: Outcome) -> str:
    if not any(about_people(claim) for claim in outcome.claims):
        return "<p>These claims are arithmetic on the listed tables; no chance is involved.</p>"
    if outcome.mode is Mode.TUNING:
        return (
            f"<p>Not at all. On units that nobody had looked at, the same numbers would hold at {outcome.confidence} "
            "confidence; that is what the gate is for.</p>"
        )
    share = f"{float(outcome.delta):.3g}"
    text = (
        f"At {outcome.confidence} confidence. That is: if a claim were false, an audit of this kind would still "
        f"certify the policy with a chance of at most {share}; if all were true, it would refute the policy with a "
        f"chance of at most {share}. It is a property of the procedure; it is not the chance that this certificate is "
        "wrong."
    )
    ledger = (outcome.certificate or {}).get("ledger")
    if ledger:
        text += (
            f" This was attempt {ledger['attempt']} on these audit data. The policy's share of error, "
            f"{outcome.rules.get('delta')}, is divided among all attempts by a ledger, so that trying often does not "
            "make a false certificate more likely."
        )
    if len(outcome.claims) > 1:
        text += (
            " The claims hold together as one verdict; numbers read one by one have this confidence each on its own."
        )
    return f"<p>{escape(text)}</p>"


def _change(outcome: Outcome) -> str:
    lines = [(f"{claim.name}: ", " ".join(_changes(outcome, claim))) for claim in outcome.claims]
    lines.append(
        ("", "Another model file, policy or audit table: this certificate does not apply, and does not check.")
    )
    items = "".join(f"<li><strong>{escape(name)}</strong>{escape(text)}</li>" for name, text in lines)
    return f"<ul>{items}</ul>"


def _changes(outcome: Outcome, claim: Claim) -> list[str]:
    """How far a claim is from another verdict: the bound, shifts of the population, people needed."""
    lines = []
    if claim.verdict == "CERTIFIED" and claim.ucb is not None:
        lines.append(f"A bound below {shown(claim.ucb)} would not be certified on these data.")
    ball = claim.spec.get("ball")
    if ball in BALLS:
        if claim.breakdown is not None:
            words = BALLS[ball].format(radius=shown(claim.breakdown, up=ball == "cvar"))
            lines.append(f"It survives this shift, and nothing is claimed beyond it: {words}.")
    elif about_people(claim):
        lines.append("If people, groups or use differ from the audit, it need not hold: no shift was looked at.")
    if claim.name in outcome.needed:
        lines.append(_sentence(outcome.needed[claim.name]))
    return lines or ["Nothing is known of how far it is from another verdict."]


def _recheck(outcome: Outcome) -> str:
    text = (
        "The checker is one file that needs Python 3.11 and nothing else. It reads bounds and confidence from the "
        "policy, counts everything again from the audit table, and proves every number. It cannot see whether the "
        "scores come from the model, how people were drawn, or whether somebody looked at the audit data before."
    )
    return f"<pre>{escape(outcome.recheck or _command(outcome))}</pre><p>{text}</p>"


def _command(outcome: Outcome) -> str:
    """The checker's command line, with names of files as they usually are."""
    certificate = outcome.certificate or {}
    words = ["python verify.py certificate.json"]
    words += ["audit.csv"] if certificate.get("data") else []
    words += [f"--policy {outcome.uri}"]
    words += [f"--ledger {outcome.rules.get('ledger', 'ledger.jsonl')}"] if certificate.get("ledger") else []
    words += ["--train-units train-units.txt"] if certificate.get("train_units_sha256") else []
    words += [f"--table '{claim.name}=table.csv'" for claim in outcome.claims if not about_people(claim)]
    return " ".join(words)


def _facts(outcome: Outcome) -> str:
    """Digests of everything that the certificate names, and what nobody checked."""
    certificate = outcome.certificate or {}
    data, ledger, model = (
        certificate.get("data") or {},
        certificate.get("ledger") or {},
        certificate.get("model_sha256"),
    )
    facts = [
        ("Certificate", certificate.get("sha256")),
        ("Policy", certificate.get("policy_sha256")),
        ("Model", "no file was named" if model == OF_NOTHING else model),
        ("Audit table", data.get("rows_sha256")),
        ("Audit set, without scores", data.get("frame_sha256")),
        ("Units of training", certificate.get("train_units_sha256")),
        ("Entry of the ledger", ledger.get("entry")),
    ]
    info = certificate.get("info")
    more = ""
    if info:
        text = json.dumps(info, indent=1, ensure_ascii=False)
        more = f"<details><summary>Said by the maker, checked by nobody</summary><pre>{escape(text)}</pre></details>"
    note = "<p class='quiet'>Digests (sha256); the checker compares them with your files.</p>"
    return f"{note}<dl>{_terms(facts)}</dl>{more}"


def _terms(facts: Sequence[tuple[str, str | None]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(str(fact))}</code></dd>" for name, fact in facts if fact)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _listed(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
