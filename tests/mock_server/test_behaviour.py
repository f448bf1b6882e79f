"""Latency, failures and styles, without a server."""

from collections import Counter

import pytest

from mock_server.behaviour import STYLES, Behaviour, parse_latency
from mock_server.errors import MockServerError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms-1s", (0.5, 1)),
        ("0", (0, 0)),
        ("0-0", (0, 0)),
        ("0.25", (0.25, 0.25)),
        ("1.5s - 2", (1.5, 2)),
        ("1m", (60, 60)),
        ("1h", (3600, 3600)),
    ],
)
def test_latency(text: str, seconds: tuple[float, float]) -> None:
    assert parse_latency(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'': give a duration or a range"),
        ("fast", "'fast': give a duration or a range"),
        ("-1s", "'-1s': give a duration or a range"),
        ("1s-", "'1s-': give a duration or a range"),
        ("1s-2s-3s", "'1s-2s-3s': give a duration or a range"),
        ("1e3", "'1e3': give a duration or a range"),
        ("nan", "'nan': give a duration or a range"),
        ("١s", "'١s': give a duration or a range"),
        ("2h", "'2h' is too long; give at most 1h"),
        ("9" * 400, "is too long; give at most 1h"),
        ("500-800ms", "'500-800ms' goes from 500 s down to 0.8 s; give the shorter end first, each with its unit"),
    ],
)
def test_bad_latency_is_refused(text: str, message: str) -> None:
    with pytest.raises(MockServerError) as caught:
        parse_latency(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_bad_error_rate_is_refused(rate: float) -> None:
    with pytest.raises(MockServerError, match="give a number from 0"):
        Behaviour(error_rate=rate)


def test_unknown_style_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(MockServerError) as caught:
        Behaviour(styles=["camel", "kebab"])
    assert str(caught.value) == f"--style 'kebab' is not known; choose from {', '.join(STYLES)}"


def test_styles_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(MockServerError, match="exclude each other"):
        Behaviour(styles=["camel", "snake"])


def test_faults_are_chosen_from_those_that_were_asked_for() -> None:
    behaviour = Behaviour(error_rate=1, faults=["slow", "cut", "slow"], seed=1)
    assert {behaviour.fault() for _ in range(100)} == {"slow", "cut"}


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(MockServerError, match="--fault 'fire' is not known; choose from error, busy, slow, cut"):
        Behaviour(error_rate=1, faults=["fire"])


def test_faults_without_a_rate_are_refused() -> None:
    with pytest.raises(MockServerError, match="--fault slow happens to no request"):
        Behaviour(faults=["slow"])


def test_a_seed_repeats_latencies_and_failures() -> None:
    def draws(seed: int) -> list[object]:
        behaviour = Behaviour((0.1, 0.2), 0.5, seed=seed)
        return [(behaviour.delay(), behaviour.fault()) for _ in range(50)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)


def test_delays_and_failures_keep_to_their_bounds() -> None:
    behaviour = Behaviour((0.1, 0.2), 0.2, seed=1)
    delays = [behaviour.delay() for _ in range(1000)]
    assert 0.1 <= min(delays) < 0.11
    assert 0.19 < max(delays) <= 0.2
    failures = Counter(behaviour.fault() for _ in range(10_000))
    assert failures.keys() == {None, "500", "503"}
    assert 1800 < failures["500"] + failures["503"] < 2200
    assert 800 < failures["500"] < 1200
    assert {Behaviour(error_rate=1).fault() for _ in range(100)} == {"500", "503"}
    assert {Behaviour(error_rate=0).fault() for _ in range(100)} == {None}
