"""How fast and how lean acme is, as ratios to what any such tool would need, and to what one would use instead.

    python -m benchmarks [--quick] [--only P1,P5]

What is compared is measured in turn, over and over, so that a busy machine slows both alike: compare the ratios, not
the milliseconds. Both sides have to give the same answers. Asks nothing but servers that it starts on this machine.
Linux only.
"""

import argparse
import os
import platform
import sys
import tempfile
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import against_peers, long_list, many_users, one_user
from benchmarks.report import WIDEST, table
from benchmarks.runs import Plan

PARTS = (
    (("P1", "P2", "P3", "P4"), one_user.measure),
    (("P5", "P6", "P7"), many_users.measure),
    (("P8",), long_list.measure),
    (("P9",), many_users.growth),
    (("peers",), against_peers.measure),
)
PACKAGES = ("acme-cli", "typer", "httpx", "diskcache", "msgspec", "rich", "requests", "requests-cache", "hishel")


def main() -> None:
    """Measure what is asked for, and print the table."""
    known = [number for numbers, _ in PARTS for number in numbers]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small data and few runs: a minute, not ten")
    parser.add_argument("--only", default=",".join(known), help="which rows, of %(default)s")
    given = parser.parse_args()
    wanted = set(given.only.split(","))
    if unknown := sorted(wanted - set(known)):
        parser.error(f"--only: {unknown[0]} is none of {', '.join(known)}")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{textwrap.fill(', '.join(map(_with_version, PACKAGES)), WIDEST)}\n", flush=True)
    rows = []
    for numbers, measure in PARTS:
        if wanted.intersection(numbers):
            print(f"measuring {', '.join(number for number in numbers if number in wanted)} …", file=sys.stderr)
            with tempfile.TemporaryDirectory() as scratch:
                rows += measure(Plan(Path(scratch), given.quick), wanted)
    print(table(rows))


def _with_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


if __name__ == "__main__":
    main()
