"""How long a cold and a cached answer take, next to importing what any such tool would import.

    python -m benchmarks [--runs 21]

Every row is timed in turn, over and over, so that a busy machine slows all of them alike; compare the ratios, not
the milliseconds. Needs the installed `acme`; asks nothing but a mock server that it starts on this machine.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

BASELINE = "import typer, diskcache, msgspec"
USER = "Frannie79"

Row = tuple[str, Callable[[], list[str]]]


def main() -> None:
    """Measure and print one line a row: median, spread, and the ratio to the baseline."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=21, help="timed runs of each row (default: %(default)s)")
    runs = parser.parse_args().runs
    acme = str(Path(sys.executable).with_name("acme"))
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"PATH": os.environ["PATH"], "HOME": scratch, "LC_ALL": "C.UTF-8"}
        server = subprocess.Popen(
            [acme, "mock", "--port", "0", "--latency", "0"], stdout=subprocess.PIPE, text=True, env=environment
        )
        try:
            assert server.stdout is not None
            measure(rows(acme, server.stdout.readline().strip(), Path(scratch)), runs, environment)
        finally:
            server.terminate()
            server.wait()


def rows(acme: str, url: str, scratch: Path) -> list[Row]:
    """Return what is measured: a label, and a function that prepares one run and returns its command."""
    cache = scratch / "cache"
    ask = [acme, "popular", USER, "--api-url", url, "--cache-dir", str(cache)]

    def cold() -> list[str]:
        shutil.rmtree(scratch / "cold", ignore_errors=True)
        return [*ask[:-1], str(scratch / "cold"), "--json"]

    return [
        (f'python -c "{BASELINE}"', lambda: [sys.executable, "-c", BASELINE]),
        ("acme popular NAME --json, cached", lambda: [*ask, "--json"]),
        ("acme popular NAME, cached, table", lambda: ask),
        ("acme popular NAME --json, cold, no latency", cold),
    ]


def measure(measured: list[Row], runs: int, environment: dict[str, str]) -> None:
    """Time the rows in turn, `runs` times after one round to warm up, and print the table."""
    times: dict[str, list[float]] = {label: [] for label, _ in measured}
    for turn in range(runs + 1):
        for label, prepare in measured:
            command = prepare()
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            if turn:
                times[label].append(time.perf_counter() - start)
    packages = ", ".join(f"{name} {version(name)}" for name in ("acme-cli", "typer", "httpx", "diskcache", "msgspec"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; {packages}")
    print(f"{'median of ' + str(runs) + ' alternating runs':<60} {'ms':>6} {'min':>6} {'max':>6} {'ratio':>6}")
    baseline = statistics.median(times[measured[0][0]])
    for label, taken in times.items():
        median = statistics.median(taken)
        figures = f"{1e3 * median:6.0f} {1e3 * min(taken):6.0f} {1e3 * max(taken):6.0f} {median / baseline:6.2f}"
        print(f"{label:<60} {figures}")


if __name__ == "__main__":
    main()
