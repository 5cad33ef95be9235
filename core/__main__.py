"""python -m core COMMAND: the command line, see core/cli/app.py."""

import sys

from core.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
