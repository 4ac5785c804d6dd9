"""Fit one scene with scarlet2, as its quick start does, and print what happened when. Run by compare_scarlet2.py.

Arguments: the scene (npz), the time at which the process was started, the number of iterations, and `trace` or
`time`: a call-back at every step costs scarlet2 more than the step, so chi² is recorded in one run and the clock is
read in another.
"""

import json
import sys
import time
from itertools import pairwise

import numpy as np
from scarlet2 import Scene
from scarlet2 import __version__ as version
from scarlet2_scene import start

started, n_iterations, mode = float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def seconds() -> tuple[float, float]:
    """Return wall and CPU seconds since the process was started."""
    return time.time() - started, time.process_time()


record = {"program": f"scarlet2 {version}", "imports": seconds()}

data = np.load(sys.argv[1])
scene, observation = start(data)
record["ready"] = seconds()

n_unmasked = int(np.count_nonzero(data["weights"]))
trace: list[float] = []


def remember(_: Scene, __: object, loss: object) -> None:
    # loss = ½ χ² + ½ n ln 2π, before the step
    trace.append((2 * float(loss) - n_unmasked * np.log(2 * np.pi)) / n_unmasked)


if mode == "trace":
    scene = scene.fit(observation, max_iter=n_iterations, progress_bar=False, callback=remember, e_rel=0.0)
    record["chi2"] = [*trace, float(observation.goodness_of_fit(scene()))]
else:
    scene.fit(observation, max_iter=1, progress_bar=False)
    record["first_step"] = seconds()
    # every call of fit compiles anew: what a call for one step takes again is no part of the other steps
    clocks = [seconds()]
    for steps in (1, n_iterations):
        scene.fit(observation, max_iter=steps, e_rel=0.0, progress_bar=False)
        clocks.append(seconds())
    one, many = (np.subtract(b, a) for a, b in pairwise(clocks))
    # a second fit in the same process compiles once more, and then takes its steps
    record["again"] = list(one)
    record["a_step"] = list((many - one) / (n_iterations - 1))
print(json.dumps(record))
