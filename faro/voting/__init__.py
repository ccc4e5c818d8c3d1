"""One answer for many people: what serves their shares and not only the majority. It knows nothing of models.

proportional  an answer drawn in proportion to bounds on who puts it first, from shares of pairs alone
maximin       an answer drawn so that the worst served kind of people expects most
ensemble      a few weighted rewards whose votes on pairs are as people's are
jury          the decision of a stated mix of people
numbers       what a caller gives, checked
reranking     a list in the proportions of a person's, or of people's, interests
"""

from __future__ import annotations

from .ensemble import Ensemble as Ensemble
from .ensemble import joint as joint
from .ensemble import stagewise as stagewise
from .jury import jury as jury
from .maximin import Maximin as Maximin
from .maximin import maximin as maximin
from .proportional import Shares as Shares
from .proportional import first_choice_bounds as first_choice_bounds
from .proportional import pair_shares as pair_shares
from .proportional import proportional as proportional
from .reranking import divergence as divergence
from .reranking import reranked as reranked
from .reranking import streamed as streamed
