"""Write the tables."""

import sys

from . import main

sys.exit(main())
