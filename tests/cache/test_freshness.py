"""What a stored response is good for, by its age."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_cli.cache.freshness import Policy

Standing = Literal["fresh", "stale", "expired"]
NOW = 1_800_000_000.0


def standing(fetched_at: float, policy: Policy) -> Standing:
    if policy.fresh_after(NOW) < fetched_at <= NOW:
        return "fresh"
    return "stale" if policy.may_stand_in(fetched_at, NOW) else "expired"


@pytest.mark.parametrize(
    ("age", "usual", "refreshing"),
    [
        (0, "fresh", "stale"),
        (0.001, "fresh", "stale"),
        (599, "fresh", "stale"),
        (600, "stale", "stale"),
        (601, "stale", "stale"),
        (4_200, "stale", "stale"),
        (4_201, "expired", "expired"),
        (1e9, "expired", "expired"),
        (float("inf"), "expired", "expired"),
        (float("nan"), "expired", "expired"),
        (-1, "stale", "stale"),
        (-1e9, "stale", "stale"),
    ],
)
@pytest.mark.parametrize("offline", [False, True])
def test_standing(age: float, usual: Standing, refreshing: Standing, offline: bool) -> None:
    policy = Policy(ttl=600, max_stale=3_600, offline=offline)
    assert standing(NOW - age, policy) == usual
    assert standing(NOW - age, Policy(600, 3_600, refresh=True, offline=offline)) == refreshing


def test_with_a_ttl_of_zero_nothing_is_fresh() -> None:
    assert standing(NOW, Policy(ttl=0, max_stale=0)) == "stale"
    assert standing(NOW - 1, Policy(ttl=0, max_stale=0)) == "expired"


@given(st.floats(0, 1e10), st.floats(0, 1e10), st.floats(0, 1e9), st.floats(0, 1e9), st.booleans())
def test_nothing_gets_better_with_age(first: float, second: float, ttl: float, max_stale: float, refresh: bool) -> None:
    order: list[Standing] = ["fresh", "stale", "expired"]
    policy = Policy(ttl, max_stale, refresh=refresh)
    ages = sorted([first, second])
    younger, older = (order.index(standing(NOW - age, policy)) for age in ages)
    assert younger <= older
