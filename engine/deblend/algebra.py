"""Linear algebra of small matrices, which threads only slow down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_n_small = 0
"""How many threads are among small matrices."""
_limit: Any = None


@contextmanager
def small_matrices() -> Iterator[None]:
    """Keep linear algebra to one thread: for matrices of a hundred rows others only wait, and wait loudly.

    The limit is the whole process's: the last thread that leaves takes it back.
    """
    global _n_small, _limit
    with _lock:
        _n_small += 1
        if _n_small == 1:
            _limit = _algebra().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _n_small -= 1
            if _n_small == 0:
                _limit.restore_original_limits()


@lru_cache(maxsize=1)
def _algebra() -> ThreadpoolController:
    return ThreadpoolController()
