"""Many blends: from the images of a whole field to one catalog."""

from deblend.batch.cluster import Cluster
from deblend.batch.collect import Gathered, blends_table, border_agreement, catalog_of, collect, write_models
from deblend.batch.journal import Journal, results_in
from deblend.batch.plan import Plan, read_plan
from deblend.batch.run import Batch, OtherInputError, Settings
from deblend.batch.sessions import session_of
from deblend.batch.task import Frame, Result, Task
from deblend.batch.tiles import AbstractTile, FileTile, OpenTile, tiles_of
from deblend.batch.workers import AbstractWorkers, Here, Processes

__all__ = [
    "AbstractTile",
    "AbstractWorkers",
    "Batch",
    "Cluster",
    "FileTile",
    "Frame",
    "Gathered",
    "Here",
    "Journal",
    "OpenTile",
    "OtherInputError",
    "Plan",
    "Processes",
    "Result",
    "Settings",
    "Task",
    "blends_table",
    "border_agreement",
    "catalog_of",
    "collect",
    "read_plan",
    "results_in",
    "session_of",
    "tiles_of",
    "write_models",
]
