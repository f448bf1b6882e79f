"""A bound on what a database may cost, whatever somebody has made of its schema."""

import itertools
import sqlite3

_STEP = 1_000_000
_STEPS = 60


def limit_work(connection: sqlite3.Connection) -> None:
    """Interrupt the connection after 60 million steps of SQLite's machine, some two seconds of work.

    A run takes thousands, removing 200,000 entries 13 million; a planted view or trigger can go on for ever.
    """
    steps = itertools.count()
    connection.set_progress_handler(lambda: next(steps) > _STEPS, _STEP)
