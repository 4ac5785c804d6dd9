"""Learned numbers in a file that is safe to open: safetensors, and beside them a card (JSON) of what they are.

Nothing in such a file is ever run. What is read must have the names and shapes that the architecture of the card asks
for, and the card must be that of these very numbers: whoever opens a model knows what was measured of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from deblend.guard import AnyPath, parsed_json
from deblend.priors.energy import EnergyPrior, new_energy_prior
from deblend.priors.flow import new_flow
from deblend.priors.gaussian_prior import GaussianPrior
from deblend.priors.heads import Head
from deblend.priors.network import UNet
from deblend.priors.pixel_cnn import PixelCNN, PixelNetwork
from deblend.priors.score import SIDES, ScorePrior, new_score_prior
from deblend.priors.vae import VaePrior, new_vae
from deblend.replacing import replacing

VERSION = 1
SUFFIX = ".safetensors"
PACKAGED = {
    "score": f"galaxies_score{SUFFIX}",
    "pixelcnn": f"galaxies_density{SUFFIX}",
    "vae": f"galaxies_vae{SUFFIX}",
}
"""What comes with the package, by kind."""
NEEDED = ("kind", "version", "architecture", "weights_sha256", "calibration_proved")
MOST_BYTES = 200_000_000
WIDEST, DEEPEST = 512, 64
"""Channels and blocks of a pixelcnn."""

Module = TypeVar("Module")
LearnedPrior = ScorePrior | EnergyPrior | PixelCNN | VaePrior


def card_path(path: Path) -> Path:
    """Return where the card of a model lies."""
    return path.with_suffix(".json")


def named_arrays(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the arrays of a module or tree by where they are in it, as in `middle.0.first.weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {prefix + _name(path): np.asarray(leaf) for path, leaf in leaves if _is_array(leaf)}


def with_arrays(tree: Module, arrays: Mapping[str, np.ndarray], source: object, prefix: str = "") -> Module:
    """Return a tree with these arrays in place of its own, in its own precision.

    Raises
    ------
    ValueError
        In one sentence that names `source`, where a name or shape differs or a number is not finite.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    wanted = {prefix + _name(path) for path, leaf in leaves if _is_array(leaf)}
    given = {name for name in arrays if name.startswith(prefix)}
    if wanted != given:
        missing, extra = sorted(wanted - given), sorted(given - wanted)
        which = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which has no place there"
        raise ValueError(f"{source}: this is another architecture than its card says: it {which}.")
    new: list[Any] = []
    for path, leaf in leaves:
        if not _is_array(leaf):
            new.append(leaf)
            continue
        name = prefix + _name(path)
        array = np.asarray(arrays[name])
        if array.shape != leaf.shape:
            raise ValueError(f"{source}: {name} must be of shape {leaf.shape}, got {array.shape}.")
        if array.dtype.kind != leaf.dtype.kind or (array.dtype.kind == "f" and not np.all(np.isfinite(array))):
            raise ValueError(f"{source}: {name} holds what is no finite number; the file is damaged.")
        new.append(jax.numpy.asarray(array, leaf.dtype))
    result: Module = jax.tree_util.tree_unflatten(structure, new)
    return result


def write_model(path: AnyPath, prior: LearnedPrior, card: Mapping[str, Any]) -> None:
    """Write a prior in half precision, and its card beside it; raises ValueError where the name will not do."""
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(f"{path}: models are kept in files whose names end in {SUFFIX}.")
    kept: Any
    if isinstance(prior, PixelCNN):
        kind, says, kept = "pixelcnn", _of_pixel_cnn(prior), (prior.network, prior.gaussian)
    elif isinstance(prior, VaePrior):
        kind, says, kept = "vae", _of_vae(prior), prior
    else:
        kind, says, kept = "score" if isinstance(prior, ScorePrior) else "energy", _of_u_net(prior), prior
    half: dict[str, Any] = {name: array.astype(np.float16) for name, array in named_arrays(kept).items()}
    data = save(half, metadata={"format": "deblend prior", "kind": kind})
    about = {
        "kind": kind,
        "version": VERSION,
        **card,
        "architecture": {
            **says,
            "numbers": sum(array.size for array in half.values()),
            "precision": "float16",
        },
        "weights_sha256": sha256(data).hexdigest(),
    }
    about.setdefault("calibration_proved", False)
    write_bytes(path, data)
    write_bytes(card_path(path), (json.dumps(about, indent=2) + "\n").encode())


