"""What a person has set, kept for the next time: small JSON files in the settings folder.

Corrections are kept for files of the same kind, the stretch of the pictures for all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from deblend.guard import parsed_json
from deblend.io import Interpretation
from deblend.replacing import replacing
from napari_deblend.stretch import Stretch

FOLDER_VARIABLE = "DEBLEND_CONFIG"
"""Names another folder for the file."""


def folder() -> Path:
    """Return the folder for what is kept of a person's settings."""
    return Path(os.environ.get(FOLDER_VARIABLE) or platformdirs.user_config_dir("napari-deblend", appauthor=False))


def file() -> Path:
    """Return where the corrections are kept."""
    return folder() / "interpretations.json"


def recall(signature: str) -> Interpretation | None:
    """Return the correction for files of this signature; None without any, or where the file is not ours to read."""
    found = _all().get(signature)
    try:
        return None if found is None else Interpretation.from_dict(found).of_its_kind
    except (ValueError, TypeError):
        # written by another version, or by hand
        return None


def remember(signature: str, interpretation: Interpretation) -> None:
    """Keep what of a correction holds for other files of the kind."""
    _write({**_all(), signature: interpretation.of_its_kind.to_dict()})


def forget(signature: str) -> None:
    """Keep no correction for files of this signature."""
    everything = _all()
    if everything.pop(signature, None) is not None:
        _write(everything)


def recall_stretch() -> Stretch:
    """Return the stretch that was used last; what suits the images without one, or where the file is not ours."""
    try:
        return Stretch.from_dict(_read(folder() / "stretch.json"))
    except (ValueError, TypeError):
        return Stretch()


def remember_stretch(stretch: Stretch) -> None:
    _write(stretch.to_dict(), folder() / "stretch.json")


def is_tour_known() -> bool:
    """Tell whether a person has been offered the tour before, and has answered."""
    return bool(_read(folder() / "tour.json").get("answered"))


def remember_tour() -> None:
    """Have the tour not offered again."""
    _write({"answered": True}, folder() / "tour.json")


def _all() -> dict[str, Any]:
    return _read(file())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parsed_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(everything: dict[str, Any], path: Path | None = None) -> None:
    path = file() if path is None else path
    # whoever reads meanwhile sees the old file or the new one
    with replacing(path) as part:
        part.write_text(json.dumps(everything, indent=1, sort_keys=True), encoding="utf-8")
