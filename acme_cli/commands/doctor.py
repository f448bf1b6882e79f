"""`acme doctor`: is everything as it should be, and if not, what mends it."""

from .options import CACHE, CONNECTION, JSON, STREAMS, Run, shared


@shared(JSON, STREAMS, CONNECTION, CACHE)
def doctor(run: Run) -> None:
    """Check configuration, API and cache."""
