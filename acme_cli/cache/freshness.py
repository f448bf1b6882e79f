"""What a stored response is good for, given its age: pure, without a clock."""

from enum import Enum

import msgspec


class Policy(msgspec.Struct, frozen=True):
    """How long (seconds) a response is fresh, and how long past that it may stand in for a failed request."""

    ttl: float
    max_stale: float
    refresh: bool = False
    offline: bool = False

    def fresh_after(self, now: float) -> float:
        """Return when a response must have been fetched to be fresh at `now`: after that, and not after `now`.

        One from the future (the clock was set back) is not fresh, but may stand in.
        """
        return now if self.refresh else now - self.ttl


class Standing(Enum):
    """What a stored response may be used for."""

    FRESH = "answers at once"
    STALE = "answers if the API cannot"
    EXPIRED = "may only be revalidated"


def standing(fetched_at: float, now: float, policy: Policy) -> Standing:
    """Return what a response fetched at `fetched_at` (seconds) may be used for at `now`."""
    if policy.fresh_after(now) < fetched_at <= now:
        return Standing.FRESH
    return Standing.STALE if now - fetched_at <= policy.ttl + policy.max_stale else Standing.EXPIRED
