"""A second reading of docs/certificate-format.md: makes tables, policies, ledgers and certificates by hand, for tests.

Written from the specification with numpy and scipy, slow and plain. It shares nothing with faro.verify, which checks
what is made here, nor with faro.certify. Format 1 unless a policy of format 2 or 3, or `form=2`, asks for the other.

    canonical     canonical JSON, digests, seals, decimals
    policies      policies as dicts and as TOML
    tables        audit tables: their files, digests, descriptions and counts of what people share
    measured      what a claim measures of a table, member by member
    bounds        confidence bounds on rates and on distances of distributions
    shift         worst cases within a ball around what was seen
    certificates  records of claims, and the certificate of a table under a policy
    ledgers       entries of a ledger, and lists of the units that training saw
    people        tables of invented people
"""

from .bounds import betting_log as betting_log
from .bounds import betting_upper as betting_upper
from .bounds import bisect as bisect
from .bounds import cdf_gap as cdf_gap
from .bounds import cp_upper as cp_upper
from .bounds import dkw_radius as dkw_radius
from .bounds import exact2_rejects as exact2_rejects
from .bounds import exact2_upper as exact2_upper
from .bounds import massart as massart
from .bounds import pair_blocks as pair_blocks
from .canonical import C as C
from .canonical import H as H
from .canonical import dec as dec
from .canonical import plain as plain
from .canonical import seal as seal
from .certificates import certify as certify
from .certificates import record as record
from .certificates import size as size
from .certificates import store as store
from .ledgers import entry as entry
from .ledgers import units as units
from .measured import Measured as Measured
from .measured import decided as decided
from .people import applicants as applicants
from .people import choosers as choosers
from .people import in_pairs as in_pairs
from .policies import policy as policy
from .policies import policy2 as policy2
from .policies import toml as toml
from .shift import best_dual as best_dual
from .shift import bins as bins
from .shift import up as up
from .shift import value as value
from .tables import EXCHANGE as EXCHANGE
from .tables import MEANT as MEANT
from .tables import PAIR as PAIR
from .tables import cell as cell
from .tables import describe as describe
from .tables import digests as digests
from .tables import reseal as reseal
from .tables import shared_counts as shared_counts
from .tables import write_csv as write_csv
