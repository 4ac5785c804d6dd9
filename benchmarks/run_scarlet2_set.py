"""Fit all scenes of a set with scarlet2, as its quick start does, and write what it found. Run by quality.py.

Arguments: a folder of scene_*.npz, the number of steps, and the CPU seconds after which a scene is given up. Each
source has a free-form morphology and a spectrum, both positive; positions are held, as such morphologies cannot move.
"""

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
from scarlet2_scene import start


class TooSlow(Exception):
    """A scene has had its time."""


def give_up(*_: object) -> None:
    raise TooSlow


def fitted(data: dict[str, np.ndarray], n_steps: int) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Return fluxes and pictures of the sources, and how the fit went."""
    began = time.process_time()
    scene, observation = start(data)
    steps = []
    scene = scene.fit(
        observation, max_iter=n_steps, e_rel=1e-4, progress_bar=False, callback=lambda *_: steps.append(None)
    )
    alone = [scene.evaluate_source(source) for source in scene.sources]
    record = {
        "chi2": float(observation.goodness_of_fit(scene())),
        "iterations": len(steps),
        "seconds": time.process_time() - began,
        "outcome": "CONVERGED" if len(steps) < n_steps else "STOPPED_AT_LIMIT",
    }
    found = {
        "flux": np.stack([np.asarray(model).sum(axis=(1, 2)) for model in alone]),
        "pictures": np.stack([np.asarray(observation.render(model)) for model in alone]),
    }
    return found, record


def main(folder: Path, n_steps: int, limit: float) -> None:
    signal.signal(signal.SIGPROF, give_up)
    slow = 0
    for path in sorted(folder.glob("scene_*.npz")):
        with np.load(path) as file:
            data = {name: file[name] for name in file.files}
        signal.setitimer(signal.ITIMER_PROF, limit)
        try:
            found, record = fitted(data, n_steps)
        except TooSlow:
            slow += 1
            continue
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        np.savez(path.with_name(path.name.replace("scene", "found")), record=json.dumps(record), **found)
    if slow:
        print(f"scarlet2: {slow} scenes took more than {limit:g} CPU s and are left out")


main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
