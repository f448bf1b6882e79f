"""The ranking: the examples of its rules, and what holds for all data."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli import ranking
from acme_cli.models import PopularProduct, Product, Purchase, Purchases

Candidate = tuple[int, Product | None, Sequence[Purchase]]

brisk = settings(max_examples=60, deadline=None, derandomize=True)


def rank(
    candidates: Iterable[Candidate], *, excluded: Collection[str] = (), since: int | None = None
) -> list[PopularProduct]:
    """Return the ranking of products with their purchases."""
    tallies = [
        ranking.Tally(product_id, product, Purchases.of(purchases), since=since, by_buyer=bool(excluded))
        for product_id, product, purchases in candidates
    ]
    return ranking.rank(tallies, excluded=excluded)


def bought(product_id: int, *purchases: tuple[str, int | None]) -> Candidate:
    product = Product(product_id, f"({product_id})", 10 * product_id, product_id)
    return product_id, product, [Purchase(name, date) for name, date in purchases]


def test_nothing_bought() -> None:
    assert rank([]) == []


def test_more_purchases_rank_higher_and_ties_keep_their_order() -> None:
    ranked = rank([bought(3, ("ann", 1)), bought(1, ("ann", 1), ("bob", 2)), bought(2, ("cy", 9)), bought(4)])
    assert [(one.rank, one.id, one.purchases) for one in ranked] == [(1, 1, 2), (2, 3, 1), (3, 2, 1), (4, 4, 0)]


def test_whoever_bought_three_times_counts_three_times_and_is_named_once() -> None:
    (one,) = rank([bought(7, ("ann", 1), ("bob", 2), ("ann", 3), ("ann", 2))])
    assert one == PopularProduct(1, 7, "(7)", 70, 7, ("ann", "bob"), purchases=4, buyers=2, last_purchased=3)


def test_names_stand_newest_first_and_equal_or_missing_dates_keep_the_order() -> None:
    names = [("a", None), ("b", 5), ("c", 9), ("d", 5), ("e", None), ("f", -1), ("b", 9)]
    (one,) = rank([bought(7, *names)])
    assert one.recent == ("c", "b", "d", "f", "a", "e")
    assert one.last_purchased == 9


def test_nobody_bought_it_with_a_date() -> None:
    (one,) = rank([bought(7, ("b", None), ("a", None))])
    assert (one.recent, one.last_purchased) == (("b", "a"), None)


def test_a_product_whose_details_are_gone_stays() -> None:
    (one,) = rank([(7, None, [Purchase("ann", 1)])])
    assert (one.id, one.face, one.price, one.size, one.recent) == (7, None, None, None, ("ann",))


def test_the_users_own_purchases_count_unless_excluded() -> None:
    candidates = [bought(1, ("me", 3), ("me", 2), ("ann", 1)), bought(2, ("ann", 1), ("bob", 2))]
    assert [(one.id, one.recent) for one in rank(candidates)] == [(1, ("me", "ann")), (2, ("bob", "ann"))]
    excluding = rank(candidates, excluded={"me", "ME"})
    assert [(one.id, one.recent, one.purchases) for one in excluding] == [(2, ("bob", "ann"), 2), (1, ("ann",), 1)]


def test_only_what_was_bought_since_counts() -> None:
    since = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp() * 1_000_000)
    candidates = [
        bought(1, ("early", since - 1), ("undated", None), ("older", since - 10**12)),
        bought(2, ("on time", since), ("later", since + 1)),
    ]
    ranked = rank(candidates, since=since)
    assert [(one.id, one.recent, one.purchases) for one in ranked] == [(2, ("later", "on time"), 2), (1, (), 0)]
    assert ranked[1].last_purchased is None
    assert ranked[1].face == "(1)"


names = st.sampled_from(["ann", "bob", "cy", "Ann", "é", "e\u0301"])
dates = st.none() | st.integers(-3, 3)


def basket(drawn: list[tuple[bool, list[tuple[str, int | None]]]]) -> list[Candidate]:
    candidates = [bought(number, *purchases) for number, (_, purchases) in enumerate(drawn)]
    return [
        (number, product if known else None, purchases)
        for (number, product, purchases), (known, _) in zip(candidates, drawn, strict=True)
    ]


baskets = st.lists(st.tuples(st.booleans(), st.lists(st.tuples(names, dates), max_size=8)), max_size=6).map(basket)


def expected(candidates: list[Candidate], excluded: set[str], since: int | None) -> list[tuple[object, ...]]:
    """The same by another road: newest first by repeated search, places by counting who is before."""
    counted = []
    for product_id, product, purchases in candidates:
        left = [one for one in purchases if one.username not in excluded]
        if since is not None:
            left = [one for one in left if one.date is not None and one.date >= since]
        order = []
        remaining = list(left)
        while remaining:
            newest = max((one.date for one in remaining if one.date is not None), default=None)
            order.append(remaining.pop(next(i for i, one in enumerate(remaining) if one.date == newest)))
        seen: list[str] = []
        for one in order:
            if one.username not in seen:
                seen.append(one.username)
        known = product or Product(product_id)
        counted.append((product_id, known.face, known.price, known.size, tuple(seen), len(left)))
    places = [
        1 + sum(other[-1] > one[-1] or (other[-1] == one[-1] and index < place) for index, other in enumerate(counted))
        for place, one in enumerate(counted)
    ]
    return [one for _, one in sorted(zip(places, counted, strict=True))]


@brisk
@given(baskets, st.sets(names, max_size=2), st.none() | st.integers(-3, 3))
def test_ranking_is_what_another_computation_says(
    candidates: list[Candidate], excluded: set[str], since: int | None
) -> None:
    ranked = rank(candidates, excluded=excluded, since=since)
    shown = [(one.id, one.face, one.price, one.size, one.recent, one.purchases) for one in ranked]
    assert shown == expected(candidates, excluded, since)
    assert [one.rank for one in ranked] == list(range(1, len(candidates) + 1))
    assert all(one.buyers == len(set(one.recent)) == len(one.recent) <= one.purchases for one in ranked)
    for one in ranked:
        purchases = next(purchases for product_id, _, purchases in candidates if product_id == one.id)
        counting = Counter(purchase.username for purchase in purchases if purchase.username in one.recent)
        assert since is not None or one.purchases == sum(counting.values())
        assert one.last_purchased is None or one.last_purchased in {purchase.date for purchase in purchases}


@brisk
@given(baskets, st.integers())
def test_the_order_of_candidates_decides_ties_only(candidates: list[Candidate], seed: int) -> None:
    shuffled = list(candidates)
    Random(seed).shuffle(shuffled)
    before, after = rank(candidates), rank(shuffled)
    assert [one.purchases for one in before] == [one.purchases for one in after]
    assert {one.id: one.recent for one in before} == {one.id: one.recent for one in after}


@brisk
@given(baskets)
def test_what_is_given_is_left_as_it_was(candidates: list[Candidate]) -> None:
    copies = [(product_id, product, list(purchases)) for product_id, product, purchases in candidates]
    assert rank(candidates) == rank(iter(candidates))
    assert candidates == copies


@pytest.mark.parametrize("count", [11, 99, 100, 101, 25_000])
def test_many_purchases(count: int) -> None:
    purchases = [Purchase(f"user {number % 1_000}", number) for number in range(count)]
    (one,) = rank([(7, None, purchases)])
    assert (one.purchases, one.buyers, one.last_purchased) == (count, min(count, 1_000), count - 1)
    assert one.recent[0] == f"user {(count - 1) % 1_000}"
