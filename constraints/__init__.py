"""Fairness constraints for choice models, on JAX alone.

choices  -> rewards -> rule (argmax, softmax, KL-tilted, best-of-n) -> Outcome -> measure(outcome, choices) <= bound

    _choices         `Choices`, the data: n sets of up to K alternatives, one of which was chosen
    _outcome         the decision rules `Softmax`, `Argmax`, `KLTilted`, and the `Outcome` that a constraint looks at
    _best_of         the law of best-of-n, of enumerated sets and of draws, and its stand-ins for training
    _rules           rules as texts, `best_of(n=16)`; how far a policy is from its reference
    _constraint      `Constraint`: m inequalities measure <= bound; `Stack` of several
    _grouping        whose numbers are compared: groups of an attribute, in strata, among alternatives of a kind
    _rate            rates by cell, and the constraints that are linear in them
    _parity          demographic parity, equalised odds, and others that bound max minus min
    _caps            caps, floors, errors: one group at a time
    _ratio           ratio rules: four fifths
    _precision       predictive parity, precision floors
    _calibration     calibration within groups
    _scores          parity of rewards and of every threshold on them
    _exposure        exposure of groups in rankings
    _welfare         welfare of people against an aggregate, and equal accuracy of people
    _counterfactual  twins: what one attribute, set to another level, changes
    _exchange        bounded personalisation: what somebody else in the person's place changes
    _renamed         names of the release before, for one release
    _attainable_range  what any model at all could make a constraint measure
    alternatives     sums and maxima over the K alternatives, fast when K is small
    testing          `check_constraint`: the contract, to be run on your own
"""

from typing import TYPE_CHECKING

from . import _renamed
from ._attainable_range import FEW_UNITS as FEW_UNITS
from ._attainable_range import AttainableRange as AttainableRange
from ._attainable_range import attainable_range as attainable_range
from ._best_of import BestOf as BestOf
from ._best_of import BestOfDraws as BestOfDraws
from ._best_of import SmoothBestOf as SmoothBestOf
from ._best_of import SmoothBestOfDraws as SmoothBestOfDraws
from ._calibration import calibration as calibration
from ._caps import group_error as group_error
from ._caps import group_loss as group_loss
from ._caps import rate_cap as rate_cap
from ._caps import rate_floor as rate_floor
from ._choices import ANOTHER as ANOTHER
from ._choices import Attribute as Attribute
from ._choices import Choices as Choices
from ._choices import Twin as Twin
from ._choices import check_choices as check_choices
from ._choices import cross as cross
from ._choices import make_choices as make_choices
from ._choices import record as record
from ._choices import static as static
from ._constraint import Constraint as Constraint
from ._constraint import Stack as Stack
from ._constraint import Statistics as Statistics
from ._constraint import add as add
from ._constraint import statistics_of_parts as statistics_of_parts
from ._counterfactual import counterfactual_flip as counterfactual_flip
from ._counterfactual import counterfactual_oscillation as counterfactual_oscillation
from ._counterfactual import counterfactual_parity as counterfactual_parity
from ._exchange import person_exchange as person_exchange
from ._exposure import exposure_parity as exposure_parity
from ._grouping import Grouping as Grouping
from ._outcome import Argmax as Argmax
from ._outcome import DecisionRule as DecisionRule
from ._outcome import KLTilted as KLTilted
from ._outcome import Outcome as Outcome
from ._outcome import Softmax as Softmax
from ._outcome import TwinOutcome as TwinOutcome
from ._outcome import decide as decide
from ._outcome import log_softmax as log_softmax
from ._outcome import log_softmax_pieces as log_softmax_pieces
from ._parity import Parity as Parity
from ._parity import demographic_parity as demographic_parity
from ._parity import equal_opportunity as equal_opportunity
from ._parity import equalized_odds as equalized_odds
from ._parity import predictive_equality as predictive_equality
from ._precision import precision_floor as precision_floor
from ._precision import predictive_parity as predictive_parity
from ._rate import Compared as Compared
from ._rate import Counts as Counts
from ._rate import Members as Members
from ._rate import RateConstraint as RateConstraint
from ._ratio import rate_ratio as rate_ratio
from ._rules import CANDIDATES as CANDIDATES
from ._rules import Resampled as Resampled
from ._rules import best_of_kl_bound as best_of_kl_bound
from ._rules import kl_divergence as kl_divergence
from ._rules import rule_of as rule_of
from ._rules import rule_text as rule_text
from ._scores import reward_parity as reward_parity
from ._scores import threshold_parity as threshold_parity
from ._welfare import UNIT_SHARE as UNIT_SHARE
from ._welfare import accuracy_parity as accuracy_parity
from ._welfare import reward_by as reward_by
from ._welfare import welfare_floor as welfare_floor

if not TYPE_CHECKING:  # a checker of types knows the new names alone

    def __getattr__(name: str):
        return _renamed.old_name(name)
