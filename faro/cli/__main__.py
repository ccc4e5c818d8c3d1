"""`python -m faro.cli` is the command `faro`."""

import sys

from . import main

sys.exit(main())
