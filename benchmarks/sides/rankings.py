"""acme as a library: the rankings of the users named in a file, with settings from the environment."""

import gc
import hashlib
import importlib
import os
import sys
from pathlib import Path

import msgspec

from acme_cli.commands.run import Run
from acme_cli.popular import rankings
from benchmarks.sides.figures import report, taken

LATE = (
    "acme_cli.cache.disk",
    "acme_cli.cache.writer",
    "acme_cli.data_api.transport",
    "acme_cli.output.progress",
    "concurrent.futures.thread",
)
"""What acme imports when it needs it. Neither side of a comparison pays for imports."""


def main() -> None:
    """Rank them; what comes of it is a digest of all rankings."""
    usernames = Path(sys.argv[1]).read_text("utf-8").split("\n")
    for late in LATE:
        importlib.import_module(late)
    gc.set_threshold(100_000, 50, 100)  # as the command itself does when it starts
    run = Run({}, os.environ)
    with taken() as figures, run.open_api(run.settings()) as api:
        ranked = list(rankings(api, [usernames], limit=5))
    digest = hashlib.blake2b(digest_size=16)
    for ranking in ranked:
        if ranking.error is not None:
            raise ranking.error
        digest.update(msgspec.json.encode((ranking.username, ranking.products)))
    figures.outcome = f"{len(ranked)} rankings, {digest.hexdigest()}"
    report(figures)


if __name__ == "__main__":
    main()
