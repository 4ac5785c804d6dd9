"""Posteriors under learned priors, by the reverse of diffusion."""

from deblend.infer.diffusion.guidance import Problem, Rule, Solution, guided
from deblend.infer.diffusion.linear import AbstractLinearMap, Blend, Data
from deblend.infer.diffusion.sampling import Diffusion, DiffusionSettings, Stage, all_at_once

__all__ = [
    "AbstractLinearMap",
    "Blend",
    "Data",
    "Diffusion",
    "DiffusionSettings",
    "Problem",
    "Rule",
    "Solution",
    "Stage",
    "all_at_once",
    "guided",
]
