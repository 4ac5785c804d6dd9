"""What is seen in several overlapping parts of a field counts once.

Every place of the sky is owned by the part inside of which it lies deepest. A source near such a border is found at a
slightly other place in each part, so that both may own it, or neither: places of different parts that lie within a
radius of each other are one source, and the part where it lies deeper has it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree


def counted_once(
    places: Float[np.ndarray, "source axis"],
    part: Int[np.ndarray, " source"],
    advantage: Float[np.ndarray, " source"],
    radius: float,
) -> Bool[np.ndarray, " source"]:
    """Tell which of the places that were found in all parts together count.

    Parameters
    ----------
    places
        In any coordinates in which nearby places lie near each other.
    part
        In which part each was found.
    advantage
        How much deeper it lies in that part than in any other one, in the unit of the places; below 0 where another
        part has it deeper.
    radius
        Within which places of different parts are one source.
    """
    result = np.zeros(len(places), bool)
    if not len(places):
        return result
    near = np.flatnonzero(advantage >= -radius)
    taken = cKDTree(places[near])
    # those that lie deepest in their part decide first; ties go to the first part
    order = near[np.lexsort((part[near], -advantage[near]))]
    for k in order.tolist():
        others = near[taken.query_ball_point(places[k], radius)]
        result[k] = not np.any(result[others] & (part[others] != part[k]))
    return result
