"""Stars or galaxies: whether a point explains a source as well as something extended does.

Each source is refitted alone, all others as they are, once as a point and once as an elliptical Gaussian behind the
PSF, which a point is the limit of. Fluxes are linear and solved out (variable projection: Golub & Pereyra 1973), so
that with T the picture of flux 1 and D the data without the others, χ² falls by

    G(θ) = Σ_c max(⟨T, W D⟩_c, 0)² / ⟨T, W T⟩_c

below that of nothing at all. Gauss-Newton steps on place and shape climb it; derivatives are differences of drawn
pictures, all sources in one call. An extended source has three numbers more, size and two of ellipticity: it has to be
better by what these gain on noise alone once in a thousand times (`THRESHOLD`), and by the χ² of a PSF that is off by a
hundredth of the source's light (`PSF_ERROR`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import chdtri

from deblend.observe import Observation
from deblend.program import Program
from deblend.program.fluxes import NormalEquations
from deblend.scene import Gaussian, Point, Scene, Source, make_source

EXTRA_PARAMETERS = 3
FALSE_ALARMS = 1e-3
THRESHOLD = float(chdtri(EXTRA_PARAMETERS, FALSE_ALARMS))
"""Δχ² that three more parameters gain on noise once in a thousand times: 16.3."""
PSF_ERROR = 0.01
"""How far a PSF is believed to be off, of the light, as the S/N of what it leaves over relative to the source's."""
STEPS = 8
FURTHEST = 2.0
"""How far a place may go altogether, per axis [pix]."""
DIFFERENCE = 0.05
"""Step of the derivatives: of places [pix], of the square of the size relative to itself and 1 px², of shears."""
LEAST_SIZE, LARGEST_SIZE = 0.05, 30.0
"""Of half-light radii [pix]."""
STIFFNESS = 1e-6
"""Of the steepest direction: keeps the shape of a point, which changes nothing, where it is."""
LEAST_RADIUS = 7
"""Of boxes [pix]."""
ROUNDEST = 1.5
"""Largest |η|, an axis ratio of 0.22."""


@dataclass(frozen=True)
class Classification:
    """What one source is."""

    kind: str
    """"point" or "galaxy"."""
    gain: float
    """Δχ²: by how much an extended source is better than a point."""
    threshold: float
    """What that has to exceed."""
    snr: float
    """Signal to noise of the source as what it is."""


def classify(
    scene: Scene, observations: Sequence[Observation], program: Program | None = None
) -> tuple[Classification, ...]:
    """Return what each source of a fitted scene is, in the order of the scene.

    `program` is one of the same observations, to be reused warm. Raises ValueError where the scene has sources
    without fluxes.
    """
    if not scene.is_solved:
        raise ValueError("Sources without fluxes cannot be classified; fit the scene first.")
    if not scene.sources:
        return ()
    if program is None:
        program = Program(observations, scene)
    else:
        program.take(scene)
    alone = _data_of_each(program)
    points, galaxies = (_gains(scene, observations, program, alone, kind) for kind in (Point.label, Gaussian.label))
    result = []
    for point, extended in zip(points, galaxies, strict=True):
        snr = float(np.sqrt(max(point, extended)))
        threshold = THRESHOLD + (PSF_ERROR * snr) ** 2
        gain = float(extended - point)
        result.append(Classification("galaxy" if gain > threshold else "point", gain, threshold, snr))
    return tuple(result)


def classified(scene: Scene, classes: Sequence[Classification]) -> Scene:
    """Return the scene with sources retyped to what they are; locked ones and those of that kind already stay.

    What is extended already, whatever its profile, is a galaxy.
    """

    def retyped(source: Source, wanted: str) -> Source:
        is_point = source.kind == Point.label
        if source.is_locked or len(source.components) > 1 or is_point == (wanted == Point.label):
            return source
        return source.retyped(wanted)

    return scene.with_sources(retyped(s, c.kind) for s, c in zip(scene.sources, classes, strict=True))


def _data_of_each(program: Program) -> list[list[Float[np.ndarray, "band y x"]]]:
    """Return the images of every source as if it were alone: the data without the models of all others [nJy/pix]."""
    left = [o.images - program.model(i) for i, o in enumerate(program.observations)]
    return [
        [image + column.on(image.shape) for image, column in zip(left, own, strict=True)] for own in program.sources()
    ]


