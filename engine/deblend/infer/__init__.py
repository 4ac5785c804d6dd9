"""Fits and what they hand out."""

from deblend.infer.classify import Classification, classified, classify
from deblend.infer.fit import Fit, fit
from deblend.infer.part import holding, neighbours, set_free
from deblend.infer.preview import Glimpse, Lights
from deblend.infer.settings import FitSettings, Outcome, Scheme, Solver, StopRule
from deblend.infer.state import FitState

__all__ = [
    "Classification",
    "Fit",
    "FitSettings",
    "FitState",
    "Glimpse",
    "Lights",
    "Outcome",
    "Scheme",
    "Solver",
    "StopRule",
    "classified",
    "classify",
    "fit",
    "holding",
    "neighbours",
    "set_free",
]
