"""The engine's functions of a layout, compiled alone: once for all tests whose programs have one layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax

from deblend.program.compiled import compiler_options, on_device


def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function, compiled as the engine compiles; its first argument is the layout, all others are arrays."""
    compiled = jax.jit(function, static_argnums=0, compiler_options=compiler_options())

    @wraps(function)
    def call(layout: Any, *args: Any) -> Any:
        # or it would be compiled for arrays of NumPy, and once more for those of another function
        return compiled(layout, *on_device(args))

    return call
