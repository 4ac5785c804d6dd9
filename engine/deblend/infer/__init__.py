"""Fits and what they hand out."""

from deblend.infer.classify import Classification, classified, classify
from deblend.infer.diagnosis import Diagnosis
from deblend.infer.fit import Fit, fit
from deblend.infer.part import holding, neighbours, set_free
from deblend.infer.preview import Glimpse, Lights
from deblend.infer.samplers import DataShare, Method
from deblend.infer.sampling import Draw, Sampling, sample
from deblend.infer.settings import FitSettings, Outcome, Scheme, Solver, StopRule
from deblend.infer.state import FitState
from deblend.infer.uneven import begun_anew, uneven

__all__ = [
    "Classification",
    "DataShare",
    "Diagnosis",
    "Draw",
    "Fit",
    "FitSettings",
    "FitState",
    "Glimpse",
    "Lights",
    "Method",
    "Outcome",
    "Sampling",
    "Scheme",
    "Solver",
    "StopRule",
    "begun_anew",
    "classified",
    "classify",
    "fit",
    "holding",
    "neighbours",
    "sample",
    "set_free",
    "uneven",
]
