"""A certificate in plain words: what each claim says, of whom, and what it rests on. House language, no formulas."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ._claim import FLOORS, TABLES, Claim
from ._outcome import Mode, Outcome

CLAIMS = {
    "demographic_parity": "how often the model chooses {who} differs by at most {bound} between any two of {groups}",
    "equalized_odds": "among those that people chose, and among those that people rejected, how often the model "
    "chooses {who} differs by at most {bound} between any two of {groups}",
    "equal_opportunity": "among those that people chose, how often the model chooses {who} differs by at most {bound} "
    "between any two of {groups}",
    "predictive_equality": "among those that people rejected, how often the model chooses {who} differs by at most "
    "{bound} between any two of {groups}",
    "threshold_parity": "the share of {plural} with a reward above {thresholds} differs by at most {bound} between any "
    "two of {groups}",
    "reward_parity": "the mean score of {plural}, in [0, 1], differs by at most {bound} between any two of {groups}",
    "policy_parity": "how often the answer is {who} differs by at most {bound} between any two of {groups}, a choice "
    "with none of that kind counting as never",
    "counterfactual_parity": "if nothing but {attribute} were exchanged, how often the model chooses {who} would "
    "differ by at most {bound} between any two of {groups}",
    "counterfactual_flip": "exchanging nothing but {attribute} changes at most {bound} of the decisions on {plural}",
    "counterfactual_oscillation": "exchanging nothing but {attribute} moves the reward of {who} by at most {bound} on "
    "average, in units of {scale}, larger moves counting as one",
    "person_exchange": "another person in the place of the one who asks changes at most {bound} of the decisions, a "
    "choice counting once, people compared two by two",
    "rate_cap": "the model chooses {who} at a rate of at most {bound} in each of {groups}",
    "rate_floor": "the model passes over {who} at a rate of at most {bound} in each of {groups}",
    "group_error": "of {plural} that people chose, the model passes over at most {bound} in each of {groups}",
    "welfare_floor": "in {groups}, people fare worse under the model than under the aggregate {against} by at most "
    "{bound} on average, in welfare ({welfare}) from 0 to 1, every person counting once",
    "welfare_tail": "of those who gain {cutoff} or less against the aggregate {against} by half of their choices, "
    "people fare worse by at most {bound} on average by the other half, in welfare ({welfare}) from 0 to 1, every "
    "person counting once",
    "accuracy_parity": "how well people are decided for (welfare: {welfare}) differs by at most {bound} on average "
    "between any two of {groups}, every person counting once",
    "accuracy_ratio": "how well people are decided for (welfare: {welfare}) on average in any of {groups} is at least "
    "1 - {bound} of what it is in any other, every person counting once",
    "plugin_parity": "the rate that {plugin} counts differs by at most {bound} between any two of {groups}",
    "plugin_cap": "the rate that {plugin} counts is at most {bound} in each of {groups}",
    "mixture": "a mixture of the listed models that meets the constraints loses at most {bound} against the best such "
    "mixture",
    "head_optimum": "no linear head on these features, on this sample, with this constraint, has a regularised loss "
    "lower by more than {bound}",
}
TAIL = "exchanging nothing but {attribute} moves the reward by more than {scale} for at most {bound} of {plural}"

HISTORIES = {
    "kept": ", what the person chose before staying as it was (the direct effect given history)",
    "rewritten": ", what the person chose before being rewritten too (the effect through history)",
    "": "",
}

BALLS = {
    "tv": "the people and their scores in each group may differ from the audited ones in up to {radius} of them",
    "label-noise": "group labels may be wrong for up to {radius} of those who are in a group, and of those who are "
    "recorded in it",
    "kl": "the law of each group's results may be up to {radius} away (Kullback-Leibler divergence)",
    "chi2": "the law of each group's results may be up to {radius} away (chi-squared divergence)",
    "lr": "any result may be up to {radius} times as frequent, or as rare, in each group as in the audit",
    "cvar": "each group may be any part of the audited group that holds a share of at least {radius} of it",
    "w1": "rewards may move by up to {radius} on average in each group",
}

ESTIMANDS = {
    "row": "Every alternative counts alike (by its weight, where there are weights).",
    "unit": "Every unit counts alike, however many alternatives it saw.",
}

ASSUMPTIONS = {
    "iid-units": "The audited units were drawn independently from the population that is meant, and each came in once. "
    "Rows of one unit may depend on each other; units may not.",
    "group-labels-correct": "The recorded group labels are right.",
    "label-noise-bounded": "Where a claim allows for wrong group labels, no larger share of them is wrong.",
    "twins-as-declared": "The twins differ from their originals in the named attribute, or in who asks, and in nothing "
    "else that matters.",
    "twins-missing": "Some choices have no twin, and claims of twins say nothing of them. That the data lack it, and "
    "nobody left it out, was NOT checked.",
    "undescribed-table": "The scored table is what the policy takes it for: its outside option, threshold and units. "
    "This was NOT checked: nothing describes the table.",
    "weights-ignored": "The rows have weights, which the policy's estimand drops: these are not the weighted rates "
    "that a model may have been trained for.",
    "same-items": "Several units share prompts or items. The claims are about new units and these very items, not "
    "about new items.",
    "train-overlap-unchecked": "None of the audited units was used in training. This was NOT checked: the model came "
    "without a list of its training units.",
    "no-ledger": "These audit data were used for this one certificate. This was NOT checked: the policy names no "
    "ledger.",
}

AGGREGATE = (
    "The rewards of the aggregate are those of the model with this digest, which was fitted to the same rows without a "
    "bound. Whether it is a good one, no number here says: faro verify --rescore computes the rewards again."
)

MADE = (
    "Whoever wrote this constraint says who is counted in which group, with which share, and what the score is where "
    "one is counted. This was NOT checked here: faro verify --plugin computes it again."
)

TOLD = (
    "Whoever this names put what people chose before into words, of those answers alone and of nobody else's. This was "
    "NOT checked: no number here says what a summary was made of."
)

LIMITS = (
    "It says nothing of groups that are not named, of smaller groups within these, or of single persons.",
    "It speaks of this model file, and of the population that the audited units come from. Other people, other times "
    "or another use of the rewards are another question.",
    "Equal rates do not make a decision right, and no number here settles a question of law.",
    "The same rewards, sampled by another policy (best of n, another temperature), can treat groups differently.",
)


def groups(claim: Claim) -> str:
    """The groups of a claim, as words."""
    attribute = claim.spec.get("attribute")
    if "plugin" in claim.spec:
        return f"the groups {', '.join(claim.groups)}"
    if claim.constraint in FLOORS:
        blocks = dict.fromkeys(each.block for each in claim.comparisons)
        return f"each of the groups {', '.join(blocks)}" if attribute else "all"
    return f"the {attribute} groups {', '.join(claim.groups)}" if attribute else "all"


def sentence(claim: Claim) -> str:
    """What the claim says, as one sentence without its end: who, which rate, within which bound."""
    spec = claim.spec
    tail = claim.constraint == "counterfactual_oscillation" and bool(spec.get("tail"))
    thresholds, of = spec.get("thresholds"), spec.get("of")
    kind = f" with {of[0]} = {of[1]}" if of else ""
    text = (TAIL if tail else CLAIMS.get(claim.constraint, "{who}: within {bound}")).format(
        who=f"an alternative{kind}",
        plural=f"alternatives{kind}",
        groups=groups(claim),
        bound=claim.bound,
        attribute=spec.get("attribute", "the attribute"),
        plugin=spec.get("plugin", "the plug-in"),
        scale=spec.get("scale", "1"),
        against=spec.get("against", ""),
        welfare=spec.get("welfare", "decision"),
        cutoff=spec.get("cutoff", ""),
        thresholds=" or ".join(map(str, thresholds)) if isinstance(thresholds, list) else "every threshold at once",
    )
    within = spec.get("within")
    strata = f", inside each level of {within}" if within else ""
    shift = f", even if {BALLS[spec['ball']].format(radius=spec['radius'])}" if spec.get("ball") in BALLS else ""
    return text[:1].upper() + text[1:] + HISTORIES[claim.history] + strata + shift


def proved(outcome: Outcome) -> str:
    """Nothing is proved on data that were looked at."""
    return "computed" if outcome.mode is Mode.TUNING else "proved"


def result(outcome: Outcome, claim: Claim) -> str:
    """What was found: the proved number against the bound."""
    verb = proved(outcome)
    upper = f"{verb} at most {shown(claim.ucb)}" if claim.ucb is not None and claim.ucb < 1 else "vacuous"
    if claim.verdict == "CERTIFIED":
        return f"{upper}, which is within {claim.bound}"
    if claim.verdict == "REFUTED" and claim.lcb is not None:
        return f"{verb} at least {shown(claim.lcb, up=False)}, which is more than {claim.bound}"
    blind = ((outcome.certificate or {}).get("info", {}).get("blind") or {}).get(claim.name)
    if blind:
        return f"no answer: {blind}"
    if claim.ucb is not None and claim.ucb <= claim.bound:
        return "too few people in some group; the policy asks for more before it looks"
    return f"not shown to be within {claim.bound}, and not shown to be beyond it ({upper})"


def statement(outcome: Outcome, claim: Claim) -> str:
    """Claim and result as two sentences."""
    text = result(outcome, claim)
    return f"{sentence(claim)}. {text[:1].upper()}{text[1:]}."


def shown(value: Decimal, digits: int = 4, up: bool = True) -> str:
    """A bound with few digits, rounded against the claim: upper bounds up, lower bounds down."""
    rounded = value.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING if up else ROUND_FLOOR)
    return f"{rounded.normalize():f}" if rounded else "0"


def compared(outcome: Outcome) -> str:
    """What a comparison with an earlier certificate found, as a sentence; nothing where none was made."""
    worse = [name for name, is_worse in outcome.worse.items() if is_worse]
    if not outcome.worse:
        return ""
    return f"Worse than in the baseline: {', '.join(worse)}." if worse else "No bound is worse than in the baseline."


def assumptions(outcome: Outcome) -> list[tuple[str, str]]:
    """(id, words) of everything the certificate rests on."""
    named = {"cells by ": MADE, "aggregate ": AGGREGATE, "summaries by ": TOLD}
    words = {name: text for name in outcome.assumed for begins, text in named.items() if name.startswith(begins)}
    return [(name, words.get(name) or ASSUMPTIONS.get(name, name)) for name in outcome.assumed]


def admitted(outcome: Outcome) -> list[str]:
    """Names of the assumptions, and the lines about the table, for outputs that have room for a line each."""
    return [*(f"assumed: {name}" for name in outcome.assumed), *outcome.statements]


def headline(outcome: Outcome) -> str:
    """The whole in a sentence or two."""
    if outcome.certificate is None:
        return outcome.meaning
    data, claims = outcome.certificate["data"], outcome.claims
    if not data:
        start = "From the tables given, "
    elif outcome.mode is Mode.TUNING:
        start = f"Had nobody looked at these {data['units']:,} units, at {outcome.confidence} confidence "
    else:
        start = f"On the basis of {data['units']:,} audited units, at {outcome.confidence} confidence "
    if outcome.code == 0:
        what = "the claim of this policy is" if len(claims) == 1 else f"all {len(claims)} claims of this policy are"
        return f"{start}{what} shown to hold within the bounds that were asked for."
    what = ", ".join(
        claim.name for claim in claims if claim.verdict == {1: "REFUTED"}.get(outcome.code, "INCONCLUSIVE")
    )
    rest = "these do not hold within their bounds" if outcome.code == 1 else "these are neither shown nor refuted"
    return f"{start}{rest}: {what}."


def about_people(claim: Claim) -> bool:
    """Whether a claim reads the audit table."""
    return claim.constraint not in TABLES
