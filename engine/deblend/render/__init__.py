"""From what is said to pixels, for one object, as pure JAX functions."""

from deblend.render.kinds import KINDS, Kind, kind_of
from deblend.render.own import elliptical_radius, forget_morphology, register_morphology
from deblend.render.sersic import sersic_brightness, sersic_mixture
from deblend.render.shift import shift_matrix
from deblend.render.starlet import from_starlets, starlets, starlets_adjoint

__all__ = [
    "KINDS",
    "Kind",
    "elliptical_radius",
    "forget_morphology",
    "from_starlets",
    "kind_of",
    "register_morphology",
    "sersic_brightness",
    "sersic_mixture",
    "shift_matrix",
    "starlets",
    "starlets_adjoint",
]
