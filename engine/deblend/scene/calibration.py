"""How a channel's image is off what its file says: a little moved, turned, brighter, blurred, above a sky that is not
zero.

All of it is fixed at nothing unless a person sets it free.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from deblend.scene.parameter import Parameter, Status

SHIFT_SCATTER = 1.0
"""How far images are believed to be registered wrongly, per axis [pix]."""
FLUX_SCALE_SCATTER = 0.1
"""How far zero points are believed to be wrong, relative."""


PSF_GROWTH_SCATTER = 0.1
"""How far second moments of PSFs are believed to be wrong, relative: a twentieth of their width."""
NOTHING = Parameter(0.0, Status.FIXED)
NOWHERE = Parameter((0.0, 0.0), Status.FIXED)
NO_GROWTH = Parameter((0.0, 0.0, 0.0), Status.FIXED)
AS_IT_IS = Parameter(1.0, Status.FIXED)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How the image of one channel is off."""

    shift: Parameter = NOWHERE
    """How far sources are seen off where the WCS says, (x, y) [pix of the scene's grid]; with a prior around zero."""
    flux_scale: Parameter = AS_IT_IS
    """How much brighter sources are seen than the unit says; with a prior around one."""
    psf_growth: Parameter = NO_GROWTH
    """How much larger the second moments xx, yy and xy of the PSF are than given, as parts of its mean one; with a
    prior around zero. A tenth in xx and yy is a PSF that is wider by a twentieth."""
    rotation: Parameter = NOTHING
    """How far sources are seen turned about the middle of the image, from x towards y [arcsec]; with a prior around
    zero. Channels of one survey and epoch turn together."""
    background: Parameter = NOTHING
    """Light of the sky in the middle of the image [nJy/pix]."""
    background_slope: Parameter = NOWHERE
    """How much more of it there is at the edge than in the middle, towards (x, y) [nJy/pix]."""

    @property
    def is_trivial(self) -> bool:
        """Whether the image is taken for what its file says."""
        is_free = any(p.is_free for p in self.parameters.values())
        return not is_free and bool(np.all(self.numbers == Calibration().numbers))

    @property
    def numbers(self) -> np.ndarray:
        """The values of all its parameters, one after another."""
        return np.concatenate([np.ravel(p.value) for p in self.parameters.values()])

    @property
    def parameters(self) -> dict[str, Parameter]:
        """By name; their numbers in this order are those of the catalog's table and of error draws."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def freeing(self, start: Calibration, *names: str) -> Calibration:
        """Return it with these of its parameters free from where they are in `start`; raises ValueError for a name
        that it has not."""
        for name in names:
            if name not in self.parameters:
                raise ValueError(f"An image has no {name!r} to fit; choose of {', '.join(self.parameters)}.")
        return replace(self, **{name: start.parameters[name].with_status(Status.FREE) for name in names})
