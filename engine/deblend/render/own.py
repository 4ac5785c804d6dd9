"""Morphologies of a person's own: from a surface brightness, written for one point of the sky, to a kind.

The surface brightness is taken at nodes of Gauss and Legendre, three to a pixel along each axis and ever finer towards
the center, so that a cusp is integrated; two matrices of the model PSF, from nodes to pixels, make the picture. The
nodes are tied to the center, so that a source which moves is the same one moved. Derivatives are JAX's (forward).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.render.kinds import KINDS, Kind, Prior
from deblend.render.mixture import shear
from deblend.scene import MODEL_PSF_SIGMA, MORPHOLOGIES
from deblend.scene.own import ANY_HALF_LIGHT_RADIUS, OwnMorphology, OwnParameter, own_type

NODES = 3
"""Along an axis of a pixel, or of a smaller cell."""
LEVELS = 5
"""How often the pixels at the center are halved."""
MARGIN = 8
"""Sky around a box that sends light into it: the reach of the model PSF, and of a center that moves [pix]."""
TRIAL_SIDE = 31

Values = Mapping[str, Float[Array, "..."]]


@runtime_checkable
class Described(Protocol):
    """What every morphology of a person's own says of itself."""

    label: str
    parameters: Mapping[str, OwnParameter]


def register_morphology(definition: Any, *, replace: bool = False) -> type[OwnMorphology]:
    """Add a morphology of your own to those that there are; return its class of scenes' morphologies.

    From then on its label is a kind like any other: in `make_source`, in `detect` and `deblend fit --kind`, in the
    window, and in catalogs.

    Parameters
    ----------
    definition
        Any object, for instance an `equinox.Module` or a dataclass, with

        - `label`: what it is called, as in "ring";
        - `parameters`: a mapping from names to `OwnParameter`: start, bounds, prior;
        - `surface_brightness(parameters, y, x)`: light per area at places y, x [pix from the center], before any PSF
          and of any total, in `jax.numpy`; `parameters` has the present values by name. y is a column and x a row,
          or single points: write it for one point. See `elliptical_radius` for ellipses. Or instead
        - `picture(parameters, y, x, psf_sigma)`: light per pixel, with the middles of pixels at y, x and the Gaussian
          model PSF of that width [pix] in it already, of any total.
    replace
        Whether another one of this label may be there already; make scenes and programs with it anew.

    Raises
    ------
    ValueError
        Where something of it is missing, or it is no light at the start of its parameters: not finite, also in its
        derivatives, or adding up to 0.
    """
    if not isinstance(definition, Described):
        raise ValueError(
            f"A morphology needs a `label` and `parameters`; {type(definition).__name__} lacks one of them."
        )
    label = str(definition.label)
    if not label.strip():
        raise ValueError("A morphology needs a label of at least one letter.")
    known = MORPHOLOGIES.get(label)
    if known is not None and not issubclass(known, OwnMorphology):
        raise ValueError(f"{label!r} is a kind of the program's own; choose another label.")
    morphology = own_type(label, definition.parameters, (type(definition).__doc__ or "").strip())
    kind = own_kind(definition)
    if known is not None and KINDS[label].definition == kind.definition:
        return known
    if known is not None and not replace:
        raise ValueError(f"There is another morphology {label!r} already; choose another label, or say replace=True.")
    KINDS[label] = kind
    MORPHOLOGIES[label] = morphology
    return morphology


def forget_morphology(label: str) -> None:
    """Take a morphology of your own out again; raises ValueError where there is none of this label."""
    if not issubclass(MORPHOLOGIES.get(label, object), OwnMorphology):
        raise ValueError(f"There is no morphology of your own {label!r}.")
    del MORPHOLOGIES[label], KINDS[label]


def own_kind(definition: Any) -> Kind:
    """Return the kind that draws a morphology of a person's own; raises ValueError as `register_morphology` does."""
    own: Mapping[str, OwnParameter] = definition.parameters
    picture = _picture_of(definition)
    kind = Kind(
        definition.label,
        tuple((name, int(np.size(p.value))) for name, p in own.items()),
        frozenset(name for name, p in own.items() if p.logarithmic),
        None,
        draws=picture,
        priors={
            name: Prior(_in_theta(p, p.start(ANY_HALF_LIGHT_RADIUS).value), p.scatter)
            for name, p in own.items()
            if p.scatter is not None
        },
        steps={name: p.step for name, p in own.items()},
    )
    start = [np.zeros(2)] + [
        np.atleast_1d(_in_theta(p, p.start(ANY_HALF_LIGHT_RADIUS).value)).ravel() for p in own.values()
    ]
    theta = jnp.asarray(np.concatenate(start), jnp.float32)
    variance = jnp.asarray(MODEL_PSF_SIGMA**2, jnp.float32)

    def tried(theta: Any) -> Any:
        return kind.profile_with_derivatives(theta, jnp.ones_like(variance), TRIAL_SIDE, variance)

    _check(kind, tried, theta)
    text: str = jax.jit(tried).lower(theta).as_text()
    return Kind(**{**vars(kind), "definition": hashlib.sha256(text.encode()).hexdigest()[:16]})


