"""Read the folder of a finished sweep, draw its frontier, and report it as one self-contained page.

A report reads plain records and imports neither jax nor cvxpy: `read_run` is the only way in.
"""

from ._ending import MEANINGS as MEANINGS
from ._ending import ending as ending
from ._page import write_report as write_report
from ._plots import draw_frontier as draw_frontier
from ._plots import draw_traces as draw_traces
from ._plots import write_pictures as write_pictures
from ._run import Run as Run
from ._run import headline as headline
from ._run import read_run as read_run
from ._run import spread_text as spread_text
from ._run import summary_table as summary_table
