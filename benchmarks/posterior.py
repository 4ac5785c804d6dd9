#!/usr/bin/env python3
"""How many effective draws NUTS makes a second, and how soon there are enough.

The spectrum and the center of the first source are drawn, 7 numbers with five bands, all else is held at the fit. What
draws are worth is the least number of effective ones over these numbers, once chains agree (R-hat below 1.01).

    python benchmarks/posterior.py [--data FOLDER] [--json FILE]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from iterations import patch
from measured import Row, concluded, empty_cache, parser_of

from deblend import Observation, Scene, Status, fit, sample

PART = "posterior"
EFFECTIVE, GOAL_RATE, GOAL_COLD = 400, 300.0, 15.0
"""Effective draws that are waited for; least a second, warm; most seconds until they are there, cold."""
AGREE = 1.01
"""R-hat."""


def few_numbers(scene: Scene) -> Scene:
    """Return the scene with the spectrum and the center of its first source free, and nothing else."""
    first, *others = scene.sources
    held = [source.with_status(Status.LOCKED) for source in others]
    (component,) = first.components
    fixed = {name: p.with_status(Status.FIXED) for name, p in component.morphology.parameters.items()}
    morphology = component.morphology.with_parameters(**fixed)
    gradients = component.color_gradients.with_status(Status.FIXED)
    component = replace(component, morphology=morphology, color_gradients=gradients)
    offsets = first.channel_offsets.with_status(Status.FIXED)
    return scene.with_sources([replace(first, components=(component,), channel_offsets=offsets), *held])


def chains(observation: Observation, scene: Scene) -> list[Row]:
    """Return how fast NUTS is, from the press of the key and once it is compiled."""
    started, drawn, ready, cold = time.perf_counter(), 0, None, float("inf")
    running = sample(scene, [observation], "nuts", 4000, seed=1)
    for drawn, _ in enumerate(running, 1):
        ready = ready or time.perf_counter()
        found = running.diagnosis() if drawn % 50 == 0 else None
        if found is not None and found.least_ess >= EFFECTIVE and found.worst_r_hat < AGREE:
            cold = time.perf_counter() - started
            break
    found = running.diagnosis()
    assert found is not None and ready is not None
    rate = found.least_ess / (time.perf_counter() - ready)
    of = f"{found.least_ess:.0f} effective of {drawn} draws, {len(found.ess)} numbers, R-hat {found.worst_r_hat:.3f}"
    return [
        Row(PART, "NUTS: effective draws a second, once it draws", rate, "1/s", GOAL_RATE, is_least=True, of=of),
        Row(PART, f"NUTS: {EFFECTIVE} effective draws, cold", cold, "s", GOAL_COLD, of=of),
    ]


def main() -> int:
    options = parser_of(__doc__, of_scene=True).parse_args()
    with empty_cache():
        observation, start = patch(options.data)
        best = fit(start, [observation]).run()
        rows = chains(observation, few_numbers(best.scene))
    return concluded(rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
