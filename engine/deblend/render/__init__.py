"""From what is said to pixels, for one object, as pure JAX functions."""

from deblend.render.kinds import KINDS, Kind, kind_of
from deblend.render.sersic import sersic_brightness, sersic_mixture
from deblend.render.shift import shift_matrix
from deblend.render.starlet import from_starlets, starlets, starlets_adjoint

__all__ = [
    "KINDS",
    "Kind",
    "from_starlets",
    "kind_of",
    "sersic_brightness",
    "sersic_mixture",
    "shift_matrix",
    "starlets",
    "starlets_adjoint",
]