def read_model(path: AnyPath) -> tuple[LearnedPrior, dict[str, Any]]:
    """Return a prior and its card; raises ValueError in one sentence where either is not what `write_model` wrote."""
    path = Path(path)
    card = read_card(path)
    data, arrays = read_arrays(path)
    if sha256(data).hexdigest() != card["weights_sha256"]:
        raise ValueError(f"{path}: {card_path(path).name} is the card of other numbers; get both files anew.")
    try:
        says = dict(card["architecture"])
        blank = READERS[card["kind"]](says)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{card_path(path)}: the architecture cannot be read ({error}).") from error
    if isinstance(blank, (ScorePrior, EnergyPrior, VaePrior)):
        return with_arrays(blank, arrays, path), card
    network, gaussian, noise = blank
    return PixelCNN(*with_arrays((network, gaussian), arrays, path), noise), card


def _of_u_net(prior: ScorePrior | EnergyPrior) -> dict[str, Any]:
    network = prior.network
    return {
        "network": "U-Net",
        "side_pix": prior.shape[0],
        "width": network.enter.weight.shape[-1],
        "deep_width": network.narrow.weight.shape[-1],
        "sigma_data": prior.sigma_data,
        "noise_levels": list(prior.levels),
    }


def _blank_score(says: Mapping[str, Any]) -> ScorePrior:
    return ScorePrior(*_blank_u_net(says, new_score_prior))


def _blank_energy(says: Mapping[str, Any]) -> EnergyPrior:
    return EnergyPrior(*_blank_u_net(says, new_energy_prior))


def _blank_u_net(
    says: Mapping[str, Any], new: Callable[..., ScorePrior | EnergyPrior]
) -> tuple[UNet, tuple[int, int], tuple[float, float], float]:
    """Return network, shape, noise levels and scale of a prior that is a U-Net."""
    sizes = int(says["side_pix"]), int(says["width"]), int(says["deep_width"])
    # shapes alone: numbers at random would be compiled for, and thrown away
    shapes = eqx.filter_eval_shape(new, jax.random.key(0), *sizes)
    if 4 * sum(leaf.size for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "size")) > 2 * MOST_BYTES:
        raise ValueError("a network of that size is larger than any model of this program")
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    low, high = map(float, says["noise_levels"])
    sigma_data = float(says["sigma_data"])
    if not (0 < low < high < np.inf and 0 < sigma_data < np.inf):
        raise ValueError(f"noise levels must be positive and in order, got {low} and {high}")
    return blank.network, blank.shape, (low, high), sigma_data


def _of_pixel_cnn(prior: PixelCNN) -> dict[str, Any]:
    network = prior.network
    return {
        "network": "PixelCNN",
        "side_pix": prior.shape[0],
        "width": network.enter.bias.shape[0],
        "depth": len(network.blocks),
        "head": network.head.value,
        "rank": len(prior.gaussian.modes),
        "noise": prior.noise,
        "noise_levels": list(prior.gaussian.levels),
    }


