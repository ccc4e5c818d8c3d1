"""Whole projects from a seed: a table of a random schema, a model trained on it, its scored table, policy and
certificate, and what four readers count of one part.

    train     `about["figures"]` of the model: hard decisions in float64
    pandas    the scored table, counted again here in a few lines that know nothing of faro's
    certify   `Finding.counted` and `Finding.rates`
    verify    the stand-alone checker

They agree to 1e-9 or somebody refuses, in one line. Names of attributes, levels, alternatives and sizes are those of
one of eight shapes, so that compiled programs are used again; a `generation` of seeds has eight of its own.

    drawn       tables of random schemas, and their projects
    readers     what four readers count of one part
    by_command  a project by commands alone
"""

from .by_command import commands as commands
from .by_command import reason as reason
from .drawn import GENERATION as GENERATION
from .drawn import Failed as Failed
from .drawn import Project as Project
from .drawn import build as build
from .readers import Readers as Readers
from .readers import fit as fit
from .readers import follow as follow
from .readers import policy_of as policy_of
from .readers import run as run
