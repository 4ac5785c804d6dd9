"""Learning a score prior, and the file that it is kept in: small networks, a few steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits
from safetensors.numpy import load_file, save_file

from deblend.priors import Stamps, generated_stamps, packaged_path, read_model, read_stamps, stacked, write_model
from deblend.priors.lessons import TRIED_LEVELS
from deblend.priors.optimizer import optimizer_of
from deblend.priors.score import new_score_prior
from deblend.priors.training import Training, TrainingSettings

SETTINGS = TrainingSettings(steps=24, batch=8, learning_rate=3e-3, check_every=8, width=8, deep_width=8)


@pytest.fixture(scope="module")
def stamps() -> Stamps:
    return generated_stamps(16, 64, seed=1)


@pytest.fixture(scope="module")
def trained(stamps: Stamps, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    """A training to its end, and what was kept of it on the way."""
    training = Training(stamps, SETTINGS)
    next(training)
    kept = tmp_path_factory.mktemp("training") / "model.training"
    training.keep(kept)
    assert len(list(training)) == 2
    return training, kept


@pytest.fixture
def model(trained: tuple[Training, Path], tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_model(path, trained[0].best, trained[0].card(name="test"))
    return path


def test_what_is_held_out_is_denoised_better_and_better(trained: tuple[Training, Path]) -> None:
    training, _ = trained
    losses = [trial.loss for trial in training.trials]
    assert training.step == 24 and training.has_ended and not training.has_settled
    assert losses[0] > losses[-1]
    assert all(0 < error < np.inf for error in training.trials[-1].relative_errors)
    with pytest.raises(StopIteration):
        next(training)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 250])
def test_trainings_of_any_length_have_a_rate_that_ends_at_nothing(steps: int) -> None:
    optimizer = optimizer_of(0.01, steps)
    state = optimizer.init(jnp.zeros(1))
    moved = []
    for _ in range(steps + 1):
        step, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
        moved.append(abs(float(step[0])))
    assert max(moved) == pytest.approx(0.01, rel=0.01)
    assert moved[-1] < 1e-6


def test_training_goes_on_as_if_it_had_not_been_broken_off(trained: tuple[Training, Path], stamps: Stamps) -> None:
    training, kept = trained
    again = Training(stamps, SETTINGS)
    again.resume(kept)
    assert again.step == 8
    assert list(again)[-1].loss == pytest.approx(training.trials[-1].loss, rel=1e-5)
    shorter = Training(stamps, replace(SETTINGS, steps=12))
    shorter.resume(kept)
    assert shorter.card()["steps_meant_from_step"] == {"0": 24, "8": 12}


def test_training_goes_on_from_its_own_file_only(trained: tuple[Training, Path], stamps: Stamps, model: Path) -> None:
    _, kept = trained
    with pytest.raises(ValueError, match="had batch = 8, not 4"):
        Training(stamps, replace(SETTINGS, batch=4)).resume(kept)
    with pytest.raises(ValueError, match="had other stamps"):
        Training(generated_stamps(16, 64, seed=2), SETTINGS).resume(kept)
    with pytest.raises(ValueError, match="no training that was broken off"):
        Training(stamps, SETTINGS).resume(model)
    for field, value in (("steps", 0), ("learning_rate", 2.0), ("most_memory", 1.0)):
        with pytest.raises(ValueError, match=field):
            replace(SETTINGS, **{field: value})


def test_training_ends_where_nothing_gets_better(stamps: Stamps) -> None:
    training = Training(stamps, SETTINGS)
    training.trials = [training_trial(loss) for loss in (3.0, 2.0, *[2.5] * SETTINGS.patience)]
    assert training.has_settled and training.has_ended
    training.trials.append(training_trial(1.0))
    assert not training.has_settled


def training_trial(loss: float):  # type: ignore[no-untyped-def]
    from deblend.priors.training import Trial

    return Trial(1, loss, (1.0,) * len(TRIED_LEVELS), loss)


# -- the file --------------------------------------------------------------------------------------------------


def test_a_model_is_read_as_it_was_written(trained: tuple[Training, Path], stamps: Stamps, model: Path) -> None:
    prior, card = read_model(model)
    x, sigma = jnp.asarray(stamps.held_out[0]), jnp.float32(0.1)
    np.testing.assert_allclose(prior.denoise(x, sigma), trained[0].best.denoise(x, sigma), atol=2e-4)
    assert prior.shape == (16, 16) and prior.levels == trained[0].best.levels
    assert card["calibration_proved"] is False and "no error bar" in card["calibration"]
    assert set(card["held_out"]["rms_error_over_sigma"]) == {str(s) for s in TRIED_LEVELS}
    assert np.all([a.dtype == np.float16 for a in load_file(model).values()])


def test_the_model_of_the_package_denoises_as_its_card_says_and_claims_no_calibration() -> None:
    prior, card = read_model(packaged_path())
    assert card["calibration_proved"] is False and packaged_path().stat().st_size < 2e6
    told, baseline = (card["held_out"][name] for name in ("rms_error_over_sigma", "gaussian_of_rank_64_on_96_of_them"))
    assert all(told[level] < baseline[level] for level in told)
    clean = jnp.asarray(generated_stamps(32, 1, seed=77).held_out)
    noisy = clean + 0.1 * jax.random.normal(jax.random.key(1), clean.shape)
    denoised = jax.jit(stacked(prior))(noisy, jnp.float32(0.1))
    error = float(jnp.sqrt(jnp.mean((denoised - clean) ** 2))) / 0.1
    # of 32 stamps, which are known to a tenth or so
    assert error == pytest.approx(told["0.1"], rel=0.3)


def test_a_bad_model_is_told_in_one_sentence(model: Path) -> None:
    card = model.with_suffix(".json")
    good, told = model.read_bytes(), card.read_text()

    def refused(match: str) -> None:
        with pytest.raises(ValueError, match=match) as caught:
            read_model(model)
        assert "\n" not in str(caught.value) and str(model.parent) in str(caught.value)

    model.write_bytes(good[:-40])
    refused("no safetensors file, or only a part")
    model.write_bytes(good[:-2] + b"\x01\x3c")
    refused("the card of other numbers")
    model.write_bytes(good)
    card.write_text("{}")
    refused("no card of a model: it does not tell 'kind'")
    card.write_text(json.dumps({**json.loads(told), "version": 99}))
    refused("version 99")
    card.write_text(json.dumps({**json.loads(told), "architecture": {"side_pix": 16}}))
    refused("architecture cannot be read")
    other = json.loads(told)
    other["architecture"]["width"] = 16
    card.write_text(json.dumps(other))
    refused("must be of shape")
    card.unlink()
    refused("its card model.json is missing")
    model.unlink()
    card.write_text(told)
    refused("cannot be read")


def test_names_shapes_and_numbers_of_a_file_are_checked(model: Path) -> None:
    from hashlib import sha256

    def with_own_card(arrays: dict[str, np.ndarray]) -> None:
        save_file(arrays, model)
        card = json.loads(model.with_suffix(".json").read_text())
        card["weights_sha256"] = sha256(model.read_bytes()).hexdigest()
        model.with_suffix(".json").write_text(json.dumps(card))

    arrays = {name: a.copy() for name, a in load_file(model).items()}
    first = next(iter(arrays))
    for wrong, match in (
        ({k: v for k, v in arrays.items() if k != first}, "lacks"),
        ({**arrays, "more": np.zeros(3, np.float16)}, "holds more, which has no place"),
        ({**arrays, first: np.full_like(arrays[first], np.nan)}, "no finite number"),
        ({**arrays, first: np.zeros(arrays[first].shape, np.int32)}, "no finite number"),
    ):
        with_own_card(wrong)
        with pytest.raises(ValueError, match=match):
            read_model(model)


# -- stamps ----------------------------------------------------------------------------------------------------


def test_generated_stamps_have_a_seed_and_their_light_in_the_middle(stamps: Stamps) -> None:
    assert stamps.fingerprint == generated_stamps(16, 64, seed=1).fingerprint
    assert stamps.fingerprint != generated_stamps(16, 64, seed=2).fingerprint
    batch = stamps.batch(np.random.default_rng(0), 64)
    assert batch.shape == (64, 16, 16) and np.all(batch.max(axis=(1, 2)) > 0.99)
    index = np.indices((16, 16))
    center = np.sum(index * batch.mean(axis=0), axis=(1, 2)) / batch.mean(axis=0).sum()
    # mirrors leave the middle pixel (8, 8) the middle; a row more on one side draws the mean of light off a little
    np.testing.assert_allclose(center, 8.0, atol=0.3)


@pytest.mark.parametrize("name", ["stamps.npy", "stamps.fits"])
def test_stamps_of_a_file(tmp_path: Path, name: str, stamps: Stamps) -> None:
    path = tmp_path / name
    cube = 5.0 * stamps.learn[:, :16, :16]
    if name.endswith("npy"):
        np.save(path, cube)
    else:
        fits.PrimaryHDU(cube).writeto(path)
    found = read_stamps(path, seed=0)
    assert found.side == 16 and len(found.learn) + len(found.held_out) == 64
    np.testing.assert_allclose(found.learn.max(axis=(1, 2)), 1.0, rtol=1e-6)


def test_stamps_that_cannot_be_learned_from_are_told(tmp_path: Path) -> None:
    good = np.ones((40, 16, 16))
    broken = good.copy()
    broken[3, 2, 1] = np.nan
    dark = good.copy()
    dark[7] = 0.0
    for number, (cube, match) in enumerate(
        (
            (good[0], "must be a cube"),
            (good[:5], "5 stamps are too few"),
            (broken, "not finite"),
            (dark, "stamp 7 has no light"),
            (np.ones((40, 18, 18)), "cut them to a multiple of 4"),
        )
    ):
        path = tmp_path / f"{number}.npy"
        np.save(path, cube)
        with pytest.raises(ValueError, match=match):
            read_stamps(path, 0)
    text = tmp_path / "text.fits"
    text.write_text("no image")
    with pytest.raises(ValueError, match="no cube of stamps"):
        read_stamps(text, 0)
    with pytest.raises(ValueError, match="multiple of 4 from 16"):
        new_score_prior(jnp.zeros(2, jnp.uint32), 18)