def _blank_pixel_cnn(says: Mapping[str, Any]) -> tuple[PixelNetwork, GaussianPrior, float]:
    side, rank, noise = int(says["side_pix"]), int(says["rank"]), float(says["noise"])
    low, high = map(float, says["noise_levels"])
    if not (2 <= side <= SIDES[1] and 0 < rank <= side**2 and noise > 0 and 0 < low < high < np.inf):
        raise ValueError("side, rank, noise or noise levels cannot be")
    width, depth = int(says["width"]), int(says["depth"])
    if not (0 < width <= WIDEST and 0 < depth <= DEEPEST):
        raise ValueError("a network of that size is larger than any model of this program")
    network = PixelNetwork(jax.random.key(0), width, depth, Head(says["head"]))
    box = np.ones((side, side), np.float32)
    return network, GaussianPrior(box, np.zeros((rank, side, side), np.float32), box, (low, high)), noise


def _of_vae(prior: VaePrior) -> dict[str, Any]:
    return {
        "network": "VAE of dense layers",
        "side_pix": prior.shape[0],
        "latent": prior.n_latent,
        "width": len(prior.decoder.biases[1]),
        "couplings": len(prior.flow),
        "coupling_width": len(prior.flow[0].biases[0]) if prior.flow else 0,
        "log_size_at_zero": prior.sizes[0],
        "log_size_per_latent": prior.sizes[1],
        "noise_levels": list(prior.levels),
    }


def _blank_vae(says: Mapping[str, Any]) -> VaePrior:
    sizes = int(says["side_pix"]), int(says["latent"]), int(says["width"])
    count, width = int(says["couplings"]), int(says["coupling_width"])
    if not (0 <= count <= DEEPEST and 0 <= width <= WIDEST):
        raise ValueError("a flow of that size is larger than any model of this program")
    shapes = eqx.filter_eval_shape(new_vae, jax.random.key(0), *sizes)
    flows = eqx.filter_eval_shape(new_flow, jax.random.key(0), sizes[1], count, width) if count else ()
    blank, flow = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), (shapes, flows))
    low, high = map(float, says["noise_levels"])
    law = float(says["log_size_at_zero"]), float(says["log_size_per_latent"])
    if not (0 < low < high < np.inf and np.all(np.isfinite(law))):
        raise ValueError(f"noise levels must be positive and in order, and sizes finite, got {low}, {high} and {law}")
    return VaePrior(blank.encoder, blank.decoder, flow, blank.turn, blank.shape, law, (low, high))


READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "score": _blank_score,
    "energy": _blank_energy,
    "pixelcnn": _blank_pixel_cnn,
    "vae": _blank_vae,
}
"""What makes a prior that has learned nothing, of the architecture that a card tells; by the kind of the card."""


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of a model; raises ValueError where it is missing or is none."""
    beside = card_path(path)
    try:
        card = parsed_json(beside.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"{path}: its card {beside.name} is missing; put it beside the file.") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{beside}: this is no card of a model ({error}).") from error
    missing = [name for name in NEEDED if not isinstance(card, dict) or name not in card]
    if missing:
        raise ValueError(f"{beside}: this is no card of a model: it does not tell {missing[0]!r}.")
    if not isinstance(card["kind"], str) or card["kind"] not in READERS or card["version"] != VERSION:
        raise ValueError(
            f"{beside}: the card is of kind {card['kind']!r}, version {card['version']!r}; this program reads "
            f"{', '.join(READERS)}, version {VERSION}."
        )
    return card


def read_arrays(path: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return the bytes of a safetensors file, and its arrays; raises ValueError where it is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path}: {path.stat().st_size / 1e6:.0f} MB is more than any model of this program.")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return data, load(data)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: this is no safetensors file, or only a part of one ({error}).") from error


def packaged_path(kind: str = "score") -> Path:
    """Return where the prior of a kind, "score", "pixelcnn" or "vae", lies that comes with the package."""
    return Path(str(files("deblend.priors") / PACKAGED[kind]))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is either the old one or the new one, whatever happens meanwhile."""
    with replacing(path) as part:
        part.write_bytes(data)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray))


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(str(getattr(key, "name", getattr(key, "idx", getattr(key, "key", key)))) for key in path)
