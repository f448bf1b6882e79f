"""What a stored response is good for, given its age: pure, without a clock."""

import msgspec


class Policy(msgspec.Struct, frozen=True):
    """How long (seconds) a response is fresh, and how long past that it may stand in for a failed request."""

    ttl: float
    max_stale: float
    refresh: bool = False
    offline: bool = False

    def fresh_after(self, now: float) -> float:
        """Return the time of fetching from which on, up to `now`, a response is fresh: itself not included.

        One from the future (the clock was set back) is not fresh, but may stand in.
        """
        return now if self.refresh else now - self.ttl

    def may_stand_in(self, fetched_at: float, now: float) -> bool:
        """Return whether a response that is not fresh answers where the API cannot; else it may be revalidated only."""
        return now - fetched_at <= self.ttl + self.max_stale
