"""What a user would pick instead: the same answers from the scripts in `peers`."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.one_user import LATENCY, typical_user
from benchmarks.report import Row
from benchmarks.runs import ACME, Plan, in_turn, same, timed
from benchmarks.serving import Server, serving

FOLDER = Path(__file__).parent / "peers"
FIELDS = ("id", "face", "price", "size", "recent")
TOGETHER = 50


class Peer(NamedTuple):
    """A script that answers as acme does; it takes a base URL and usernames."""

    name: str
    command: tuple[str, ...]
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def lacking(self) -> list[str]:
        """Return what it needs and is not installed."""
        programs = [program for program in self.programs if shutil.which(program) is None]
        return programs + [module for module in self.modules if importlib.util.find_spec(module) is None]


PEERS = (
    Peer("curl + jq + xargs", ("bash", str(FOLDER / "popular.sh")), programs=("bash", "curl", "jq", "xargs")),
    Peer(
        "requests + requests-cache",
        (sys.executable, str(FOLDER / "plain_requests.py")),
        modules=("requests", "requests_cache"),
    ),
    Peer("httpx + hishel", (sys.executable, str(FOLDER / "httpx_hishel.py")), modules=("hishel", "anysqlite")),
)


def measure(plan: Plan, _wanted: set[str]) -> list[Row]:
    """Measure all that are installed, and say which are not."""
    peers = [peer for peer in PEERS if not peer.lacking()]
    for peer in PEERS:
        if peer not in peers:
            print(f"{peer.name}: not installed ({', '.join(peer.lacking())}); left out")
    with serving(users=200, products=1000, purchases=2000) as server:
        username = typical_user(server, plan)
        names = server.usernames()[:TOGETHER]
        server.latency(LATENCY)
        rows = [*_alone(plan, peers, server.url, username, cold=True)]
        rows += _alone(plan, peers, server.url, username, cold=False)
        server.latency(0)
        rows += _together(plan, peers, server, names)
    return rows


def _alone(plan: Plan, peers: Sequence[Peer], url: str, username: str, *, cold: bool) -> list[Row]:
    answers: list[Any] = []

    def way(command: Sequence[str], name: str) -> Callable[[], float]:
        return lambda: _asked(plan, command, name, answers, cold=cold)

    ways = {"acme": way([ACME, "popular", username, "--json", "--api-url", url], "acme")}
    ways |= {peer.name: way([*peer.command, url, username], peer.name) for peer in peers}
    taken = in_turn(plan.runs(7), ways)
    same(f"popular purchases of {username}", answers)
    what = f"one user {'cold' if cold else 'again'}, {1000 * LATENCY:.0f} ms"
    return _rows(what, taken)


def _together(plan: Plan, peers: Sequence[Peer], server: Server, names: Sequence[str]) -> list[Row]:
    if subprocess.run([ACME, "report", "--help"], capture_output=True, check=False).returncode != 0:
        print(f"{len(names)} users cold: there is no `acme report` yet; left out")
        return []
    answers: list[Any] = []

    def report() -> float:
        command = [ACME, "report", "-", "--format", "ndjson", "--api-url", server.url]
        return _asked(plan, command, "acme", answers, cold=True, given="\n".join(names))

    def way(peer: Peer) -> Callable[[], float]:
        return lambda: _asked(plan, [*peer.command, server.url, *names], peer.name, answers, cold=True)

    taken = in_turn(plan.runs(3), {"acme": report} | {peer.name: way(peer) for peer in peers})
    same(f"popular purchases of {len(names)} users", answers)
    return _rows(f"{len(names)} users cold, no latency", taken)


def _asked(plan: Plan, command: Sequence[str], name: str, answers: list[Any], *, cold: bool, given: str = "") -> float:
    """Run with the name's own home, emptied if `cold`, and add the answer, a list of products each user."""
    home = plan.scratch / f"home of {name}"
    if cold:
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(exist_ok=True)
    seconds, output = timed(command, plan.environment(HOME=str(home)), given.encode())
    answers.append([_products(json.loads(line)) for line in output.splitlines()])
    return seconds


def _products(answer: Any) -> list[dict[str, Any]]:
    products = answer if isinstance(answer, list) else answer["products"]
    return [{field: product[field] for field in FIELDS} for product in products]


def _rows(what: str, taken: dict[str, list[float]]) -> list[Row]:
    ours = taken.pop("acme")
    return [
        Row(
            "peers",
            f"{what}: {name}",
            "ms",
            ours,
            theirs,
            1.0,
            f"the scripts in benchmarks/peers; {1000 * LATENCY:.0f} ms is the latency of each request",
            scale=1000,
        )
        for name, theirs in taken.items()
    ]
