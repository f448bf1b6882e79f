"""The least that a cache of JSON can do: get and decode every entry of a diskcache.

bare_cache FOLDER           measure
bare_cache FOLDER ACME_DIR  fill it with the keys and bodies of what acme stored there
"""

import sqlite3
import sys
from pathlib import Path

import diskcache
import msgspec

from acme_cli.cache.entry import from_bytes
from benchmarks.sides.figures import report, taken


def main() -> None:
    """Fill or measure; what comes of it is the number of entries."""
    folder, *source = sys.argv[1:]
    if source:
        _fill(folder, Path(source[0]))
        return
    with diskcache.Cache(folder) as cache:
        keys = list(cache)
    with taken() as figures, diskcache.Cache(folder) as cache:
        for key in keys:
            msgspec.json.decode(cache.get(key))
    figures.outcome = str(len(keys))
    report(figures)


def _fill(folder: str, source: Path) -> None:
    (file,) = source.glob("*/cache.db")
    with sqlite3.connect(file) as stored, diskcache.Cache(folder) as cache, cache.transact():
        for key, value in stored.execute("SELECT key, value FROM Cache"):
            if "\nlimit-cap?" not in key:
                cache[key] = from_bytes(key, value).body


if __name__ == "__main__":
    main()
