"""Laws of spectra as words: `power-law`, `power-law:slope=-1`, `template:FILE@z=0.5`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deblend import Law, Scene

WORDS = "power-law, power-law:slope=S, black-body:T=KELVIN, break:ANGSTROM, line:ANGSTROM@z=Z, template:FILE@z=Z"
"""What a person may write; a number that is given is where a fit starts, one with '!' behind it stays."""


WITHOUT_LAWS = ("l-bfgs-b", "adaprox", "adam", "yogi")
"""Solvers that take none."""


def following(scene: Scene, law: Law | None, first: int = 0) -> Scene:
    """Return the scene with spectra of its sources that follow a law, from the `first` source on."""
    if law is None:
        return scene
    new = [source.following(law) for source in scene.sources[first:]]
    return scene.with_sources([*scene.sources[:first], *new])


def read_law(words: str, solver: str = "gauss-newton") -> Law:
    """Return the law that words say; raises ValueError, with one sentence, where there is none, or no solver for it."""
    if solver in WITHOUT_LAWS:
        raise ValueError(f"--law {words}: the solver {solver} takes no laws; leave --solver out.")
    from deblend import BlackBody, Break, EmissionLine, PowerLaw
    from deblend.io import read_template

    kind, _, rest = words.partition(":")
    # a name of a file may hold anything but what says a redshift
    where, _, redshift = rest.rpartition("@z=") if "@z=" in rest else (rest, "", "")
    makers: dict[str, Callable[[], Law]] = {
        "power-law": lambda: _at(PowerLaw(), words, slope=_named(where, "slope", words)),
        "black-body": lambda: _at(BlackBody(), words, temperature=_named(where, "T", words)),
        "break": lambda: _at(Break.at(_wavelength(where, words)), words, wavelength=where),
        "line": lambda: _at(EmissionLine.at(_wavelength(where, words)), words, redshift=redshift),
        "template": lambda: _at(read_template(_file(where, words)), words, redshift=redshift),
    }
    if kind not in makers:
        raise ValueError(f"--law {words}: there is no law {kind!r}; write {WORDS}.")
    if redshift and kind not in ("line", "template"):
        raise ValueError(f"--law {words}: a {kind} has no redshift; leave '@z=' out.")
    return makers[kind]()


def _at(law: Law, words: str, **said: str) -> Law:
    """Return a law with parameters as they are said, those that are said nothing of as they were."""
    from deblend import Status

    for name, text in said.items():
        if not text:
            continue
        value, parameter = _number(text.removesuffix("!"), words), law.parameters[name]
        if not parameter.lower <= value <= parameter.upper:
            raise ValueError(
                f"--law {words}: the {name} lies between {parameter.lower:g} and {parameter.upper:g}, got {value:g}."
            )
        status = Status.FIXED if text.endswith("!") else parameter.status
        law = law.with_parameters(**{name: parameter.at(value).with_status(status)})
    return law


def _named(text: str, name: str, words: str) -> str:
    """Return the number of `name=number`; nothing where nothing is said."""
    before, _, number = text.partition("=")
    if text and (before != name or not number):
        raise ValueError(f"--law {words}: write {name}=NUMBER behind the colon, as in {WORDS}.")
    return number


def _wavelength(text: str, words: str) -> float:
    value = _number(text.removesuffix("!"), words)
    if not value > 0:
        raise ValueError(f"--law {words}: a wavelength is a positive number of Å, got {value:g}.")
    return value


def _file(text: str, words: str) -> str:
    if not text:
        raise ValueError(f"--law {words}: name the file of the template, as in template:FILE@z=0.5.")
    return text


def _number(text: str, words: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--law {words}: {text!r} is no number; write {WORDS}.") from None
