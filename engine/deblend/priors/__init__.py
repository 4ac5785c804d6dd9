"""What galaxies look like: a seeded population, and what is learned from it."""

from deblend.priors.classes import SizeClass, learned_classes
from deblend.priors.gaussians import Gaussians
from deblend.priors.population import PARTS, draw_galaxy, draw_picture, pictures

__all__ = ["PARTS", "Gaussians", "SizeClass", "draw_galaxy", "draw_picture", "learned_classes", "pictures"]
