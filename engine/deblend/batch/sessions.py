"""One blend of a batch as a session, to look at and to mend in the window; what was mended comes back into the catalog.

A session that is made here is noted with its digest. One that is another by now was saved by a person.
"""

from __future__ import annotations

import json
from pathlib import Path

from deblend.batch.fitting import fitted_scene, result_of
from deblend.batch.run import Batch
from deblend.batch.task import Result
from deblend.guard import AnyPath
from deblend.io import DataFile, Session, read_session, write_session
from deblend.replacing import replacing

FOLDER = "blends"
MADE = "made.json"


def session_of(folder: AnyPath, number: int) -> Path:
    """Return the path of the session of a blend: what a person has saved there, else one that is made now.

    The sources' names are their rows in the plan of the batch; images are in the session. Raises ValueError where the
    folder holds no batch, or there is no such blend, or it cannot be fitted.
    """
    folder = Path(folder)
    path = _path(folder, number)
    if path.is_file():
        return path
    batch = Batch.opened(folder)
    plan = batch.plan()
    if not 0 <= number < len(plan.blends):
        raise ValueError(f"{folder}: has no blend {number}; they go from 0 to {len(plan.blends) - 1}.")
    (task,) = batch.tasks([plan.blends[number]])
    try:
        scene = fitted_scene(task, plan.frame)
    except ValueError as error:
        raise ValueError(f"{folder}: blend {number} cannot be fitted: {error}.") from error
    path.parent.mkdir(exist_ok=True)
    write_session(path, Session(scene, task.observations, settings=plan.frame.settings))
    made = {**_made(folder), str(number): DataFile.of(path).sha256}
    with replacing(path.with_name(MADE)) as part:
        part.write_text(json.dumps(made), "utf-8")
    return path


def mended_in(batch: Batch) -> dict[int, Result]:
    """Return what persons have made of blends of a batch, by their numbers.

    Sources that they have removed are gone, and those that they have added belong to the blend. Raises ValueError,
    naming the session, where one cannot be read.
    """
    result = {}
    made, blends = _made(batch.folder), batch.plan().blends
    for number, digest in made.items():
        path = _path(batch.folder, int(number))
        if not path.is_file() or DataFile.of(path).sha256 == digest:
            continue
        (task,) = batch.tasks([blends[int(number)]])
        result[int(number)] = result_of(task, read_session(path), batch.plan().frame)
    return result


def _path(folder: Path, number: int) -> Path:
    return folder / FOLDER / f"blend_{number}.asdf"


def _made(folder: Path) -> dict[str, str]:
    path = folder / FOLDER / MADE
    made: dict[str, str] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return made
