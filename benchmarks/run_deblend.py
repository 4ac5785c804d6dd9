"""Fit one scene with this program and print what happened when. Run by compare_scarlet2.py.

Arguments: the scene (npz), the time at which the process was started, and the largest number of iterations.
"""

import json
import sys
import time

import numpy as np

from deblend import FitSettings, Observation, fit, scene_from_positions

started, n_iterations = float(sys.argv[2]), int(sys.argv[3])


def seconds() -> tuple[float, float]:
    """Return wall and CPU seconds since the process was started."""
    return time.time() - started, time.process_time()


record: dict[str, object] = {"program": "deblend", "imports": seconds()}

data = np.load(sys.argv[1])
observation = Observation.from_arrays(
    data["images"], data["psf"], data["weights"], channels=[str(band) for band in data["bands"]]
)
settings = FitSettings(max_iterations=n_iterations)
scene = scene_from_positions((observation,), data["x"], data["y"])
record["ready"] = seconds()
record["steps"] = [(state.iteration, state.chi2, *seconds()) for state in fit(scene, (observation,), settings)]
# once more in the same process, from the positions on
record["again"] = seconds()
scene = scene_from_positions((observation,), data["x"], data["y"])
record["steps_again"] = [(state.iteration, state.chi2, *seconds()) for state in fit(scene, (observation,), settings)]
print(json.dumps(record))
