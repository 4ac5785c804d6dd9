"""A person's own morphology: the example of the documentation, followed to the end, and what goes wrong with others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deblend
from deblend import FitSettings, Outcome, OwnParameter, Program, fit, make_source, measure
from deblend.commands.errors import BadInputError
from deblend.commands.morphologies import take_morphologies
from deblend.program.layout import GroupLayout
from deblend.program.program import UndefinedMorphologyError
from deblend.render import KINDS, elliptical_radius
from deblend.scene import MODEL_PSF_SIGMA, MORPHOLOGIES, OwnMorphology

PAGE = Path(__file__).parents[2] / "docs" / "morphologies.md"
VARIANCE = MODEL_PSF_SIGMA**2


@pytest.fixture(autouse=True)
def forgetting() -> Iterator[None]:
    """Leave the kinds as they were."""
    yield
    for label in [label for label, kind in MORPHOLOGIES.items() if issubclass(kind, OwnMorphology)]:
        deblend.forget_morphology(label)


def example() -> dict[str, Any]:
    """Run the page's blocks of Python, as its reader would."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(block, names)
    return names


@dataclass(frozen=True)
class Disk:
    """An exponential disk, as a person might write it."""

    label: str = "my disk"
    center_is_safe: bool = True
    steepness: float = 1.67834699

    @property
    def parameters(self) -> dict[str, OwnParameter]:
        return {
            "radius": OwnParameter(1.0, lower=0.2, upper=100.0, logarithmic=True, is_size=True),
            "ellipticity": OwnParameter([0.0, 0.0], lower=-3.0, upper=3.0, scatter=0.5),
        }

    def surface_brightness(self, parameters: Any, y: Any, x: Any) -> Any:
        return 7.0 * jnp.exp(
            -self.steepness * elliptical_radius(y, x, parameters["ellipticity"]) / parameters["radius"]
        )


@dataclass(frozen=True)
class Blob:
    """A Gaussian that comes pixelised, of a parameter that may become too small for it."""

    label: str = "blob"
    least: float = 0.1

    @property
    def parameters(self) -> dict[str, OwnParameter]:
        return {"width": OwnParameter(2.0, lower=self.least, upper=30.0, step=5.0)}

    def picture(self, parameters: Any, y: Any, x: Any, psf_sigma: Any) -> Any:
        # no width below 1: the root of a negative number
        variance = jnp.sqrt(parameters["width"] - 1.0) ** 4 + psf_sigma**2
        return jnp.exp(-0.5 * (y**2 + x**2) / variance)


def drawn(kind: str, theta: list[float], side: int = 63) -> Any:
    numbers = jnp.asarray(theta)
    return jax.jit(lambda t: KINDS[kind].profile_with_derivatives(t, jnp.ones(()), side, jnp.asarray(VARIANCE)))(
        numbers
    )


@pytest.mark.parametrize("size", [0.4, 3.0])
def test_it_is_drawn_as_well_as_a_kind_of_the_program(size: float) -> None:
    deblend.register_morphology(Disk())
    theta = [1.31, -0.44, float(np.log(size)), 0.5, -0.3]
    (mine, my_slopes), (own, slopes) = drawn("my disk", theta), drawn("exponential", theta)
    assert np.abs(mine - own).max() <= 1e-3 * own.max()
    assert float(mine.sum()) == pytest.approx(float(own.sum()), abs=1e-3)
    for mine_by, own_by in zip(my_slopes, slopes, strict=True):
        assert np.abs(mine_by - own_by).max() <= 5e-3 * np.abs(own_by).max()


@pytest.mark.usefixtures("double")
def test_its_derivatives_are_those_of_finite_differences() -> None:
    example()
    theta = np.array([0.31, -1.44, np.log(3.0), np.log(0.3), 0.3, -0.2])
    _, slopes = drawn("ring", theta.tolist(), 31)
    for entry in range(theta.size):
        step = 1e-5 * np.eye(theta.size)[entry]
        ahead, behind = (drawn("ring", (theta + sign * step).tolist(), 31)[0] for sign in (1, -1))
        np.testing.assert_allclose(slopes[entry], (ahead - behind) / 2e-5, atol=1e-6 * np.abs(slopes[entry]).max())


