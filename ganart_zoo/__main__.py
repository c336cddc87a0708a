"""`python -m ganart_zoo`: the command line."""

import sys

from ganart_zoo.cli import main

sys.exit(main())
