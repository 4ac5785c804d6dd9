"""Sessions: the whole of a person's work, as a file and as a journal that outlives a crash."""

from deblend.io.session.file import is_session, read_session, write_session
from deblend.io.session.files import DataFile, changes_of, files_of
from deblend.io.session.journal import Journal, read_journal
from deblend.io.session.references import DataNotFoundError, Reading
from deblend.io.session.replay import fit_again, replay
from deblend.io.session.script import write_script
from deblend.io.session.session import Edit, Run, Session, Step

__all__ = [
    "DataFile",
    "DataNotFoundError",
    "Edit",
    "Journal",
    "Reading",
    "Run",
    "Session",
    "Step",
    "changes_of",
    "files_of",
    "fit_again",
    "is_session",
    "read_journal",
    "read_session",
    "replay",
    "write_script",
    "write_session",
]
