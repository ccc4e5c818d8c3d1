"""Tables as choices: declare columns in a `Schema`, read, split by people, code, build `Choices`."""

from .coding import Coding as Coding
from .dataset import Dataset as Dataset
from .describe import describe as describe
from .fetch import fetch as fetch
from .registry import NAMES as NAMES
from .registry import listing as listing
from .registry import load as load
from .schema import AttributeSpec as AttributeSpec
from .schema import Only as Only
from .schema import Schema as Schema
from .schema import TwinSpec as TwinSpec
from .seen import Seen as Seen
from .seen import units_text as units_text
from .seen import write_units as write_units
from .split import PARTS as PARTS
from .split import assign as assign
from .table import read_table as read_table
from .table import write_table as write_table
