"""Draws of whole scenes under a learned prior, as one of the methods of `deblend.sample`."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from deblend.infer.diffusion.data_share import Scatter, data_share, variance_of
from deblend.infer.diffusion.known_prior import known_prior
from deblend.infer.diffusion.pictured import centers_of, check_scene, pictured, side_in_scene, sought, unmoved_pixels
from deblend.infer.diffusion.scene_chain import SceneChain, Standing
from deblend.infer.diffusion.scene_map import seen_pictures
from deblend.infer.samplers import AbstractSampler, DataShare, Made, SamplerSettings, never
from deblend.infer.solvers import as_numpy
from deblend.priors.fitting import corner_of
from deblend.program import Program
from deblend.program.arrays import Parameters

SIGMA_SLACK = 0.05
"""By how much the model PSF may differ from that of the prior before it is said [pix]."""


class DiffusionSampler(AbstractSampler):
    """Pictures of all galaxies by diffusion, spectra given them: a chain, each draw from the one before."""

    @classmethod
    def check(cls, program: Program) -> None:
        check_scene(program.scene)

    def __init__(self, program: Program, settings: SamplerSettings) -> None:
        """Keep the scene; the program is left with one whose galaxies are pictures."""
        self._known = known_prior(settings.prior)
        self._fitted, self._program, self._seed = program.scene, program, settings.seed
        self._shape = self._known.prior.shape
        self._sought = sought(program.scene, self._shape[0])
        self._scene = pictured(program.scene, self._sought.ids, self._shape[0])
        program.take(self._scene)
        self._chain: SceneChain | None = None
        self._has_preview = False
        self._scatter = Scatter()
        self.has_settled = True

    @property
    def is_calibrated(self) -> bool:
        return self._known.is_calibrated

    @property
    def doubts(self) -> list[str]:
        scene, sigma = self._scene, self._known.psf_sigma
        said = [self._known.doubt] if self._known.doubt else []
        if sigma is not None and abs(scene.model_psf_sigma - sigma) > SIGMA_SLACK:
            said.append(
                f"The prior was learned behind a model PSF of {sigma:g} px, and that of the scene has "
                f"{scene.model_psf_sigma:.2f} px: galaxies may come out too sharp or too soft."
            )
        return [*said, *self._sought.held]

    def make_ready(self, stopped: Callable[[], bool] = never) -> None:
        if self._chain is None:
            fitted = Program(self._program.observations, self._fitted)
            seen = seen_pictures(fitted.scene, fitted.observations, self._shape, self._sought.ids, program=fitted)
            self._chain = SceneChain(fitted, seen, self._known, self._seed)
            self._start = self.mode = as_numpy(self._program.parameters)
            members = self._program.members
            self._places = [(g, k) for g, own in enumerate(members) for k in range(len(own))]
            row = {(source.id, index): n for n, (source, index) in enumerate(self._program.parts)}
            self._rows = [row[source.id, index] for own in members for source, index in own]
        if not self._has_preview and (standing := self._chain.preview(stopped)) is not None:
            self._has_preview, self.mode = True, self._parameters(standing)

    def draw(self, number: int, stopped: Callable[[], bool] = never) -> Made | None:
        assert self._chain is not None
        standing = self._chain.draw(number, stopped)
        if standing is None:
            return None
        self._scatter.add(self._cut(standing.pictures))
        return Made(self._parameters(standing), None, True)

    def data_shares(self) -> list[DataShare]:
        posterior = self._scatter.variance
        if posterior is None:
            return []
        shares = data_share(posterior, self._cut(variance_of(self._known.reference)[None]))
        places = {s.id: (round(s.x), round(s.y)) for s in self._scene.sources}
        return [DataShare(id_, *places[id_], share) for id_, share in zip(self._sought.ids, shares, strict=True)]

    def _cut(self, pictures: Float[np.ndarray, "source y x"]) -> Float[np.ndarray, "source side side"]:
        """Return the part of stamps that a program's boxes hold."""
        side = side_in_scene(self._shape[0])
        row, column = corner_of(self._shape, (side, side))
        return pictures[:, row : row + side, column : column + side]

    def _parameters(self, standing: Standing) -> Parameters:
        """Return the parameters of the program's slots that a standing of the chain stands for."""
        assert self._chain is not None
        side = side_in_scene(self._shape[0])
        cut = self._cut(standing.pictures)
        centers = centers_of(cut)
        pixels = np.asarray(unmoved_pixels(jnp.asarray(cut), jnp.asarray(centers, cut.dtype)))
        fluxes = standing.amplitudes * cut.sum(axis=(1, 2), dtype=np.float64)[:, None]
        groups = [
            g._replace(
                theta=np.array(g.theta), flux=np.array(g.flux), pixels=None if g.pixels is None else np.array(g.pixels)
            )
            for g in self._start.groups
        ]
        drawn = {k: n for n, k in enumerate(sorted(set(self._rows) - set(self._chain.other_rows.tolist())))}
        others = {int(k): n for n, k in enumerate(self._chain.other_rows)}
        for (g, slot), part in zip(self._places, self._rows, strict=True):
            group = groups[g]
            if part in others:
                group.flux[slot] = standing.others[others[part]]
                continue
            n = drawn[part]
            group.flux[slot], group.theta[slot, :2] = fluxes[n], centers[n]
            assert group.pixels is not None
            margin = (group.pixels.shape[-1] - side) // 2
            group.pixels[slot] = np.pad(pixels[n], margin)
        return self._start._replace(groups=tuple(groups))
