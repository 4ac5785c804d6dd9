"""What is on the sky, as said by a person. Frozen, NumPy only."""

from deblend.scene.area import Area, joined
from deblend.scene.calibration import FLUX_SCALE_SCATTER, PSF_GROWTH_SCATTER, SHIFT_SCATTER, Calibration
from deblend.scene.constraint import Constraint, SettingValue
from deblend.scene.constraint_kind import (
    ACTING_ORDER,
    CONSTRAINT_INFO,
    INWARD_WEIGHTS,
    NORMALIZATIONS,
    ConstraintInfo,
    ConstraintKind,
    Handling,
    Setting,
    Target,
    acting_order,
    offered_constraints,
)
from deblend.scene.dust import EXTINCTION_LAWS, Dust, Extinction, start_dust
from deblend.scene.ellipse import axis_ratio, ellipticity_of, major_angle
from deblend.scene.full_scene import ROUGHNESS, FullScene
from deblend.scene.galaxy import LEAST_SHARE, PROFILE_SIGMAS, Galaxy, filling
from deblend.scene.law import BlackBody, Break, CustomLaw, EmissionLine, Law, PowerLaw, Template
from deblend.scene.learned import LEARNED_LARGEST, LEARNED_RADII, LEARNED_REACH, LEARNED_SIGMA, N_MODES, Learned
from deblend.scene.link import Link
from deblend.scene.mask import PixelMask
from deblend.scene.morphologies import MORPHOLOGIES, start_morphology
from deblend.scene.morphology import FreeForm, Gaussian, Morphology, Point, Sersic, Starlet
from deblend.scene.own import OwnMorphology, OwnParameter
from deblend.scene.parameter import LockedParameterError, Parameter, Status
from deblend.scene.prior import Color, LogNormal, Normal, Prior, SizeMagnitude, Uniform
from deblend.scene.profiles import (
    MOFFAT_RANGE,
    RING_RADII,
    SPERGEL_RANGE,
    DeVaucouleurs,
    Exponential,
    Moffat,
    Spergel,
    Spline,
    typical_shares,
)
from deblend.scene.scene import MODEL_PSF_SIGMA, Scene
from deblend.scene.source import (
    CENTER_SCATTER,
    CHANNEL_OFFSET_SCATTER,
    COLOR_GRADIENT_SCATTER,
    DEFAULT_RADIUS,
    Component,
    Source,
    make_source,
    moving_sources,
    start_components,
)
from deblend.scene.stars import StarCatalog, StarField
from deblend.scene.track import Motion, Track, fitted_motion
from deblend.scene.vae import N_LATENT, Vae

__all__ = [
    "ACTING_ORDER",
    "CENTER_SCATTER",
    "CHANNEL_OFFSET_SCATTER",
    "COLOR_GRADIENT_SCATTER",
    "CONSTRAINT_INFO",
    "DEFAULT_RADIUS",
    "EXTINCTION_LAWS",
    "FLUX_SCALE_SCATTER",
    "INWARD_WEIGHTS",
    "LEARNED_LARGEST",
    "LEARNED_RADII",
    "LEARNED_REACH",
    "LEARNED_SIGMA",
    "LEAST_SHARE",
    "MODEL_PSF_SIGMA",
    "MOFFAT_RANGE",
    "MORPHOLOGIES",
    "NORMALIZATIONS",
    "N_LATENT",
    "N_MODES",
    "PROFILE_SIGMAS",
    "PSF_GROWTH_SCATTER",
    "RING_RADII",
    "ROUGHNESS",
    "SHIFT_SCATTER",
    "SPERGEL_RANGE",
    "Area",
    "BlackBody",
    "Break",
    "Calibration",
    "Color",
    "Component",
    "Constraint",
    "ConstraintInfo",
    "ConstraintKind",
    "CustomLaw",
    "DeVaucouleurs",
    "Dust",
    "EmissionLine",
    "Exponential",
    "Extinction",
    "FreeForm",
    "FullScene",
    "Galaxy",
    "Gaussian",
    "Handling",
    "Law",
    "Learned",
    "Link",
    "LockedParameterError",
    "LogNormal",
    "Moffat",
    "Morphology",
    "Motion",
    "Normal",
    "OwnMorphology",
    "OwnParameter",
    "Parameter",
    "PixelMask",
    "Point",
    "PowerLaw",
    "Prior",
    "Scene",
    "Sersic",
    "Setting",
    "SettingValue",
    "SizeMagnitude",
    "Source",
    "Spergel",
    "Spline",
    "StarCatalog",
    "StarField",
    "Starlet",
    "Status",
    "Target",
    "Template",
    "Track",
    "Uniform",
    "Vae",
    "acting_order",
    "axis_ratio",
    "ellipticity_of",
    "filling",
    "fitted_motion",
    "joined",
    "major_angle",
    "make_source",
    "moving_sources",
    "offered_constraints",
    "start_components",
    "start_dust",
    "start_morphology",
    "typical_shares",
]
