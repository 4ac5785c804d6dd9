"""Names of the jobs whose results the workbench takes itself, and of what fails."""

LOADED, STACKED, PEAKS, DETECTED, MISSED, NOISE = "loaded", "stacked", "peaks", "detected", "missed", "noise"
STARS, KERNELS, MOVING, MOTIONS = "stars", "kernels", "moving", "motions"
GLIMPSED, LIGHTS = "glimpsed", "lights"
ROUND, CLASSIFIED = "round", "classified"
KNOWN_STARS = "known stars"
MACHINE = "machine"
"""Name under which all failures of the machine's thread are announced."""
