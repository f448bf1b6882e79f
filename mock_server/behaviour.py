"""How the server behaves beside what it knows: latency, made-up failures, and the styles it departs in."""

import re
from collections.abc import Iterable

from mock_server.errors import MockServerError

STYLES = {
    "snake": "the contract itself (the default)",
    "camel": "productId for product_id",
    "bare": "a user or product without its envelope",
    "empty": "what is missing is 200 with {}, its list []",
    "no-purchases-404": "404 for a user's list without purchases",
    "exclusive": "limit=100 gives at most 99 rows",
    "capped": "never more than 50 rows",
}
"""Every style with its meaning. All but snake and camel can be combined freely."""

FAULTS = {
    "error": "500 or 503 (the default)",
    "busy": "429 with Retry-After: 1",
    "slow": "the body takes ten seconds",
    "cut": "the body ends halfway",
}
"""Every fault that a request can have, with its meaning."""

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}
_LONGEST = 3600
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", re.ASCII)


class Behaviour:
    """Latency in seconds as (least, most), the share of requests that have one of `faults`, and styles.

    With a seed, latencies and faults are the same ones every time. Raises MockServerError for an error rate outside
    0 to 1, faults without one, an unknown fault or style, or styles that exclude each other.
    """

    def __init__(
        self,
        latency: tuple[float, float] = (0.5, 1.0),
        error_rate: float = 0.0,
        styles: Iterable[str] = (),
        seed: int | None = None,
        faults: Iterable[str] = (),
    ) -> None:
        import random  # the command's help needs STYLES, not this

        if not 0 <= error_rate <= 1:
            raise MockServerError(f"--error-rate {error_rate:g}: give a number from 0 (never) to 1 (always)")
        self.latency = latency
        self.error_rate = error_rate
        self.styles = frozenset(styles)
        if unknown := sorted(self.styles - STYLES.keys()):
            raise MockServerError(f"--style {unknown[0]!r} is not known; choose from {', '.join(STYLES)}")
        if {"snake", "camel"} <= self.styles:
            raise MockServerError("--style snake and --style camel exclude each other; leave one out")
        self.faults = tuple(dict.fromkeys(faults)) or ("error",)
        if unknown := sorted(set(self.faults) - FAULTS.keys()):
            raise MockServerError(f"--fault {unknown[0]!r} is not known; choose from {', '.join(FAULTS)}")
        if error_rate == 0 and faults:
            raise MockServerError(
                f"--fault {self.faults[0]} happens to no request; add --error-rate 0.1, or another rate"
            )
        self._random = random.Random(seed)  # noqa: S311  no secrets

    def delay(self) -> float:
        """Seconds that the next request waits."""
        return self._random.uniform(*self.latency)

    def fault(self) -> str | None:
        """The fault that the next request has, `error` as its status 500 or 503, or None when it has none."""
        if self._random.random() >= self.error_rate:
            return None
        fault = self._random.choice(self.faults)
        return self._random.choice(("500", "503")) if fault == "error" else fault


def parse_latency(text: str) -> tuple[float, float]:
    """The least and the most seconds in `500ms-1s`, `2s`, `0`, …; raises MockServerError when it is neither.

    A number without a unit is in seconds.
    """
    ends = [_DURATION.fullmatch(part.strip()) for part in text.split("-", 1)]
    seconds = [float(end[1]) * _SECONDS[end[2]] for end in ends if end]
    if len(seconds) != len(ends):
        raise MockServerError(f"--latency {text!r}: give a duration or a range, such as 0, 200ms, 2s or 500ms-1s")
    if max(seconds) > _LONGEST:
        raise MockServerError(f"--latency {text!r} is too long; give at most 1h")
    if seconds[0] > seconds[-1]:
        raise MockServerError(
            f"--latency {text!r} goes from {seconds[0]:g} s down to {seconds[-1]:g} s; "
            "give the shorter end first, each with its unit"
        )
    return seconds[0], seconds[-1]
