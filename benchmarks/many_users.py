"""P5 to P7 and P9: thousands of users through the library call, next to bare httpx and a bare diskcache."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Row
from benchmarks.runs import Plan, in_turn, same, side
from benchmarks.serving import Server, serving
from benchmarks.sides.figures import Figures

THREADS = 16
LATENCY = 0.1
USERS_A_PRODUCT = 4
PURCHASES_A_USER = 5


class Shop:
    """A server of so many users, and the ways to ask for all of them."""

    def __init__(self, plan: Plan, server: Server, users: int) -> None:
        self._cold = plan.scratch / f"cold-{users}"
        self._filled = plan.scratch / f"filled-{users}"
        self._plain = plan.scratch / f"plain-{users}"
        self._names = plan.scratch / f"names-{users}"
        self._urls = plan.scratch / f"urls-{users}"
        self._plan = plan
        self._outcomes: set[str] = set()
        self.server = server
        self.users = users
        self._names.write_text("\n".join(server.usernames()), "utf-8")
        self._acme(self._filled)
        asked = server.log()
        self.requests = len(asked.targets)
        self._sent = asked.sent
        self._urls.write_text("\n".join(f"{server.url}{target}" for target in asked.targets), "utf-8")

    def cold(self) -> Figures:
        """Ask for all, with nothing stored."""
        shutil.rmtree(self._cold, ignore_errors=True)
        figures = self._acme(self._cold)
        asked = self.server.log()
        same("requests and bytes of a cold run", [(self.requests, self._sent), (len(asked.targets), asked.sent)])
        return figures

    def cached(self) -> Figures:
        """Ask for all, with everything stored."""
        figures = self._acme(self._filled)
        same("requests of a cached run", [0, len(self.server.log().targets)])
        return figures

    def bare_requests(self) -> Figures:
        """Ask for the same URLs with bare httpx."""
        figures = side("bare_requests", [self._urls], self._plan.environment())
        self.server.log()
        same("bytes received", [str(self._sent), figures.outcome])
        return figures

    def bare_cache(self) -> Figures:
        """Get and decode the same entries from a bare diskcache."""
        if not self._plain.exists():
            side("bare_cache", [self._plain, self._filled], self._plan.environment())
        return side("bare_cache", [self._plain], self._plan.environment())

    def _acme(self, cache: Path) -> Figures:
        environment = self._plan.environment(
            ACME_API_URL=self.server.url, ACME_CACHE_DIR=str(cache), ACME_CONCURRENCY=str(THREADS), ACME_TTL="1h"
        )
        figures = side("rankings", [self._names], environment)
        self._outcomes.add(figures.outcome)
        same("rankings", list(self._outcomes))
        return figures


@contextmanager
def opened(plan: Plan, users: int) -> Iterator[Shop]:
    """Give a shop that grows in all its parts with its users."""
    with serving(users=users, products=users // USERS_A_PRODUCT, purchases=users * PURCHASES_A_USER) as server:
        yield Shop(plan, server, users)


def measure(plan: Plan, wanted: set[str]) -> list[Row]:
    """Measure those of P5 to P7 that are wanted."""
    rows: list[Row] = []
    users = 400 if plan.quick else 2000
    with opened(plan, users) as shop:
        if "P5" in wanted:
            rows += _p5(plan, shop)
        if "P6" in wanted:
            rows += _p6(plan, shop)
        if "P7" in wanted:
            rows += _p7(plan, shop)
    return rows


def _p5(plan: Plan, shop: Shop) -> list[Row]:
    taken = in_turn(plan.runs(7, 3), {"ours": shop.cold, "theirs": shop.bare_requests})
    against = f"httpx.Client and {THREADS} threads, the same {shop.requests:,} URLs, nothing parsed or kept"
    return [
        Row(
            "P5",
            f"{shop.users:,} users cold, {kind} a request",
            "µs",
            [getattr(figures, figure) / shop.requests for figures in taken["ours"]],
            [getattr(figures, figure) / shop.requests for figures in taken["theirs"]],
            0.65,
            against,
            scale=1e6,
        )
        for kind, figure in (("CPU", "cpu"), ("wall", "wall"))
    ]


def _p6(plan: Plan, shop: Shop) -> list[Row]:
    shop.server.latency(LATENCY)
    walls = [shop.cold().wall for _ in range(plan.runs(3))]
    shop.server.latency(0)
    least = shop.requests * LATENCY / THREADS
    against = f"{shop.requests:,} requests × {1000 * LATENCY:.0f} ms / {THREADS}"
    return [Row("P6", f"{shop.users:,} users cold, latency 100 ms", "s", walls, [least], 1.08, against)]


def _p7(plan: Plan, shop: Shop) -> list[Row]:
    taken = in_turn(plan.runs(9, 5), {"ours": shop.cached, "theirs": shop.bare_cache})
    walls = {name: [figures.wall for figures in all_of] for name, all_of in taken.items()}
    against = f"diskcache.Cache.get and msgspec.json.decode of the same {taken['theirs'][0].outcome} entries"
    return [Row("P7", f"{shop.users:,} users cached", "ms", walls["ours"], walls["theirs"], 1.0, against, scale=1000)]


def growth(plan: Plan, _wanted: set[str]) -> list[Row]:
    """Measure P9: the cost of one user among many, next to that of one among few."""
    sizes = (250, 1000) if plan.quick else (500, 2000, 8000)
    with opened(plan, sizes[0]) as few:
        rows = []
        for size in sizes[1:]:
            with opened(plan, size) as many:
                rows += _growth(plan, few, many)
    return rows


def _growth(plan: Plan, few: Shop, many: Shop) -> list[Row]:
    # The small runs are short and so the noisier ones: they are repeated as often as their size allows.
    rows = []
    for what, runs in (("cold", plan.runs(3)), ("cached", plan.runs(5, 3))):
        again = min(4, many.users // few.users)
        walls: dict[Shop, list[float]] = {few: [], many: []}
        for _ in range(runs):
            for shop in (*[few] * again, many):
                walls[shop].append(getattr(shop, what)().wall / shop.users)
        label, against = f"{many.users:,} users {what}, a user", f"the same with {few.users:,} users"
        rows.append(Row("P9", label, "ms", walls[many], walls[few], 1.1, against, scale=1000))
    return rows
