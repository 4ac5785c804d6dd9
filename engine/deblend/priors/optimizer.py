"""How networks learn: Adam, whose rate rises over the first steps and falls as a cosine to nothing at the last one."""

from __future__ import annotations

from functools import lru_cache

import optax

WARM_UP = 100
LONGEST_STEP = 1.0
"""Gradients longer than that are shortened."""


@lru_cache(maxsize=8)
def optimizer_of(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Return the optimizer of so many steps, at least one; one object for the same numbers, so that nothing compiles
    twice."""
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, min(WARM_UP, steps // 2), steps)
    return optax.chain(optax.clip_by_global_norm(LONGEST_STEP), optax.adam(rate))
