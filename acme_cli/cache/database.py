"""Opening the database file, of which only plain tables are trusted to be what they seem."""

import os
import sqlite3
from pathlib import Path
from typing import Literal
from urllib.parse import quote


def connect(file: Path, mode: Literal["ro", "rw"], timeout: float) -> sqlite3.Connection:
    """Return a connection to an existing database; `timeout` is how long to wait for a lock, in seconds.

    Raises sqlite3.DatabaseError for one with a view, a trigger or a virtual table: we make none, and a planted one
    can go on for ever inside a single statement. SQLite keeps no pages for them, which is how they are told.
    """
    uri = f"file:{quote(os.fsencode(file))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        planted = connection.execute("SELECT name FROM sqlite_master WHERE coalesce(rootpage, 0) = 0").fetchone()
    except BaseException:
        connection.close()
        raise
    if planted is not None:
        connection.close()
        raise sqlite3.DatabaseError("it holds more than plain tables")
    return connection
