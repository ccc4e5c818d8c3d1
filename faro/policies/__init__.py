"""Policies trained on rewards, the GRPO family among them: pure functions on rewards `[prompts, answers]`.

advantage  `Advantage`: by how much an answer is above its baseline; `Rated`, what it is told of answers
rows       of a generation group and the batch alone: GRPO, Dr. GRPO, LitePPO, GDPO, stratified, own-z
history    of what was seen before, in a state of a few numbers a group: P-GRPO, EBPO, hybrid
surrogate  the clipped surrogate, by token or sequence, and the divergence from a reference
policy     what a policy is: a softmax over candidates by any faro model, a small network over tokens
train      rollouts, the two-player game on the policy's own rates, which iterate is returned
tune       a policy over the candidates of a table, on the rewards of saved models; resuming
"""

from .advantage import Advantage as Advantage
from .advantage import Rated as Rated
from .advantage import rated as rated
from .history import EBPO as EBPO
from .history import PGRPO as PGRPO
from .history import History as History
from .history import Hybrid as Hybrid
from .policy import Answers as Answers
from .policy import Autoregressive as Autoregressive
from .policy import Candidates as Candidates
from .policy import Policy as Policy
from .rows import GDPO as GDPO
from .rows import GRPO as GRPO
from .rows import DrGRPO as DrGRPO
from .rows import LitePPO as LitePPO
from .rows import OwnZ as OwnZ
from .rows import Stratified as Stratified
from .surrogate import clipped as clipped
from .surrogate import divergence as divergence
from .surrogate import exact_divergence as exact_divergence
from .train import Optimisation as Optimisation
from .train import Prompts as Prompts
from .train import Task as Task
from .train import Trainer as Trainer
from .tune import Tuned as Tuned
