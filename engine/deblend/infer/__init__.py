"""Fits and what they hand out."""

from deblend.infer.classify import Classification, classified, classify
from deblend.infer.fit import Fit, fit
from deblend.infer.settings import FitSettings, Outcome, Scheme, Solver
from deblend.infer.state import FitState

__all__ = [
    "Classification",
    "Fit",
    "FitSettings",
    "FitState",
    "Outcome",
    "Scheme",
    "Solver",
    "classified",
    "classify",
    "fit",
]
