"""What was found: fluxes, errors, sizes."""

from deblend.measure.calibration import calibration_lines, calibration_table
from deblend.measure.catalog import Catalog, column_key, measure

__all__ = ["Catalog", "calibration_lines", "calibration_table", "column_key", "measure"]
