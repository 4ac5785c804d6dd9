"""What was found: fluxes, errors, sizes."""

from deblend.measure.calibration import calibration_lines, calibration_table
from deblend.measure.catalog import Catalog, measure
from deblend.measure.chi2_map import chi2_map
from deblend.measure.flags import MEANINGS
from deblend.measure.full_scene import full_scene_table
from deblend.measure.galaxy_stamps import GalaxyStamps, galaxy_stamps
from deblend.measure.kept_draws import KeptDraws
from deblend.measure.motion import motion_lines, motion_table
from deblend.measure.naming import column_key
from deblend.measure.prior_density import Density, prior_density
from deblend.measure.regularized import biases_of, is_flux, said_of, widened, widened_percentiles
from deblend.measure.rings import Rings, rings
from deblend.measure.samples import PERCENTILES, Samples
from deblend.measure.sharing import Shares, share
from deblend.measure.stars import star_table

__all__ = [
    "MEANINGS",
    "PERCENTILES",
    "Catalog",
    "Density",
    "GalaxyStamps",
    "KeptDraws",
    "Rings",
    "Samples",
    "Shares",
    "biases_of",
    "calibration_lines",
    "calibration_table",
    "chi2_map",
    "column_key",
    "full_scene_table",
    "galaxy_stamps",
    "is_flux",
    "measure",
    "motion_lines",
    "motion_table",
    "prior_density",
    "rings",
    "said_of",
    "share",
    "star_table",
    "widened",
    "widened_percentiles",
]
