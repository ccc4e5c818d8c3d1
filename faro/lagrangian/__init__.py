"""A constrained optimiser on pytrees: minimise f(x) subject to g(x) <= 0 and h(x) = 0. Knows nothing of choices.

    _problem      `problem`: f, g, h (and proxies) to one function, `evaluate`
    _multipliers  `MultiplierMethod`, the one to try first: deterministic smooth problems, quasi-Newton inside
    _game         `Lagrangian`, the game of two first-order players: batches, noise, proxies, large models
    _quadratic    `Quadratic`, the game with a second-order primal player, which is brought a curvature; few steps
    _duals        how multipliers follow the violation: ascent, nupi, optimistic, exponentiated
    _solve        `solve`, the driver loop: KKT residuals, infeasibility, a typed result; inside jit and vmap
    _verdict      what may be said of a point, whatever the units of the problem

`init` and `step` of both methods are pure, in the manner of optax, for a loop of one's own.
"""

from ._duals import DualUpdate as DualUpdate
from ._duals import NuPIState as NuPIState
from ._duals import ascent as ascent
from ._duals import exponentiated as exponentiated
from ._duals import nupi as nupi
from ._duals import optimistic as optimistic
from ._game import Lagrangian as Lagrangian
from ._game import State as State
from ._multipliers import MultiplierMethod as MultiplierMethod
from ._problem import KKT as KKT
from ._problem import Evaluation as Evaluation
from ._problem import Info as Info
from ._problem import largest as largest
from ._problem import problem as problem
from ._quadratic import Quadratic as Quadratic
from ._quadratic import Seen as Seen
from ._solve import Result as Result
from ._solve import Status as Status
from ._solve import solve as solve
