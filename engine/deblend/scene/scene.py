"""The scene: what is on the sky, frozen and cheap to copy. Undo is the previous scene."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord

from deblend.scene.area import Area, without
from deblend.scene.calibration import Calibration
from deblend.scene.constraint import Constraint
from deblend.scene.full_scene import ROUGHNESS, FullScene
from deblend.scene.hosts import hosted, with_guests, without_hosts
from deblend.scene.lines import of_one_track, on_their_lines
from deblend.scene.link import Link, Member, kept, linked_parameter, surviving, with_linked
from deblend.scene.mask import PixelMask
from deblend.scene.source import Component, Source, make_source
from deblend.scene.stars import StarCatalog, StarField
from deblend.scene.track import Motion, fitted_motion
from deblend.sky import Channel, Passband, PixelGrid

MODEL_PSF_SIGMA = 0.85
"""Standard deviation of the narrow Gaussian that every model is blurred by, so that it is well sampled [pix].

It stands for the model PSF with the pixel: as wide as a Gaussian of 0.8 px integrated over pixels."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Sources on a pixel grid, with a flux per channel each."""

    grid: PixelGrid
    channels: tuple[Channel, ...]
    sources: tuple[Source, ...] = ()
    model_psf_sigma: float = MODEL_PSF_SIGMA
    calibrations: tuple[Calibration, ...] = ()
    """How the image of every channel is off; empty where all are taken for what their files say."""
    links: tuple[Link, ...] = ()
    """Parameters of morphologies that are one number in several components."""
    passbands: Mapping[tuple[str, str], Passband] = field(default_factory=dict)
    """Transmission curves by survey and band; others are looked up by these names, where a law asks for them."""
    stars: StarField | None = None
    """Stars of known places, besides the sources; None for none."""
    masks: tuple[PixelMask, ...] = ()
    """What a person has hidden of the images, besides what their files mask."""
    full_scenes: tuple[FullScene, ...] = ()
    """Light that covers the whole scene, besides the sources."""

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, source_id: str) -> Source:
        return self.sources[self.index(source_id)]

    def index(self, source_id: str) -> int:
        """Return the row of a source; raises KeyError where there is none of that id."""
        for row, source in enumerate(self.sources):
            if source.id == source_id:
                return row
        raise KeyError(f"There is no source with id {source_id!r} in the scene.")

    def add(self, *sources: Source) -> Scene:
        """Return the scene with more sources, at its end; a source without a name gets the next number."""
        taken = {source.id for source in self.sources}
        names = {source.name for source in self.sources}
        added = list(self.sources)
        for source in sources:
            if source.id in taken:
                raise ValueError(f"The scene already has a source with id {source.id!r}.")
            for component in source.components:
                if component.spectrum.value.shape != (len(self.channels),):
                    raise ValueError(
                        f"A source of this scene needs {len(self.channels)} fluxes, one per channel, "
                        f"got {component.spectrum.value.shape}."
                    )
            if not source.name:
                source = source.renamed(_next_number(names))
            taken.add(source.id)
            names.add(source.name)
            added.append(source)
        return replace(self, sources=tuple(added))

    def place(self, kind: str, at: str | Sequence[float], **options: Any) -> Scene:
        """Return the scene with a source of a kind placed at pixel (x, y), or at a sky position like
        "10:00:01.2 +02:13:07"; options as in `make_source`."""
        x, y = self.pixel(at)
        return self.add(make_source(kind, x, y, n_channels=len(self.channels), **options))

    def pixel(self, at: str | Sequence[float]) -> tuple[float, float]:
        """Return the pixel (x, y) of a sky position given as text, or of a pair of pixel coordinates."""
        if not isinstance(at, str):
            x, y = at
            return float(x), float(y)
        if self.grid.wcs is None:
            raise ValueError(f"The sky position {at!r} cannot be placed: the image has no WCS. Give pixels (x, y).")
        unit = ("hourangle", "deg") if ":" in at or "h" in at else ("deg", "deg")
        position = SkyCoord(at, unit=unit)
        column, row = self.grid.wcs.sky_to_pixel(position.ra.deg, position.dec.deg)
        return float(column), float(row)

    def remove(self, *source_ids: str) -> Scene:
        gone = {self[source_id].id for source_id in source_ids}
        left = [s for s in self.sources if s.id not in gone]
        return self.with_sources(without_hosts(left, gone))

    def hosted(self, source_id: str, host_id: str | None) -> Scene:
        """Return the scene in which a source belongs to another one, as a supernova to its galaxy: it goes where that
        goes. Raises ValueError where it would belong to itself."""
        host = None if host_id is None else self[host_id].id
        return self.replace(hosted(self.sources, self[source_id], host))

    def replace(self, *sources: Source) -> Scene:
        """Return the scene with sources exchanged for those of the same id; what is linked to them changes alike."""
        new = {self[source.id].id: source for source in sources}
        changed = self.with_sources(new.get(s.id, s) for s in self.sources)
        return replace(changed, sources=kept(changed.links, self.sources, changed.sources)) if self.links else changed

    def linked(self, parameter: str, *members: Member) -> Scene:
        """Return the scene in which a parameter of morphologies is one number in several components.

        Members are pairs of a source's id and the index of its component; all take the value, the bounds and the
        status of the first one. Raises ValueError where one has no such parameter.
        """
        if len(set(members)) < 2:
            raise ValueError("A link needs two components at least.")
        link = Link(parameter, tuple(dict.fromkeys(members)))
        others = self.unlinked(parameter, *members)
        sources = with_linked(self.sources, link, linked_parameter(self.sources, link, link.members[0]))
        return replace(others, sources=sources, links=(*others.links, link))

    def unlinked(self, parameter: str, *members: Member) -> Scene:
        """Return the scene in which a parameter of these components is one of their own again."""
        links = (
            replace(link, members=tuple(m for m in link.members if m not in members))
            if link.parameter == parameter
            else link
            for link in self.links
        )
        return replace(self, links=tuple(link for link in links if len(link.members) > 1))

    def moved(self, places: Mapping[str, tuple[float, float]]) -> Scene:
        """Return the scene with sources put to other places (x, y) [pix], by their ids.

        What belongs to them goes along, and so do the other epochs of what moves: it stays on a line, through what is
        placed now and what was placed before. Raises LockedParameterError where one is locked.
        """
        places = with_guests(self.sources, places)
        scene = self.replace(*(self[source_id].moved(x, y) for source_id, (x, y) in places.items()))
        return replace(scene, sources=on_their_lines(scene.sources, places.keys()))

    def together(self, source_ids: Collection[str]) -> tuple[str, ...]:
        """Return these ids, with those of all epochs of what moves among them."""
        return of_one_track(self.sources, source_ids)

    def with_sources(self, sources: Iterable[Source]) -> Scene:
        sources = tuple(sources)
        return replace(self, sources=sources, links=surviving(self.links, sources) if self.links else ())

    def with_constraint(self, constraint: Constraint) -> Scene:
        """Return the scene with a constraint on every component that it means anything for."""

        def constrained(component: Component) -> Component:
            morphology = component.morphology
            if not morphology.takes(constraint.kind):
                return component
            return replace(component, morphology=morphology.with_constraint(constraint))

        return self.with_sources(
            replace(source, components=tuple(map(constrained, source.components))) for source in self.sources
        )

    def calibration(self, channel: Channel) -> Calibration:
        """Return how the image of a channel is off; raises KeyError where there is no such channel."""
        if channel not in self.channels:
            raise KeyError(f"The scene has no channel {channel}; it has {', '.join(map(str, self.channels))}.")
        return self.calibrations[self.channels.index(channel)] if self.calibrations else Calibration()

    def with_calibrations(self, calibrations: Iterable[Calibration]) -> Scene:
        """Return the scene with how the image of every channel is off; raises ValueError where one is missing."""
        given = tuple(calibrations)
        if given and len(given) != len(self.channels):
            raise ValueError(f"A calibration per channel is needed: expected {len(self.channels)}, got {len(given)}.")
        return replace(self, calibrations=() if all(c.is_trivial for c in given) else given)

    def with_passbands(self, passbands: Mapping[Channel, Passband]) -> Scene:
        """Return the scene with transmission curves of some channels, for all of their epochs; raises KeyError where
        there is no such channel."""
        for channel in passbands:
            if channel not in self.channels:
                raise KeyError(f"The scene has no channel {channel}; it has {', '.join(map(str, self.channels))}.")
        return replace(self, passbands={**self.passbands, **{(c.survey, c.band): p for c, p in passbands.items()}})

    def hidden_in(self, channel: Channel) -> np.ndarray | None:
        """Return which pixels (y, x) a person has hidden of the observation whose first channel this is; None for
        none."""
        return next((mask.hidden for mask in self.masks if mask.channel == channel), None)

    def hiding(self, channel: Channel, hidden: np.ndarray | None) -> Scene:
        """Return the scene with these pixels (y, x) hidden of the observation whose first channel this is, and no
        others of it. A fit leaves them out, which compiles nothing. Raises KeyError where there is no such channel.
        """
        if channel not in self.channels:
            raise KeyError(f"The scene has no channel {channel}; it has {', '.join(map(str, self.channels))}.")
        others = tuple(mask for mask in self.masks if mask.channel != channel)
        own = () if hidden is None or not np.any(hidden) else (PixelMask(channel, hidden),)
        return replace(self, masks=(*others, *own))

    def barring(self, source_id: str, pixels: np.ndarray | None) -> Scene:
        """Return the scene with a source that has no light in these pixels (y, x) of the grid, and in no others less.

        They belong to it no longer. Which they are is data to a fit and compiles nothing. Raises KeyError where there
        is no such source, and ValueError for a picture of another shape, or where no component of the source has
        pixels that could be dark.
        """
        source, area = self[source_id], self._area(pixels)
        if area is not None and not source.can_be_barred:
            raise ValueError(
                f"Source {source.name or source.id} is a {source.kind}: its light follows a profile and cannot end "
                "where it is painted out. Make it a galaxy or free-form first."
            )
        return self.replace(replace(source, barred=area, claimed=without(source.claimed, area)))

    def claiming(self, source_id: str, pixels: np.ndarray | None) -> Scene:
        """Return the scene with these pixels (y, x) of the grid, and no others, belonging to a source.

        It is barred from them no longer. Raises KeyError and ValueError as `barring`.
        """
        source, area = self[source_id], self._area(pixels)
        return self.replace(replace(source, claimed=area, barred=without(source.barred, area)))

    def _area(self, pixels: np.ndarray | None) -> Area | None:
        if pixels is not None and np.shape(pixels) != self.grid.shape:
            raise ValueError(
                f"What is painted is a picture of the scene's grid: expected {self.grid.shape}, got {np.shape(pixels)}."
            )
        return Area.of(None if pixels is None else np.asarray(pixels, bool))

    def with_stars(self, stars: StarCatalog | StarField | None, magnitude_scatter: float | None = None) -> Scene:
        """Return the scene with known stars besides its sources, or without.

        Their places stay, their fluxes are solved for in every step of a fit. With `magnitude_scatter` [mag], what the
        catalog says of their brightness is a prior. Raises ValueError where they do not fit the scene.
        """
        if isinstance(stars, StarCatalog):
            stars = stars.on(self.grid, self.channels)
        if stars is not None:
            if stars.x.shape[1] != len(self.channels):
                raise ValueError(
                    f"Known stars of this scene need {len(self.channels)} fluxes, one per channel, "
                    f"got {stars.x.shape[1]}."
                )
            if magnitude_scatter is not None:
                stars = replace(stars, magnitude_scatter=magnitude_scatter)
        return replace(self, stars=stars if stars is not None and len(stars) else None)

    def with_full_scene(
        self, spacing: float | None = None, name: str | None = None, roughness: float = ROUGHNESS
    ) -> Scene:
        """Return the scene with one more component of light that covers all of it: of one spectrum, and as smooth as
        B-splines `spacing` apart [pix].

        Neighbouring coefficients are expected within `roughness` of a line, in units of the noise of a pixel. Without a
        name it is called "full scene". Raises ValueError for a spacing that does not fit the grid, and for a name that
        there is.
        """
        taken = {each.name for each in self.full_scenes}
        if name is None:
            names = ("full scene", *(f"full scene {number}" for number in range(2, len(taken) + 2)))
            name = next(each for each in names if each not in taken)
        if name in taken:
            raise ValueError(f"The scene already has light called {name!r} over all of it; give another name.")
        added = FullScene.flat(self.grid.shape, len(self.channels), spacing, name, roughness)
        return replace(self, full_scenes=(*self.full_scenes, added))

    def with_full_scenes(self, full_scenes: Iterable[FullScene]) -> Scene:
        """Return the scene with other light that covers all of it; raises ValueError where it has other channels."""
        given = tuple(full_scenes)
        for each in given:
            if each.spectrum.shape != (len(self.channels),):
                raise ValueError(
                    f"Light over the whole scene needs {len(self.channels)} fluxes, one per channel, got "
                    f"{each.spectrum.shape}."
                )
        return replace(self, full_scenes=given)

    def calibrating(self, *names: str, reference: Channel | None = None) -> Scene:
        """Return the scene with these parameters of every channel free, and the others as the files say: "shift",
        "flux_scale", "psf_growth", "rotation", "background", "background_slope".

        Positions and fluxes are those that the `reference`, by default the first channel, sees: its shift and flux
        scale stay as its file says, and so does the rotation of all that its survey saw at its epoch.
        """
        kept = self.channels[0] if reference is None else reference
        self.calibration(kept)

        def freed(channel: Channel) -> tuple[str, ...]:
            held = {"rotation"} if channel.exposure == kept.exposure else set()
            held |= {"shift", "flux_scale"} if channel == kept else set()
            return tuple(name for name in names if name not in held)

        return self.with_calibrations(
            Calibration().freeing(self.calibration(channel), *freed(channel)) for channel in self.channels
        )

    @property
    def motions(self) -> dict[str, Motion]:
        """The motion of everything that moves, by the id of its track; of tracks with two epochs at least."""
        tracks: dict[str, list[Source]] = {}
        for source in self.sources:
            if source.track is not None:
                tracks.setdefault(source.track.id, []).append(source)
        return {
            key: fitted_motion([s.track.time for s in members if s.track], [s.center.value for s in members])
            for key, members in tracks.items()
            if len(members) > 1
        }

    @property
    def is_solved(self) -> bool:
        """Whether every component, known star and light over the whole scene has a flux in every channel."""
        known = (self.stars is None or self.stars.is_solved) and all(each.is_solved for each in self.full_scenes)
        return known and all(c.is_solved for s in self.sources for c in s.components)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing whose light could be fitted."""
        return not self.sources and self.stars is None and not self.full_scenes

    @property
    def fluxes(self) -> np.ndarray:
        """Flux per source and channel [nJy], shape (source, channel)."""
        if not self.sources:
            return np.zeros((0, len(self.channels)))
        return np.stack([source.flux for source in self.sources])


def _next_number(names: set[str]) -> str:
    numbers = [int(name) for name in names if name.isdigit()]
    return str(max(numbers, default=0) + 1)
