"""Draws as they are kept in a session: every number that they say, without pictures, and for ArviZ to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from deblend.scene import Scene


@dataclass(frozen=True, eq=False)
class KeptDraws:
    """What draws from a posterior said, of every source of the scene that they were drawn around."""

    scene: Scene
    method: str
    seed: int
    chains: Any
    """Which chain each draw belongs to, (draw,)."""
    quantities: Mapping[str, Any]
    """By the names of the columns of a catalog, (draw, source) each, float32 or float64."""
    units: Mapping[str, str]
    said: tuple[str, ...] = ()
    """Sentences about whether the draws can be trusted."""
    is_calibrated: bool = True
    """Whether their scatter is known to be an error bar."""

    def __len__(self) -> int:
        return len(self.chains)

    def to_arviz(self) -> Any:
        """Return the draws as `arviz.InferenceData`, every quantity by (chain, draw, source), for its plots and
        diagnostics, and its `to_netcdf`.

        Chains are cut to the length of the shortest one. Raises ImportError with a sentence where ArviZ is not
        installed, and ValueError where there are no draws.
        """
        try:
            import arviz
        except ImportError as error:
            raise ImportError("ArviZ is not installed; run: pip install 'napari-deblend[arviz]'.") from error
        if not len(self):
            raise ValueError("There are no draws yet; add some first.")
        chains = np.asarray(self.chains)
        rows = [np.flatnonzero(chains == chain) for chain in np.unique(chains)]
        length = min(map(len, rows))
        chosen = np.stack([own[:length] for own in rows])
        attributes = {
            "inference_library": "napari-deblend",
            "inference_library_version": version("napari-deblend"),
            "method": self.method,
            "seed": self.seed,
        }
        data = arviz.from_dict(
            posterior={name: np.asarray(values, np.float64)[chosen] for name, values in self.quantities.items()},
            coords={"source": [source.id for source in self.scene.sources]},
            dims={name: ["source"] for name in self.quantities},
            attrs=attributes,
        )
        for name in self.quantities:
            data.posterior[name].attrs["units"] = self.units[name]
        data.posterior.coords["name"] = ("source", [source.name for source in self.scene.sources])
        return data