def elliptical_radius(y: Any, x: Any, ellipticity: Float[Array, "2"]) -> Any:
    """Return the radius of the ellipse through a place, of an area π r² [pix]; `ellipticity` is η as everywhere.

    Its derivative is defined at the center, too.
    """
    e_xx, e_xy, e_yy = shear(ellipticity)
    return jnp.sqrt(e_yy * x**2 - 2.0 * e_xy * x * y + e_xx * y**2 + 1e-12)


def _in_theta(own: OwnParameter, value: Any) -> np.ndarray:
    return np.log(value) if own.logarithmic else np.asarray(value)


def _picture_of(definition: Any) -> Callable[[Any, int, Any], Float[Array, "side side"]]:
    """Return the function from (theta, side, psf_variance) to a picture of total 1."""
    own: Mapping[str, OwnParameter] = definition.parameters
    brightness: Any = getattr(definition, "surface_brightness", None)
    pixelised: Any = getattr(definition, "picture", None)
    if (brightness is None) == (pixelised is None):
        raise ValueError(
            f"Morphology {definition.label!r} needs either `surface_brightness(parameters, y, x)` or "
            "`picture(parameters, y, x, psf_sigma)`."
        )

    def values_of(theta: Any) -> dict[str, Any]:
        result, start = {}, 2
        for name, parameter in own.items():
            size = int(np.size(parameter.value))
            value = theta[start] if np.ndim(parameter.value) == 0 else theta[start : start + size]
            result[name] = jnp.exp(value) if parameter.logarithmic else value
            start += size
        return result

    def integrated(theta: Any, side: int, psf_variance: Any) -> Any:
        places, weights = (jnp.asarray(numbers, theta.dtype) for numbers in nodes(side))
        light = brightness(values_of(theta), places[:, None], places[None, :])
        light = jnp.broadcast_to(light, (places.size, places.size))
        index = jnp.arange(side, dtype=theta.dtype) - side // 2

        def spread(offset: Any) -> Any:
            distance = index[:, None] - offset - places[None, :]
            return weights[None, :] * jnp.exp(-0.5 * distance**2 / psf_variance)

        total = weights @ light @ weights
        return spread(theta[0]) @ light @ spread(theta[1]).T / (2.0 * jnp.pi * psf_variance * total)

    def drawn(theta: Any, side: int, psf_variance: Any) -> Any:
        index = jnp.arange(side, dtype=theta.dtype) - side // 2
        y, x = index[:, None] - theta[0], index[None, :] - theta[1]
        light = jnp.broadcast_to(pixelised(values_of(theta), y, x, jnp.sqrt(psf_variance)), (side, side))
        return light / jnp.sum(light)

    return integrated if brightness is not None else drawn


@lru_cache(maxsize=16)
def nodes(side: int) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Return places along an axis, from the center of a source [pix], and the length that each stands for."""
    reach = side // 2 + MARGIN
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-LEVELS, 0.0), np.arange(1.0, reach + 1.0)])
    inner, inner_weights = np.polynomial.legendre.leggauss(NODES)
    half = 0.5 * np.diff(edges)[:, None]
    places = (edges[:-1, None] + half * (1.0 + inner)).ravel()
    weights = (half * inner_weights).ravel()
    return np.concatenate([-places[::-1], places]), np.concatenate([weights[::-1], weights])


def _check(kind: Kind, tried: Callable[[Any], Any], theta: Any) -> None:
    """Raise ValueError where a morphology is no light at the start of its parameters, or cannot be followed there."""
    where = f"Morphology {kind.label!r}"
    try:
        picture, tangents = (np.asarray(numbers, float) for numbers in jax.jit(tried)(theta))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise ValueError(
            f"{where} cannot be drawn ({reason}); write it in jax.numpy, for arrays y and x that broadcast."
        ) from error
    if not np.all(np.isfinite(picture)):
        raise ValueError(f"{where} is not finite at the start of its parameters, or its light adds up to 0 there.")
    names = ["center (y)", "center (x)", *(name for name, size in kind.parameters for _ in range(size))]
    for name, tangent in zip(names, tangents, strict=True):
        if not np.all(np.isfinite(tangent)):
            raise ValueError(
                f"{where} has no finite derivative by {name} at its start; guard square roots, powers and divisions "
                "where their argument may be 0."
            )
        if not np.any(tangent):
            raise ValueError(f"{where} does not depend on {name}; leave that parameter out, or start it elsewhere.")
