"""`deblend` in a process of its own, and in those that it starts, compiled as the tests compile (tests/conftest.py).

Processes that are spawned import this file again, and workers of Dask preload it.
"""

from __future__ import annotations

import sys

from deblend.cli import main
from deblend.program import compiled

compiled.OPTIONS["xla_backend_optimization_level"] = "0"

if __name__ == "__main__":
    sys.exit(main())
