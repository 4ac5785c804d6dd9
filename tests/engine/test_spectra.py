"""Laws and passbands: integrals against closed forms, quadrature and astropy, and what files are taken for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling.physical_models import BlackBody as AstropyBlackBody
from astropy.table import Table
from scipy.integrate import quad

from deblend import (
    BlackBody,
    Break,
    Channel,
    CustomLaw,
    EmissionLine,
    Law,
    Normal,
    Parameter,
    Passband,
    PowerLaw,
    Template,
    find_passband,
    make_source,
    read_passband,
    read_template,
)
from deblend.observe import find_passbands, passband_notes
from deblend.program.law_surface import Lawful
from deblend.program.laws import lawful_members
from deblend.render.spectra import Passbands, density_of, nodes_of

BLUE, RED = Passband.top_hat(4800.0, 1200.0), Passband.top_hat(8000.0, 1600.0)
CURVED = Passband(np.array([5000.0, 5600.0, 6100.0, 6900.0]), np.array([0.0, 0.9, 0.4, 0.0]))


def values(law: Law) -> dict[str, np.ndarray]:
    return {name: p.value for name, p in law.parameters.items()}


def means(law: Law, *passbands: Passband) -> np.ndarray:
    return np.asarray(Passbands(passbands).means(law, values(law)))


def expected(law: Law, passband: Passband) -> float:
    """Return the mean by adaptive quadrature in λ, told of every kink."""
    density = density_of(law)
    low, high = passband.wavelengths[[0, -1]]
    kinks = np.concatenate([passband.wavelengths[1:-1], nodes_of(law, values(law))])
    kinks = np.unique(kinks[(kinks > low) & (kinks < high)])

    def seen(at: float) -> float:
        return float(np.interp(at, passband.wavelengths, passband.transmission))

    def integral(function: Callable[[float], float]) -> float:
        ends = np.concatenate([[low], kinks, [high]])
        return sum(quad(function, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(ends))

    light = integral(lambda at: seen(at) * float(density(np.array([at]), values(law))[0]) / at)
    return light / integral(lambda at: seen(at) / at)


LAWS = (
    PowerLaw(slope=Parameter(-0.7)),
    BlackBody(temperature=Parameter(4200.0)),
    BlackBody(temperature=Parameter(400.0)),
    Break.at(5713.0, ratio=Parameter(2.4), red_slope=Parameter(-1.0)),
    EmissionLine.at(5006.8, 0.2, width=Parameter(4.0)),
    Template.of([900.0, 3000.0, 4100.0, 4150.0, 9000.0], [0.5, 0.2, 1.0, 2.0, 1.2], redshift=0.37),
    CustomLaw(function=lambda at, height: 1.0 + height * np.sin(at / 300.0), own={"height": Parameter(0.4)}),
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.label)
def test_fluxes_are_the_integrals_that_a_photon_counter_sees(law: Law) -> None:
    for passband in (BLUE, CURVED, RED):
        truth = expected(law, passband)
        assert means(law, passband)[0] == pytest.approx(truth, rel=2e-6, abs=1e-30)


def test_a_flat_spectrum_has_one_magnitude_and_a_power_law_its_closed_form() -> None:
    np.testing.assert_allclose(means(PowerLaw(slope=Parameter(-2.0)), BLUE, CURVED, RED), 1.0, rtol=1e-12)
    # ∫ λ^1.5 dλ/λ over a top-hat
    (low, high), (flux,) = RED.wavelengths, means(PowerLaw(slope=Parameter(-0.5)), RED)
    assert flux == pytest.approx((high**1.5 - low**1.5) / 1.5 / np.log(high / low) / 5500.0**1.5, rel=1e-10)


def test_colors_of_black_bodies_are_those_of_astropy() -> None:
    curves = [find_passband("HSC", band) for band in "gri"]
    for temperature in (2500.0, 5800.0, 30000.0):
        planck = AstropyBlackBody(temperature * u.K)
        told = []
        for curve in curves:
            frequency = (np.linspace(*curve.wavelengths[[0, -1]], 20001) * u.AA).to(u.Hz, u.spectral())
            seen = np.interp(frequency.to_value(u.AA, u.spectral()), curve.wavelengths, curve.transmission)
            weight = seen / frequency.value
            told.append(np.trapezoid(planck(frequency).value * weight, frequency.value))
            told[-1] /= np.trapezoid(weight, frequency.value)
        ours = means(BlackBody(temperature=Parameter(temperature)), *curves)
        np.testing.assert_allclose(ours[1:] / ours[:-1], np.array(told[1:]) / told[:-1], rtol=1e-5)


def test_a_line_gives_its_light_to_the_passband_that_it_falls_into() -> None:
    """∫ f_λ dλ = √(2π) width, and f_ν d(ln λ) = f_λ λ dλ / λ_0²."""
    line = EmissionLine.at(6563.0, 0.2, width=Parameter(3.0))
    center = 6563.0 * 1.2
    blue, red = means(line, BLUE, RED)
    low, high = RED.wavelengths
    assert blue == 0
    assert red == pytest.approx(np.sqrt(2 * np.pi) * 3.0 / center / np.log(high / low), rel=1e-6)


def test_a_redshift_moves_a_template_and_several_are_mixed() -> None:
    at = np.linspace(1000.0, 12000.0, 400)
    flat, steep = np.full(400, 3.0), (at / 5000.0) ** 2
    mixed = Template.of(at, [flat, steep], redshift=0.5, per="frequency", shares=Parameter([1.0, 0.0], lower=0.0))
    np.testing.assert_allclose(means(mixed, BLUE, RED), means(mixed, BLUE)[0], rtol=1e-12)
    per_wavelength = Template.of(at, at**-2.0, redshift=0.2)
    np.testing.assert_allclose(means(per_wavelength, BLUE, RED), means(per_wavelength, BLUE)[0], rtol=1e-9)
    power = means(PowerLaw(slope=Parameter(0.0)), BLUE, RED)
    shifted = means(mixed.with_parameters(shares=mixed.shares.at([0.0, 1.0])), BLUE, RED)
    np.testing.assert_allclose(shifted[1] / shifted[0], power[1] / power[0], rtol=1e-4)


def test_passbands_are_found_by_their_names_and_say_which_were_taken() -> None:
    channels = [Channel("HSC", "i"), Channel("HST", "F814W"), Channel("JWST", "F200W"), Channel("my telescope", "r")]
    found = find_passbands(channels, {("HSC", "i"): RED})
    assert found[0] is RED
    assert found[1].pivot == pytest.approx(8060, abs=30)
    assert found[2].pivot == pytest.approx(19900, abs=100)
    said = passband_notes(channels, found)
    assert said[1] == "HST F814W: the passband is the curve acs_wfc_f814w of astro-sedpy."
    assert said[3] == "my telescope r: the passband is a top-hat from 5570 to 6952 Å, for want of a curve."
    assert find_passband("Euclid", "NIR-H").pivot == pytest.approx(17650, abs=50)
    with pytest.raises(ValueError, match="No transmission curve is known for the band L of my telescope; read one by"):
        find_passband("my telescope", "L")


def test_curves_are_read_from_whatever_tables_hold_them(tmp_path: Path) -> None:
    at, seen = np.array([600.0, 650.0, 700.0, 750.0]), np.array([0.0, 0.5, 0.4, 0.0])
    np.savetxt(tmp_path / "r.dat", np.column_stack([at, seen]), header="nm, photons")
    plain = read_passband(tmp_path / "r.dat")
    np.testing.assert_allclose(plain.wavelengths, at * 10)
    assert plain.origin == "the curve of r.dat, wavelengths in nm (assumed)"
    table = Table({"Transmission": seen, "Wavelength": at / 1000 * u.um})
    for name in ("r.ecsv", "r.fits", "r.xml"):
        table.write(tmp_path / name, format={"r.xml": "votable"}.get(name))
        read = read_passband(tmp_path / name)
        np.testing.assert_allclose(read.wavelengths, at * 10)
        np.testing.assert_allclose(read.transmission, seen)
        assert read.origin == f"the curve of {name}, wavelengths in um"
    with pytest.raises(ValueError, match=r"none\.dat: there is no such file"):
        read_passband(tmp_path / "none.dat")
    np.savetxt(tmp_path / "dark.dat", np.column_stack([at, -seen]))
    with pytest.raises(ValueError, match=r"dark\.dat: column col2 has no transmission above 0"):
        read_passband(tmp_path / "dark.dat")
    Table({"wavelength": at * u.s, "t": seen}).write(tmp_path / "s.ecsv")
    with pytest.raises(ValueError, match=r"s\.ecsv: column wavelength has unit s, which is no wavelength"):
        read_passband(tmp_path / "s.ecsv")


def test_templates_are_read_per_wavelength_or_frequency_as_they_say(tmp_path: Path) -> None:
    at = np.linspace(3000.0, 9000.0, 50)
    Table({"wave": at * u.AA, "spectrum": np.full(50, 2.0) * u.uJy}).write(tmp_path / "f.ecsv")
    told = read_template(tmp_path / "f.ecsv", 0.3)
    np.testing.assert_allclose(told.spectra, 1.0)
    assert told.origin == "f.ecsv, wavelengths in Angstrom, flux per frequency"
    assert told.redshift.is_free and told.redshift.value == 0.3
    np.savetxt(tmp_path / "f.txt", np.column_stack([at, at**-2.0, at**-1.0]))
    assumed = read_template(tmp_path / "f.txt", Parameter(0.0))
    assert assumed.spectra.shape == (2, 50) and assumed.shares.is_free
    np.testing.assert_allclose(assumed.spectra[0], 1.0, rtol=1e-9)
    assert assumed.origin == "f.txt, wavelengths in Angstrom (assumed), flux per wavelength (assumed)"


def test_what_is_no_law_or_no_curve_is_told() -> None:
    with pytest.raises(ValueError, match="have to be positive and to rise"):
        Passband(np.array([2.0, 1.0]), np.ones(2))
    with pytest.raises(ValueError, match="not all zero"):
        Passband(np.array([1.0, 2.0]), np.zeros(2))
    with pytest.raises(ValueError, match="A power law has no 'temperature' to have a prior; choose of slope"):
        PowerLaw(priors={"temperature": Normal(1.0, 2.0)})
    with pytest.raises(ValueError, match="needs a positive standard deviation"):
        PowerLaw(priors={"slope": Normal(1.0, 0.0)})
    with pytest.raises(ValueError, match=r"temperature of a black body is 10\.0, not between its bounds"):
        BlackBody(temperature=Parameter(10.0, lower=300.0))
    with pytest.raises(ValueError, match="a value per wavelength"):
        Template.of([1.0, 2.0], [1.0, 2.0, 3.0])


CHANNELS = [Channel("A", "b", "1"), Channel("A", "r", "1"), Channel("A", "b", "2"), Channel("A", "r", "2")]
NOISE = np.array([1.0, 2.0, 1.5, 1.0])


def surface(law: Law, flux: np.ndarray, varies: bool = False) -> Lawful:
    source = make_source("point", 5.0, 5.0, n_channels=4, flux=flux, law=law)
    bands = Passbands([BLUE, RED, BLUE, RED])
    laws = lawful_members([[(source.varying(varies), 0)]], CHANNELS, lambda: bands, NOISE, {})
    assert laws is not None
    return laws.members[0]


@pytest.mark.parametrize("varies", [False, True])
def test_planes_touch_the_surface_and_lead_back_to_it(varies: bool) -> None:
    flux = np.array([30.0, 50.0, 80.0, 120.0])
    here = surface(BlackBody(temperature=Parameter(5000.0)), flux, varies)
    plane = here.plane()
    # one amplitude, or one for each epoch, and a temperature
    assert plane.basis.shape[1] == 2 + varies
    np.testing.assert_allclose(plane.tie @ plane.tie, plane.tie, atol=1e-12)
    np.testing.assert_allclose(plane.tie @ here.fluxes, here.fluxes, rtol=1e-10)
    step = plane.tie @ np.array([1.0, -2.0, 0.5, 3.0])
    none, all_ = np.full(4, -np.inf), np.full(4, np.inf)
    errors = [
        np.linalg.norm(here.moved(step, plane, t, none, all_).fluxes - here.fluxes - t * step) for t in (0.1, 0.05)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1), "what is missed is of second order"
    ratio = here.fluxes * NOISE
    assert ratio[1] / ratio[0] == pytest.approx(ratio[3] / ratio[2]), "epochs have one color"
    assert (ratio[0] == pytest.approx(ratio[2])) is not varies


def test_what_fluxes_do_not_tell_goes_where_its_prior_is() -> None:
    """Both slopes and the ratio of a break between two passbands: three numbers for one color."""
    law = Break.at(
        6300.0,
        blue_slope=Parameter(-1.0, lower=-9, upper=9),
        red_slope=Parameter(-1.0, lower=-9, upper=9),
        priors={"red_slope": Normal(0.5, 0.1), "blue_slope": Normal(0.5, 0.1)},
    )
    here = surface(law, np.array([30.0, 50.0, 30.0, 50.0]))
    plane = here.plane()
    assert plane.basis.shape[1] == 2
    free = np.full(4, np.inf)
    residuals, _ = here.chart.prior(here.coordinates)
    moved = here
    for _ in range(4):
        moved = moved.moved(np.zeros(4), moved.plane(), 1.0, -free, free)
    np.testing.assert_allclose(moved.fluxes, here.fluxes, rtol=5e-3)  # the way there is curved
    assert np.abs(residuals).max() > 10
    assert np.abs(moved.chart.prior(moved.coordinates)[0]).max() < 0.05
