"""P1 to P4: one user, through the installed command, next to the imports that any such tool would need."""

import itertools
import json
import shutil
import sys
from collections.abc import Callable

from benchmarks.report import Row
from benchmarks.runs import ACME, Plan, in_turn, same, timed
from benchmarks.serving import Server, serving

LATENCY = 0.3
IMPORTS = {
    "P1": "import typer, diskcache, msgspec",
    "P2": "import typer, diskcache, msgspec, rich.table, rich.console",
    "P3": "import typer, diskcache, msgspec, httpx; httpx.Client()",
}

ROWS: dict[str, tuple[str, int, float]] = {
    "P1": ("acme popular NAME --json, cached", 0, 0.90),
    "P2": ("acme popular NAME, cached, table", 0, 0.95),
    "P3": ("acme popular NAME --json, cold, less two latencies", 2, 0.80),
    "P4": ("the same, expired, less one latency", 1, 0.80),
}
"""What is measured, how many rounds of requests it takes, and the target."""


def measure(plan: Plan, wanted: set[str]) -> list[Row]:
    """Measure those of P1 to P4 that are wanted."""
    with serving(users=200, products=1000, purchases=2000) as server:
        username = typical_user(server, plan)
        server.latency(LATENCY)
        return _measure(plan, wanted, server, username)


def typical_user(server: Server, plan: Plan) -> str:
    """Return one with five products, of which each fits a page that proves to be the last."""
    for name in server.usernames():
        command = [ACME, "popular", name, "--json", "--fields", "purchases", "--api-url", server.url]
        answer = timed(command, plan.environment())[1]
        counts = [product["purchases"] for product in json.loads(answer)]
        if len(counts) == 5 and max(counts) < 10:
            return name
    raise AssertionError("the made-up data has such users")


def _measure(plan: Plan, wanted: set[str], server: Server, username: str) -> list[Row]:
    environment = plan.environment()
    fresh = (str(plan.scratch / f"cold-{number}") for number in itertools.count())
    filled = str(plan.scratch / "filled")
    answers: list[bytes] = []
    taken_rounds: dict[int, list[int]] = {1: [], 2: []}

    def acme(cache: str, *options: str) -> float:
        command = [ACME, "popular", username, "--api-url", server.url, "--cache-dir", cache, *options]
        seconds, answer = timed(command, environment)
        if "--json" in options:
            answers.append(answer)
        return seconds

    def asking(cache: str, rounds: int, *options: str) -> float:
        seconds = acme(cache, "--json", *options)
        taken_rounds[rounds].append(server.log().rounds)
        return seconds

    def cold() -> float:
        folder = next(fresh)
        seconds = asking(folder, 2)
        shutil.rmtree(folder)
        return seconds

    def python(code: str) -> Callable[[], float]:
        return lambda: timed([sys.executable, "-c", code], environment)[0]

    ways: dict[str, Callable[[], float]] = {
        "P1": lambda: acme(filled, "--json"),
        "P2": lambda: acme(filled),
        "P3": cold,
        "P4": lambda: asking(filled, 1, "--ttl", "1ms"),
    }
    imports = {number: IMPORTS["P3" if number == "P4" else number] for number in ways if number in wanted}
    acme(filled, "--json")
    server.log()
    taken = in_turn(
        plan.runs(21, 5),
        {number: ways[number] for number in imports} | {code: python(code) for code in imports.values()},
    )
    same(f"acme popular {username} --json", answers)
    for rounds, seen in taken_rounds.items():
        # A machine that stands still for a whole latency tears one round in two.
        same("rounds of requests", [rounds, min(seen, default=rounds)])
    rows = []
    for number, code in imports.items():
        what, rounds, target = ROWS[number]
        rest = [seconds - rounds * LATENCY for seconds in taken[number]]
        rows.append(Row(number, what, "ms", rest, taken[code], target, f'python -c "{code}"', scale=1000))
    return rows
