"""What was found: fluxes, errors, sizes."""

from deblend.measure.catalog import Catalog, column_key, measure

__all__ = ["Catalog", "column_key", "measure"]
