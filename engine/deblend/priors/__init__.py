"""What galaxies look like: a seeded population, and what is learned from it.

A prior of pictures is an `AbstractPrior`: it denoises, and so knows the slope of its log density behind noise; an
`AbstractDensityPrior` knows the density, too, but for a factor; an `AbstractNormalizedPrior` knows that as well. How a
prior is learned is in `deblend.priors.training`, which is not imported from here: it brings an optimizer along.
"""

from deblend.priors.classes import SizeClass, learned_classes
from deblend.priors.decoded import DecodedGalaxies
from deblend.priors.energy import AbstractEnergyPrior, EnergyPrior
from deblend.priors.fitting import Convention, behind, on_box, scaled, tempered
from deblend.priors.gaussian_prior import GaussianPrior, MixturePrior, tweedie_covariance
from deblend.priors.gaussians import Gaussians
from deblend.priors.heads import Head
from deblend.priors.integrators import Scheme, noise_levels, unconditional
from deblend.priors.interface import (
    AbstractDensityPrior,
    AbstractNormalizedPrior,
    AbstractPrior,
    NoDensityError,
    require_density,
    stacked,
)
from deblend.priors.made import Made
from deblend.priors.model_file import packaged_path, read_model, write_model
from deblend.priors.pixel_cnn import PixelCNN
from deblend.priors.population import PARTS, draw_galaxy, draw_picture, pictures
from deblend.priors.score import ScorePrior
from deblend.priors.stamps import Stamps, generated_stamps, read_stamps
from deblend.priors.vae import VaePrior

__all__ = [
    "PARTS",
    "AbstractDensityPrior",
    "AbstractEnergyPrior",
    "AbstractNormalizedPrior",
    "AbstractPrior",
    "Convention",
    "DecodedGalaxies",
    "EnergyPrior",
    "GaussianPrior",
    "Gaussians",
    "Head",
    "Made",
    "MixturePrior",
    "NoDensityError",
    "PixelCNN",
    "Scheme",
    "ScorePrior",
    "SizeClass",
    "Stamps",
    "VaePrior",
    "behind",
    "draw_galaxy",
    "draw_picture",
    "generated_stamps",
    "learned_classes",
    "noise_levels",
    "on_box",
    "packaged_path",
    "pictures",
    "read_model",
    "read_stamps",
    "require_density",
    "scaled",
    "stacked",
    "tempered",
    "tweedie_covariance",
    "unconditional",
    "write_model",
]
