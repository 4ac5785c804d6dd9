"""Whole systems for the engine's tests: small scenes of known truth, seen by one telescope through known noise.

All of them have one shape, the same PSFs and the same groups of sources, so that one compiled layout serves every test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from deblend import (
    Fit,
    FitSettings,
    Observation,
    Parameter,
    Program,
    Scene,
    compilations,
    empty_scene,
    fit,
    make_source,
)
from deblend.observe import gaussian_psf

SHAPE = (48, 48)
BANDS = ("g", "i")
NOISE = np.array([1.0, 0.8])
"""Standard deviation of a pixel, per band [nJy/pix]."""
PSFS = (gaussian_psf(2.8), gaussian_psf(3.3))
KIND_ORDER = ("point", "galaxy", "gaussian", "sersic", "free-form")
RADIUS = 12
"""Of every box [pix]; boxes up to 15 px are compiled as the same."""


class Systems:
    """Scenes, what a telescope sees of them, and programs that share one layout."""

    shape, bands, noise, psfs, kinds, radius = SHAPE, BANDS, NOISE, PSFS, KIND_ORDER, RADIUS

    def blank(self, name: str = "image") -> Observation:
        """Return an observation of an empty, noiseless sky; its weights are those of the noise."""
        images = np.zeros((len(BANDS), *SHAPE))
        weights = np.broadcast_to(NOISE[:, None, None] ** -2.0, images.shape)
        return Observation.from_arrays(images, PSFS, weights, channels=list(BANDS), name=name)

    def empty(self) -> Scene:
        return empty_scene([self.blank()])

    def scene(self, *sources: tuple[Any, ...], **options: Any) -> Scene:
        """Return a scene of (kind, x, y, fluxes or None, further options of `make_source`)."""
        scene = self.empty()
        for kind, x, y, flux, *more in sources:
            fields = {"radius": RADIUS, **options, **(more[0] if more else {})}
            scene = scene.add(make_source(kind, x, y, n_channels=len(BANDS), flux=flux, **fields))
        return scene

    def one_of_each(self) -> Scene:
        """Return a scene with one bright source of every kind, off the middles of pixels, overlapping a little."""
        return self.scene(
            ("point", 11.3, 12.6, (300.0, 420.0)),
            ("galaxy", 24.8, 23.4, (900.0, 1300.0), {"half_light_radius": 2.6}),
            ("gaussian", 35.2, 12.1, (500.0, 350.0), {"half_light_radius": 2.2}),
            ("sersic", 12.4, 35.7, (800.0, 700.0), {"half_light_radius": 2.4}),
            ("free-form", 36.1, 35.3, (700.0, 900.0), {"half_light_radius": 2.0}),
        )

    def program(self, observations: Sequence[Observation], scene: Scene | None = None, **options: Any) -> Program:
        """Return a program with a group for every kind, whatever the scene holds."""
        start = empty_scene(observations)
        n = len(start.channels)
        placeholders = [make_source(k, 24.0, 24.0, n_channels=n, flux=np.zeros(n), radius=RADIUS) for k in KIND_ORDER]
        program = Program(observations, start.add(*placeholders), **options)
        program.update(start if scene is None else scene, solve=scene is not None and not scene.is_solved)
        return program

    def model(self, scene: Scene) -> np.ndarray:
        """Return what the telescope would see of a scene without noise, (band, y, x) [nJy/pix]."""
        return np.asarray(self.program([self.blank()], scene).model(), np.float64)

    def observe(self, scene: Scene, seed: int | None = 1, **options: Any) -> Observation:
        """Return an image of a scene with noise (none for seed None); options as in `Observation.from_arrays`."""
        return self.seen(self.model(scene), seed, **options)

    def seen(self, model: np.ndarray, seed: int | None = 1, **options: Any) -> Observation:
        """Return an observation of a model (band, y, x) [nJy/pix]."""
        images = np.array(model, np.float64)
        if seed is not None:
            images += np.random.default_rng(seed).normal(size=images.shape) * NOISE[:, None, None]
        weights = np.broadcast_to(NOISE[:, None, None] ** -2.0, images.shape)
        options = {"weights": weights, "channels": list(BANDS), **options}
        return Observation.from_arrays(images, PSFS, **options)

    def fit(self, scene: Scene, observations: Sequence[Observation], **settings: Any) -> Fit:
        """Return a fit in a program of the shared layout."""
        return fit(scene, observations, FitSettings(**settings), self.program(observations, scene))

    @staticmethod
    def without_fluxes(scene: Scene) -> Scene:
        """Return the scene with all fluxes still to be solved for."""
        return scene.with_sources(
            replace(
                s, components=tuple(replace(c, spectrum=c.spectrum.at(np.full_like(c.spectrum.value, np.nan)))
                                    for c in s.components)
            )
            for s in scene.sources
        )  # fmt: skip

    @staticmethod
    def with_morphology(source: Any, **parameters: Parameter) -> Any:
        """Return a source with some parameters of its morphology replaced."""
        component = source.components[0]
        morphology = component.morphology.with_parameters(**parameters)
        return replace(source, components=(replace(component, morphology=morphology),))

    @staticmethod
    def with_spectrum(source: Any, spectrum: Parameter) -> Any:
        """Return a source with another spectrum."""
        return replace(source, components=(replace(source.components[0], spectrum=spectrum),))

    @staticmethod
    def with_constraint(source: Any, constraint: Any) -> Any:
        """Return a source with one constraint added or replaced."""
        component = source.components[0]
        morphology = component.morphology.with_constraint(constraint)
        return replace(source, components=(replace(component, morphology=morphology),))


@pytest.fixture(scope="session")
def systems() -> Systems:
    """Small scenes of known truth, sharing one compiled layout."""
    return Systems()


@pytest.fixture
def double() -> Iterator[None]:
    """Let JAX work in float64 for one test."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[np.dtype]:
    """Single and double precision, with JAX set for it."""
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield np.dtype(request.param)
    jax.config.update("jax_enable_x64", False)


_compiled: list[str] = []


def _listen(event: str, seconds: float, **_: Any) -> None:
    if event.startswith("/jax/core/compile/"):
        _compiled.append(event.rsplit("/", 1)[-1])


@pytest.fixture
def compiles_nothing() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Run something and fail where the engine made a function ready, or where JAX itself traced or compiled."""

    def check(action: Callable[[], Any]) -> None:
        before = compilations()
        _compiled.clear()
        action()
        assert compilations() == before, f"{compilations() - before} functions were made ready"
        assert not _compiled, f"JAX was busy behind the counter's back: {_compiled}"

    jax.monitoring.register_event_duration_secs_listener(_listen)
    yield check
    jax.monitoring.unregister_event_duration_listener(_listen)
