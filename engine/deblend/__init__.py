"""deblend: take blended stars and galaxies apart.

from deblend import Observation, detect, fit, measure
observations = [Observation.read("hsc/*.fits")]
scene = detect(observations)
for state in fit(scene, observations):
    print(state.iteration, state.chi2)
measure(state.scene, observations).write("catalog.ecsv")
"""

import lazy_loader

# Names and their places are in `__init__.pyi`. What is asked for is imported then, JAX among it, so that commands say
# their help at once. `detect` and `measure` are functions in packages named alike; the loader keeps the functions.
__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)

_PACKAGES = {"batch", "constraints", "infer", "io", "observe", "priors", "program", "render", "scene", "sky"}
__all__ = [name for name in _names if name not in _PACKAGES]
