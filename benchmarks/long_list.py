"""P8: one product that very many have bought, so that one list takes a thousand pages."""

from math import log2

from benchmarks.report import Row
from benchmarks.runs import Plan, same, side
from benchmarks.serving import serving

CONCURRENCY = 16
PAGE_SIZE = 1000
LATENCY = 0.1
MOST_MEMORY = 300e6


def measure(plan: Plan, _wanted: set[str]) -> list[Row]:
    """Measure rounds and memory."""
    purchases, users = (100_000, 20_000) if plan.quick else (1_000_000, 200_000)
    with serving(users=users, products=1, purchases=purchases) as server:
        names = plan.scratch / "one-name"
        names.write_text("\n".join(server.usernames()[:3]), "utf-8")
        environment = plan.environment(
            ACME_API_URL=server.url,
            ACME_CONCURRENCY=str(CONCURRENCY),
            ACME_PAGE_SIZE=str(PAGE_SIZE),
        )
        taken = []
        for run in range(plan.runs(3)):
            taken.append(side("rankings", [names], environment | {"ACME_CACHE_DIR": str(plan.scratch / f"long-{run}")}))
        server.log()
        server.latency(LATENCY)  # without any, which requests overlap is chance
        slow = side("rankings", [names], environment | {"ACME_CACHE_DIR": str(plan.scratch / "long-slow")})
        asked = server.log()
    same("rankings", [slow.outcome, *(figures.outcome for figures in taken)])
    pages = purchases // PAGE_SIZE
    bound = 2 + log2(CONCURRENCY) + pages / CONCURRENCY
    memory = [float(figures.after - figures.before) for figures in taken]
    what = f"{purchases:,} purchases of one product"
    return [
        Row(
            "P8",
            f"{what}, rounds",
            "",
            [asked.rounds],
            [bound],
            1.0,
            f"2 + log2({CONCURRENCY}) + {pages:,} pages / {CONCURRENCY} rounds",
        ),
        Row(
            "P8",
            f"{what}, memory",
            "MB",
            memory,
            [MOST_MEMORY],
            1.0,
            "300 MB over the same process before it asks",
            scale=1e-6,
        ),
    ]
