"""A scene of scarlet2 as its quick start sets one up: one free-form morphology and one spectrum a source.

Both are positive, with the step sizes that are used there. Imported by scripts that run in scarlet2's environment.
"""

from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import constraints
from scarlet2 import (
    ArrayPSF,
    Frame,
    GaussianPSF,
    Observation,
    Parameter,
    Parameters,
    Scene,
    Source,
    init,
    relative_step,
    set_validation,
)

set_validation(False)  # its checks are for a person, and cost seconds


def start(data: Mapping[str, np.ndarray]) -> tuple[Scene, Observation]:
    """Return a scene with a source at every position, and what is observed of it."""
    observation = Observation(
        jnp.asarray(data["images"]),
        jnp.asarray(data["weights"]),
        psf=ArrayPSF(jnp.asarray(data["psf"])),
        channels=[str(band) for band in data["bands"]],
    )
    frame = Frame.from_observations(observation, model_psf=GaussianPSF(0.7))
    with Scene(frame) as scene:
        for x, y in zip(data["x"], data["y"], strict=True):
            center = jnp.array([y, x])
            try:
                spectrum, morphology = init.from_gaussian_moments(observation, center)
            except ValueError:
                # moments in a crowd may describe no ellipse; its guide then starts from a point
                spectrum = init.pixel_spectrum(observation, center, correct_psf=True)
                morphology = init.compact_morphology()
            Source(center, jnp.maximum(spectrum, 1e-3), morphology)
    with Parameters(scene):
        for number, source in enumerate(scene.sources):
            Parameter(
                source.spectrum,
                name=f"spectrum_{number}",
                constraint=constraints.positive,
                stepsize=partial(relative_step, factor=0.05),
            )
            Parameter(source.morphology, name=f"morphology_{number}", constraint=constraints.positive, stepsize=0.1)
    return scene, observation