def test_the_example_of_the_documentation_is_fitted_to_a_ring(systems: Any, tmp_path: Path) -> None:
    """A ring of known shape beside a star; then it goes to a catalog, and is of the kinds that a person may choose."""
    names = example()
    truth = systems.with_morphology(
        replace(names["ring"], components=(replace(names["ring"].components[0], radius=15),)),
        **{
            name: names["ring"].components[0].morphology.parameters[name].at(value)
            for name, value in (("radius", 5.0), ("thickness", 0.3), ("ellipticity", [0.35, -0.2]))
        },
    )
    truth = systems.with_spectrum(truth, truth.components[0].spectrum.at([4000.0, 6000.0]))
    star = make_source("point", 25.1, 23.0, n_channels=2, flux=[900.0, 700.0], radius=7)
    sky = systems.empty().add(truth, star)
    blank = systems.blank()
    observation = systems.seen(Program([blank], sky).model(), seed=3)
    start = systems.empty().add(
        make_source("ring", 23.2, 24.6, n_channels=2, half_light_radius=3.8, radius=15),
        make_source("point", 25.0, 23.1, n_channels=2, radius=7),
    )
    running = fit(start, [observation])
    best = running.run()
    assert running.state.outcome is Outcome.CONVERGED and best.chi2 < 1.05
    np.testing.assert_allclose(best.scene.fluxes, sky.fluxes, rtol=0.04)
    shape = best.scene.sources[0].components[0].morphology
    assert float(shape.radius.value) == pytest.approx(5.0, rel=0.02)
    assert float(shape.thickness.value) == pytest.approx(0.3, rel=0.1)
    np.testing.assert_allclose(shape.ellipticity.value, [0.35, -0.2], atol=0.03)
    assert np.hypot(best.scene.sources[0].x - 23.6, best.scene.sources[0].y - 24.3) < 0.05

    catalog = measure(best.scene, [observation], running.program, errors=False)
    assert list(catalog.table["kind"]) == ["ring", "point"]
    catalog.write(tmp_path / "catalog.ecsv")
    assert "ring" in (tmp_path / "catalog.ecsv").read_text()
    assert best.scene.sources[0].retyped("galaxy").retyped("ring").kind == "ring"
    assert best.scene.sources[0].retyped("sersic").components[0].morphology.half_light_radius_guess == pytest.approx(
        5.0, 0.1
    )


def test_what_is_undefined_ends_in_a_sentence_and_leaves_the_scene(systems: Any) -> None:
    deblend.register_morphology(Blob())
    blank = systems.blank()
    good = systems.empty().add(make_source("blob", 24.0, 24.0, n_channels=2, flux=[500.0, 500.0], radius=12))
    program = Program([blank], good)
    wide = good.sources[0].components[0].morphology.width
    bad = good.replace(systems.with_morphology(good.sources[0], width=wide.at(0.5)))
    with pytest.raises(UndefinedMorphologyError, match=r"'blob'.*undefined at width = 0\.5.*bounds"):
        program.update(bad)
    assert program.scene is good and np.all(np.isfinite(program.model()))

    # a fit whose steps lead there keeps what it has
    narrow = systems.seen(program.model(), seed=2)
    near = good.replace(systems.with_morphology(good.sources[0], width=wide.at(1.0)))
    running = fit(near, [narrow], FitSettings(max_iterations=6))
    states = list(running)
    assert states[-1].outcome is Outcome.UNDEFINED and "morphology of your own" in states[-1].outcome.value
    assert np.all(np.isfinite(running.best.scene.fluxes))
    assert float(running.best.scene.sources[0].components[0].morphology.width.value) == 1.0


