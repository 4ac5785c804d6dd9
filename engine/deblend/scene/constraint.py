"""Constraints, as said by a person: which, how strong, on or off. Their operators live in `deblend.constraints`."""

from __future__ import annotations

from dataclasses import dataclass

from deblend.scene.constraint_kind import ConstraintKind

SettingValue = float | str | tuple[float, ...]


@dataclass(frozen=True)
class Constraint:
    """A constraint with its strength; strength and switch are data to the fit, so changing them compiles nothing.

    Raises ValueError for a strength or a setting that the kind does not have, or a kind that no solver takes yet.
    """

    kind: ConstraintKind
    strength: float = None  # type: ignore[assignment]
    """By default what is usual for its kind."""
    active: bool = True
    settings: tuple[tuple[str, SettingValue], ...] = ()
    """Names and values that differ from the defaults of its kind."""

    def __post_init__(self) -> None:
        name, info = self.kind.value, self.kind.info
        if self.strength is None:
            object.__setattr__(self, "strength", info.strength)
        if not info.is_wired:
            raise ValueError(f"No solver takes the constraint {name!r} yet; choose one of `offered_constraints()`.")
        if not self.strength >= 0:
            raise ValueError(f"The strength of {name} must not be negative, got {self.strength}.")
        if not self.strength <= info.greatest_strength:
            raise ValueError(
                f"The strength of {name} is a share from 0 to {info.greatest_strength:g}, got {self.strength}."
            )
        for key, value in self.settings:
            _check_setting(self.kind, key, value)

    def setting(self, name: str) -> SettingValue:
        """Return a setting as it was given, or its default."""
        return dict(self.settings).get(name, _setting_defaults(self.kind)[name])


def _setting_defaults(kind: ConstraintKind) -> dict[str, SettingValue]:
    return {setting.name: setting.default for setting in kind.info.settings}


def _check_setting(kind: ConstraintKind, name: str, value: SettingValue) -> None:
    """Raise ValueError for a setting that the kind does not have, or a value that it cannot have."""
    known = {setting.name: setting for setting in kind.info.settings}
    if name not in known:
        has = ", ".join(known) or "none"
        raise ValueError(f"The constraint {kind.value} has no setting {name!r}; it has: {has}.")
    choices = known[name].choices
    if choices and value not in choices:
        raise ValueError(f"{name!r} of {kind.value} is one of {', '.join(choices)}; got {value!r}.")
    if not choices and isinstance(value, tuple) is not isinstance(known[name].default, tuple):
        wanted = "a number per channel" if isinstance(known[name].default, tuple) else "one number"
        raise ValueError(f"{name!r} of {kind.value} is {wanted}; got {value!r}.")
