"""What a stored response is good for, by its age."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_cli.cache.freshness import Policy, Standing, standing

FRESH, STALE, EXPIRED = Standing.FRESH, Standing.STALE, Standing.EXPIRED
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("age", "usual", "refreshing"),
    [
        (0, FRESH, STALE),
        (0.001, FRESH, STALE),
        (599, FRESH, STALE),
        (600, STALE, STALE),
        (601, STALE, STALE),
        (4_200, STALE, STALE),
        (4_201, EXPIRED, EXPIRED),
        (1e9, EXPIRED, EXPIRED),
        (float("inf"), EXPIRED, EXPIRED),
        (float("nan"), EXPIRED, EXPIRED),
        (-1, STALE, STALE),
        (-1e9, STALE, STALE),
    ],
)
@pytest.mark.parametrize("offline", [False, True])
def test_standing(age: float, usual: Standing, refreshing: Standing, offline: bool) -> None:
    policy = Policy(ttl=600, max_stale=3_600, offline=offline)
    assert standing(NOW - age, NOW, policy) is usual
    assert standing(NOW - age, NOW, Policy(600, 3_600, refresh=True, offline=offline)) is refreshing


def test_with_a_ttl_of_zero_nothing_is_fresh() -> None:
    assert standing(NOW, NOW, Policy(ttl=0, max_stale=0)) is STALE
    assert standing(NOW - 1, NOW, Policy(ttl=0, max_stale=0)) is EXPIRED


@given(st.floats(0, 1e10), st.floats(0, 1e10), st.floats(0, 1e9), st.floats(0, 1e9), st.booleans())
def test_nothing_gets_better_with_age(first: float, second: float, ttl: float, max_stale: float, refresh: bool) -> None:
    order = [FRESH, STALE, EXPIRED]
    policy = Policy(ttl, max_stale, refresh=refresh)
    ages = sorted([first, second])
    younger, older = (order.index(standing(NOW - age, NOW, policy)) for age in ages)
    assert younger <= older
