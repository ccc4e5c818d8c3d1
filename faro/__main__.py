"""`python -m faro` is the command `faro`, of the Python that is named."""

import sys

from .cli import main

sys.exit(main())
