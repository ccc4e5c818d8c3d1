"""Tables as choices: declare columns in a `Schema`, read, split by people, code, build `Choices`.

containers  tables in files, folders and other libraries as data frames
table       cells as text, digests
values      one canonical form of a cell
schema      `Schema`: how a table is read as choices
checks      what it may not say
plain       it as plain values, read and written
specs       what it declares of single features and attributes
columns     which columns of a table a schema reads, sides and twins among them
melt        wide and accept tables as long ones
parse       a table and its schema into dense arrays
arrays      those arrays
mapped      arrays in files, read by rows
preferences  preference data as it ships, and what their columns say
pair_features  which vectors stand for an answer to a prompt
mixed       several files as one table, with weights
lexicon     attributes that a list of words gives
rewriting   texts as they would be, by rules of words
texts       columns of texts as array features
dataset     `Dataset`: read once, then split, coded and handed out
sharded     `Sharded`: a table in several files, one of which is read at a time
candidates  what a decision rule may be asked of sets
coded       coded choices in shards on disk
slices      choices of several data sets, a slice at a time
decided     a table of decisions as choices with their candidates
split       who is in which part, by salted hash of the unit
views       what each seed sees of a data set
coding      features as numbers, learned from train alone
tally       what a coding is learned from: counts, means, levels
vocabulary  which units training knew: a number each
items       what an item is: by content, whatever ids say
support     earlier choices of a person, which a model may read
made        columns that no table has: rewards of another model, the share of a unit
draws       support as training draws it, anew at every step
twins       the same choices with one attribute set to each level
exchange    the same choices with somebody else in the person's place
history     people whose earlier choices are set to a level too
masses      how much a unit weighs in the cells of a constraint
seen        salted hashes of the units that training saw
registry    data sets by name
sets        the real ones
text_sets   those of text
twin_sets   those of sentences that differ in a pronoun
demo        one with a known truth
demo_people  those of people who disagree, in a way that is known
fetch       real ones from their public source, if every cell is the published one
describe    what a data set holds, as a plain record
"""

from .coding import Coding as Coding
from .containers import read_table as read_table
from .dataset import Dataset as Dataset
from .describe import describe as describe
from .fetch import fetch as fetch
from .mixed import mixed as mixed
from .registry import NAMES as NAMES
from .registry import listing as listing
from .registry import load as load
from .registry import schema_of as schema_of
from .schema import Schema as Schema
from .seen import Seen as Seen
from .seen import units_text as units_text
from .seen import write_units as write_units
from .sharded import Sharded as Sharded
from .specs import AttributeSpec as AttributeSpec
from .specs import Only as Only
from .specs import TwinSpec as TwinSpec
from .split import PARTS as PARTS
from .split import assign as assign
from .table import write_table as write_table
