"""From parameters back to what is said: the scene that a fit has found, whatever is edited meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from deblend.program.arrays import GroupParameters, Parameters
from deblend.program.calibration_terms import with_terms
from deblend.program.dust_slots import raised_dust, total_of
from deblend.program.full_scene_slots import FullSceneSlots
from deblend.program.laws import Laws
from deblend.program.origins import box_origin, stay_on_sky
from deblend.program.slots import Part, raise_component, raised_morphology
from deblend.program.star_slots import StarSlots
from deblend.render import kind_of
from deblend.scene import Dust, Scene, Source


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What the slots of a program stand for at one time; called with parameters of theirs, it returns the scene."""

    scene: Scene
    noise: Float[np.ndarray, " channel"]
    """Unit of flux of every channel [nJy]."""
    parts: list[list[Part]]
    """In the slots of every group."""
    depth_units: list[Float[np.ndarray, "slot channel"] | None]
    """Of the optical depths of every group; None where it is none of dust."""
    extinction: Callable[[Dust], Float[np.ndarray, " channel"]]
    calibration_units: Float[np.ndarray, "channel 10"] | None
    """None where no image is off."""
    laws: Laws | None
    """Where those of the scene stand."""
    stars: StarSlots | None
    full_scenes: FullSceneSlots | None

    def __call__(self, parameters: Parameters) -> Scene:
        fitted: dict[str, Source] = {}
        dust: dict[str, Dust] = {}
        for parts, p, units in zip(self.parts, parameters.groups, self.depth_units, strict=True):
            for slot, (source, index) in enumerate(parts):
                if units is not None and source.dust is not None:
                    dust[source.id] = self._dust(source, index, p, slot, units[slot])
                else:
                    fitted[source.id] = self._source(source, index, p, slot, fitted.get(source.id, source))
        whole = self._all_but_sources(parameters)
        sources = (fitted[source.id] for source in self.scene.sources)
        return replace(whole, sources=tuple(s.dimmed(dust[s.id]) if s.id in dust else s for s in sources))

    def _source(self, source: Source, index: int, p: GroupParameters, slot: int, so_far: Source) -> Source:
        pixels = self._pixels(source, index, p, slot)
        theta, flux, aspect = (np.asarray(values[slot]) for values in (p.theta, p.flux, p.aspect))
        shape = self.scene.grid.shape
        new = raise_component(source, index, theta, flux, pixels, aspect, shape, self.noise, onto=so_far)
        return new if self.laws is None else self.laws.raised(new, index)

    def _pixels(
        self, source: Source, index: int, p: GroupParameters, slot: int
    ) -> Float[np.ndarray, "side side"] | None:
        """Return the pixels of a slot in the box that its source has where its center has come to."""
        if p.pixels is None:
            return None
        pixels = np.asarray(p.pixels[slot])
        if not source.center.is_free or not kind_of(source.parts[index].morphology).is_correction:
            # what is moved to its center goes where that goes
            return pixels
        shape = self.scene.grid.shape
        y, x = before = box_origin(source, shape)
        center = source.center.at((x + float(p.theta[slot, 1]), y + float(p.theta[slot, 0])))
        return stay_on_sky(pixels, before, box_origin(replace(source, center=center), shape))

    def _dust(
        self, source: Source, index: int, p: GroupParameters, slot: int, unit: Float[np.ndarray, " channel"]
    ) -> Dust:
        assert source.dust is not None
        pixels = self._pixels(source, index, p, slot)
        morphology = raised_morphology(source.parts[index], np.asarray(p.theta[slot], np.float64), pixels)
        total = total_of(source.dust, np.asarray(p.flux[slot]), unit, self.extinction(source.dust))
        return raised_dust(source.dust, morphology, total)

    def _all_but_sources(self, parameters: Parameters) -> Scene:
        scene = replace(self.scene, sources=())
        if self.stars is not None and parameters.stars is not None and scene.stars is not None:
            scene = scene.with_stars(scene.stars.with_flux(self.stars.to_fluxes(parameters.stars)))
        if self.full_scenes is not None and parameters.full_scene is not None:
            scene = scene.with_full_scenes(self.full_scenes.raised(scene.full_scenes, parameters.full_scene))
        if self.calibration_units is not None and parameters.calibration is not None:
            scene = with_terms(scene, parameters.calibration, self.calibration_units)
        return scene
