"""`python -m streaming` is the command `swarmlight`."""

import sys

from streaming.cli import main

if __name__ == "__main__":
    sys.exit(main())