def _gains(
    scene: Scene,
    observations: Sequence[Observation],
    program: Program,
    alone: Sequence[Sequence[Float[np.ndarray, "band y x"]]],
    kind: str,
) -> Float[np.ndarray, " source"]:
    """Return how much χ² falls by each source as one of a kind, refitted in place and shape."""
    start = np.array([_start(source, kind) for source in scene.sources])
    best, climbs = start.copy(), [Climb(-np.inf, np.zeros(0), np.zeros((0, 0)))] * len(start)
    damping, trial, drawing = np.full(len(start), 1e-2), start, None
    for _ in range(STEPS):
        steps = _differences(trial)
        shapes = trial[:, None] + np.stack([np.vstack([np.zeros(row.size), np.diag(row)]) for row in steps])
        trials = replace(scene, sources=tuple(_drawable(scene, kind, shapes)))
        if drawing is None:
            drawing = Program(observations, trials, solve=False)
        else:
            drawing.take(trials)
        columns, n = drawing.columns(), shapes.shape[1]
        for k, data in enumerate(alone):
            equations = program.normal_equations_of(data, columns[k * n : (k + 1) * n])
            climb = Climb.of(equations, steps[k])
            if climb.gain > climbs[k].gain:
                climbs[k], best[k], damping[k] = climb, trial[k], damping[k] / 5.0
            else:
                damping[k] *= 10.0
        moves = np.stack([climb.step(mu) for climb, mu in zip(climbs, damping, strict=True)])
        trial = _allowed(best + moves, start)
    return np.array([climb.gain for climb in climbs])


@dataclass(frozen=True)
class Climb:
    """The gain in χ² at some place and shape of a source, and the way up from there."""

    gain: float
    slope: Float[np.ndarray, " parameter"]
    curvature: Float[np.ndarray, "parameter parameter"]

    @classmethod
    def of(cls, equations: NormalEquations, steps: Float[np.ndarray, " parameter"]) -> Climb:
        """Make it of the products of a picture and of those with one parameter each changed by a step."""
        gram, right = equations.gram, equations.right
        seen = gram[:, 0, 0] > 0
        gram, right = gram[seen], right[seen]
        flux = np.maximum(right[:, 0] / gram[:, 0, 0], 0.0)
        # of pictures to their derivatives
        to_slopes = np.hstack([-1.0 / steps[:, None], np.diag(1.0 / steps)])
        with_picture = gram[:, 0] @ to_slopes.T
        products = to_slopes @ gram @ to_slopes.T
        slope = flux @ (right @ to_slopes.T - flux[:, None] * with_picture)
        shared = with_picture[:, :, None] * with_picture[:, None] / gram[:, :1, :1]
        curvature = np.einsum("c,cij->ij", flux**2, products - shared)
        return cls(float(flux @ right[:, 0]), slope, curvature)

    def step(self, damping: float) -> Float[np.ndarray, " parameter"]:
        """Return the damped Gauss-Newton step up."""
        scale = np.diag(self.curvature)
        matrix = self.curvature + np.diag(damping * scale + STIFFNESS * max(scale.max(initial=0.0), 1e-30))
        result: Float[np.ndarray, " parameter"] = np.linalg.solve(matrix, self.slope)
        return result


def _start(source: Source, kind: str) -> list[float]:
    """Return x, y [pix], and of an extended source the square of its size [pix²] and η1, η2."""
    if kind == Point.label:
        return [source.x, source.y]
    size = np.clip(source.components[0].morphology.half_light_radius_guess, 1.0, LARGEST_SIZE)
    return [source.x, source.y, float(size**2), 0.0, 0.0]


def _differences(numbers: Float[np.ndarray, "source parameter"]) -> Float[np.ndarray, "source parameter"]:
    """Return by how much each number is changed to see what it does."""
    result = np.full(numbers.shape, DIFFERENCE)
    if numbers.shape[1] > 2:
        result[:, 2] *= 1.0 + numbers[:, 2]
    return result


def _allowed(
    numbers: Float[np.ndarray, "source parameter"], start: Float[np.ndarray, "source parameter"]
) -> Float[np.ndarray, "source parameter"]:
    result = numbers.copy()
    result[:, :2] = np.clip(numbers[:, :2], start[:, :2] - FURTHEST, start[:, :2] + FURTHEST)
    if numbers.shape[1] > 2:
        result[:, 2] = np.clip(numbers[:, 2], LEAST_SIZE**2, LARGEST_SIZE**2)
        shear = np.hypot(*numbers[:, 3:].T)
        result[:, 3:] *= np.minimum(1.0, ROUNDEST / np.maximum(shear, 1e-9))[:, None]
    return result


def _drawable(scene: Scene, kind: str, shapes: Float[np.ndarray, "source trial parameter"]) -> list[Source]:
    """Return a source of flux 1 for every trial."""
    n_channels, result = len(scene.channels), []
    for source, trials in zip(scene.sources, shapes, strict=True):
        for x, y, *shape in trials:
            drawn = make_source(
                kind, x, y, n_channels=n_channels, flux=np.ones(n_channels), radius=max(source.radius, LEAST_RADIUS)
            )
            if shape:
                component = drawn.components[0]
                morphology = component.morphology
                assert isinstance(morphology, Gaussian)
                morphology = morphology.with_parameters(
                    half_light_radius=morphology.half_light_radius.at(np.sqrt(shape[0])),
                    ellipticity=morphology.ellipticity.at(shape[1:]),
                )
                drawn = replace(drawn, components=(replace(component, morphology=morphology),))
            result.append(drawn)
    return result
