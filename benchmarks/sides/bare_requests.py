"""The least that httpx can do: GET the URLs in a file from 16 threads, and look at nothing."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.sides.figures import report, taken


def main() -> None:
    """Ask; what comes of it is the bytes of all bodies."""
    urls = Path(sys.argv[1]).read_text("utf-8").split("\n")
    with taken() as figures, httpx.Client() as client, ThreadPoolExecutor(16) as pool:
        length = sum(pool.map(lambda url: len(client.get(url).content), urls))
    figures.outcome = str(length)
    report(figures)


if __name__ == "__main__":
    main()
