"""Files: observations from FITS, positions from tables, results to a folder."""

from deblend.io.companions import Role, role_of
from deblend.io.group import read_observations
from deblend.io.peaks import Positions, read_peaks, read_positions
from deblend.io.results import (
    write_catalog,
    write_components,
    write_models,
    write_residuals,
    write_summary,
)

__all__ = [
    "Positions",
    "Role",
    "read_observations",
    "read_peaks",
    "read_positions",
    "role_of",
    "write_catalog",
    "write_components",
    "write_models",
    "write_residuals",
    "write_summary",
]
