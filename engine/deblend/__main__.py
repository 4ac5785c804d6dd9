"""`python -m deblend`, the same as `deblend`."""

import sys

from deblend.cli import main

if __name__ == "__main__":
    sys.exit(main())