class TestRefusals:
    """What cannot be a morphology is said when it is registered."""

    @pytest.mark.parametrize(
        ("brightness", "sentence"),
        [
            (lambda p, y, x: jnp.sqrt(x**2 + y**2) * jnp.nan, "not finite"),
            (lambda p, y, x: jnp.exp(-(x**2) - y**2), "does not depend on radius"),
            (lambda p, y, x: jnp.exp(-jnp.hypot(x, y) / p["size"]), "cannot be drawn"),
            (
                lambda p, y, x: jnp.exp(-jnp.sqrt(jnp.maximum(p["radius"] - 2.0, 0.0)) * (x**2 + y**2)),
                "not finite|derivative",
            ),
        ],
    )
    def test_a_surface_brightness(self, brightness: Any, sentence: str) -> None:
        odd = type("Odd", (), {"label": "odd", "parameters": {"radius": OwnParameter(1.0, is_size=True)},
                               "surface_brightness": staticmethod(brightness)})  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            deblend.register_morphology(odd())
        assert "odd" not in MORPHOLOGIES and "odd" not in KINDS

    @pytest.mark.parametrize(
        ("parameters", "sentence"),
        [
            ({"scale": OwnParameter(1.0)}, "name that cannot be used"),
            ({"two words": OwnParameter(1.0)}, "name that cannot be used"),
            ({"a": OwnParameter(np.nan)}, "finite"),
            ({"a": OwnParameter(3.0, upper=2.0)}, "out of its bounds"),
            ({"a": OwnParameter(-1.0, logarithmic=True)}, "above 0"),
            ({"a": OwnParameter(1.0, scatter=0.0)}, "scatter"),
            ({"a": OwnParameter(1.0, step=0.0)}, "step"),
        ],
    )
    def test_a_parameter(self, parameters: dict[str, OwnParameter], sentence: str) -> None:
        odd = type("Odd", (), {"label": "odd", "parameters": parameters, "picture": lambda *_: 1.0})
        with pytest.raises(ValueError, match=sentence):
            deblend.register_morphology(odd())

    def test_a_label_that_is_taken(self) -> None:
        with pytest.raises(ValueError, match="'sersic' is a kind of the program's own"):
            deblend.register_morphology(Disk(label="sersic"))
        first = deblend.register_morphology(Disk())
        assert deblend.register_morphology(Disk()) is first
        with pytest.raises(ValueError, match="another morphology 'my disk' already"):
            deblend.register_morphology(Disk(steepness=2.0))
        before = GroupLayout("my disk", 31)
        deblend.register_morphology(Disk(steepness=2.0), replace=True)
        assert GroupLayout("my disk", 31) != before, "what was compiled for the old one would be run for the new one"

    def test_what_is_no_morphology(self) -> None:
        with pytest.raises(ValueError, match="needs a `label` and `parameters`"):
            deblend.register_morphology(object())
        with pytest.raises(ValueError, match="needs either `surface_brightness"):
            deblend.register_morphology(type("Odd", (), {"label": "odd", "parameters": {}})())
        with pytest.raises(ValueError, match="no morphology of your own"):
            deblend.forget_morphology("sersic")


def test_the_command_line_takes_files_of_morphologies(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    good, bad = tmp_path / "ring.py", tmp_path / "bad.py"
    good.write_text(blocks[0])
    bad.write_text("import deblend\ndeblend.register_morphology(3)\n")
    take_morphologies([good], "ring")
    assert "ring" in MORPHOLOGIES
    with pytest.raises(BadInputError, match=r"bad\.py: ValueError: A morphology needs"):
        take_morphologies([bad], "galaxy")
    with pytest.raises(BadInputError, match="no such file"):
        take_morphologies([tmp_path / "none.py"], "galaxy")
    with pytest.raises(BadInputError, match=r"no kind .rings. for --kind; choose one of point.*ring"):
        take_morphologies([], "rings")
