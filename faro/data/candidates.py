"""Sets of candidates: what a decision rule may be asked of them.

named_rule   the rule that a text names, for sets that the schema declares
check_sets   whether a rule has a law on every set of a data set; how many sets no rule can move
"""

from __future__ import annotations

import numpy as np

from constraints import Argmax, BestOf, BestOfDraws, DecisionRule, Softmax, rule_of, rule_text

from ..errors import DataError, UsageError
from .dataset import Dataset

WHOLE = 1e-6  # how far the reference of an enumerated set may be from adding up to 1


def named_rule(text: str, candidates: str = "") -> DecisionRule:
    """The rule that a text names, as `constraints.rule_of`; `UsageError` in its words.

    text: `argmax`, `softmax(temperature=0.5)`, `kl_tilted(beta=0.1)` or `best_of(n=16)`
    candidates: what the sets are: "enumerated", "sampled" or "" (nobody said)
    """
    try:
        return rule_of(text, candidates)
    except ValueError as error:
        raise UsageError(str(error)) from None


def check_sets(data: Dataset, rule: DecisionRule) -> list[str]:
    """Hold the sets of a data set against what a rule needs of them; notes in words.

    data: with the schema that says what its sets are
    rule: built-in

    `DataError` for a reference that is none on an enumerated set, or fewer draws than are kept; `UsageError` for an
    outside option, of which a reference says nothing.
    """
    if isinstance(rule, Argmax):
        return []
    parsed, name = data.parsed, rule_text(rule)
    sizes = parsed.available.sum(1)
    if not isinstance(rule, Softmax) and (parsed.outside & parsed.available).any():
        raise UsageError(f"rule {name}: the reference says nothing of the outside option; softmax needs no reference")
    notes = []
    if isinstance(rule, BestOfDraws) and (few := sizes < rule.n).any():
        at = int(np.argmax(few))
        raise DataError(
            f"{data.name}: choice {str(data.choice_ids[at])[:40]}: {sizes[at]} draws, and {name} needs {rule.n} or more"
        )
    if parsed.log_ref is not None and not isinstance(rule, Softmax):
        mass = np.where(parsed.available, np.exp(np.minimum(parsed.log_ref, 1)), 0).sum(1)
        wrong = (mass > 1 + WHOLE) | (isinstance(rule, BestOf) & (mass < 1 - WHOLE))
        if wrong.any():
            at = int(np.argmax(wrong))
            what = "all answers there are" if isinstance(rule, BestOf) else "answers of one prompt"
            raise DataError(
                f"{data.name}: choice {str(data.choice_ids[at])[:40]}: log_ref adds up to {mass[at]:.6g}; {name} needs "
                f"log-probabilities of {what}, which add up to 1{'' if isinstance(rule, BestOf) else ' at most'}"
            )
        if mass.min() < 1 - WHOLE:
            notes.append(f"sets hold {mass.min():.6f} or more of the reference; {name} is about what they hold")
    if singles := int((sizes == 1).sum()):
        notes.append(f"{singles} sets have one candidate, which no policy can move; they count")
    return notes
