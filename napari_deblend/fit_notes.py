"""What a person should know of the chosen method, with what the present scene asks."""

from __future__ import annotations

from deblend import ConstraintKind, Scene, Solver

METHODS = {
    Solver.GAUSS_NEWTON: ("Gauss-Newton", "Second order; the quickest by far, and nothing is known that it does worse"),
    Solver.PROXIMAL_GRADIENT: ("Proximal gradient", "First order; cheap steps, slow to finish; for comparison"),
    Solver.FISTA: ("FISTA", "First order with momentum; for comparison"),
    Solver.ADAPROX: ("AdaProx", "First order, as scarlet has it; for comparison; takes no spectra that follow laws"),
    Solver.LBFGSB: ("L-BFGS-B", "Learns curvature from gradients; for comparison; takes no spectra that follow laws"),
    Solver.ADAM: ("Adam", "First order, by optax; for comparison; takes no spectra that follow laws"),
    Solver.YOGI: ("Yogi", "First order, by optax; for comparison; takes no spectra that follow laws"),
}
"""Every method with its name and a sentence."""
WITHOUT_LAWS = (Solver.ADAPROX, Solver.LBFGSB, Solver.ADAM, Solver.YOGI)
NOT_CONVEX = (
    ConstraintKind.CONNECTED,
    ConstraintKind.L0,
    ConstraintKind.SYMMETRIC_MINIMUM,
    ConstraintKind.MONOTONIC_CUT,
    ConstraintKind.NOISE_THRESHOLD,
)
"""A fit ends where these are met, not always at the best such place."""


def notes_of(scene: Scene, solver: Solver) -> list[str]:
    """Return a sentence for everything to be careful about."""
    components = [c for source in scene.sources for c in source.components]
    asked = {c.kind for part in components for c in part.morphology.constraints if c.active and c.strength > 0}
    notes = []
    if solver in WITHOUT_LAWS and any(c.law is not None for c in components):
        notes.append(f"{METHODS[solver][0]} takes no spectra that follow laws; choose another method.")
    if several := [kind.info.label for kind in NOT_CONVEX if kind in asked]:
        are = "is" if len(several) == 1 else "are"
        notes.append(f"{', '.join(several)} {are} not convex: the fit ends where that is met, not always at the best.")
    return notes
