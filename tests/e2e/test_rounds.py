"""How many requests an answer takes, in how many rounds, and that the order in which responses arrive is no matter."""

import random
from collections.abc import Callable
from math import log2
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

MakeShop = Callable[..., "Shop"]
CONCURRENCY = 16
LENGTHS = [0, 11, 49, 50, 51, 99, 100, 101, 150, 199, 200, 201]


def counted(acme: "Acme", url: str, *options: str, name: str = "ann") -> dict[int, int]:
    answer = acme("popular", name, "--json", "--fields", "id,purchases", "--api-url", url, *options).json
    return {product["id"]: product["purchases"] for product in answer}


@pytest.mark.parametrize("style", ["", "exclusive_limit", "capped", "exclusive_limit capped"])
def test_lists_of_every_length_are_read_to_their_end(
    acme: "Acme", api: "Server", make_shop: MakeShop, style: str
) -> None:
    shop = make_shop({number: max(length, 1) for number, length in enumerate(LENGTHS)}, *style.split())
    shop.by_product[0] = []
    counts = counted(acme, api.url(shop), "--limit", str(len(LENGTHS) + 1))
    assert counts == dict(enumerate(LENGTHS))
    assert len(shop.paths()) == len(set(shop.paths()))  # A3: none twice


@pytest.mark.parametrize(("style", "rows"), [("", 100), ("exclusive_limit", 99), ("capped", 50)])
def test_a_long_list_takes_few_rounds(acme: "Acme", api: "Server", make_shop: MakeShop, style: str, rows: int) -> None:
    shop = make_shop({1: 25_000, 2: 3}, *style.split())
    shop.latency = lambda path: 0.1
    assert counted(acme, api.url(shop)) == {1: 25_000, 2: 3}
    pages = 25_000 // rows + 1
    to_settle_a_cap = style == "capped"
    assert shop.rounds() <= 2 + to_settle_a_cap + log2(CONCURRENCY) + pages / CONCURRENCY
    of_the_longest = [path for path in shop.paths() if path.startswith("purchases/by_product/1?")]
    assert pages <= len(of_the_longest) == len(set(of_the_longest)) < pages + CONCURRENCY


def test_a_list_as_long_as_the_cap_does_not_hide_that_there_is_one(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 50, 2: 230}, "capped")
    shop.latency = lambda path: 0.1 if path.startswith("purchases/by_product/2") else 0.0
    assert counted(acme, api.url(shop)) == {2: 230, 1: 50}


def test_what_was_learned_of_a_cap_from_one_user_is_right_for_the_next(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 50, 2: 230}, "capped")
    shop.by_user["ann"] = shop.by_product[1][:1]
    shop.by_user["bob"] = shop.by_product[2][:1]
    assert counted(acme, api.url(shop), name="ann") == {1: 50}
    assert counted(acme, api.url(shop), name="bob") == {2: 230}


def test_a2_the_same_bytes_in_whatever_order_responses_arrive(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 120, 2: 60, 3: 3, 4: 60}, "capped")
    draw = random.Random(2)
    shop.latency = lambda path: draw.uniform(0, 0.05)
    url = api.url(shop)
    answers = {acme("popular", "ann", "--json", "--no-cache", "--api-url", url).out_bytes for _ in range(6)}
    assert len(answers) == 1


def test_a3_a_fresh_answer_makes_no_request_and_users_share_what_they_bought(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 12, 2: 3})
    url = api.url(shop)
    shop.by_user["bob"] = shop.by_product[1][-1:]
    first = acme("popular", "ann", "--json", "--api-url", url)
    asked = len(shop.log)
    assert asked == 2 + 2 + 2 + 1  # the last one settles whether the server caps its pages
    assert acme("popular", "ann", "--json", "--api-url", url).out_bytes == first.out_bytes
    assert len(shop.log) == asked
    assert counted(acme, url, name="bob") == {1: 12}
    assert shop.paths()[asked:] in (
        ["users/bob", "purchases/by_user/bob?limit=5"],
        ["purchases/by_user/bob?limit=5", "users/bob"],
    )


def rounds(acme: "Acme", url: str, shop: "Shop", name: str) -> int:
    shop.log.clear()
    acme("popular", name, "--json", "--limit", "8", "--api-url", url).json  # noqa: B018  asserts that it succeeded
    return shop.rounds()


def test_a4_two_rounds_for_any_number_of_products(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop(dict.fromkeys(range(8), 9))
    shop.latency = lambda path: 0.15
    assert rounds(acme, api.url(shop), shop, "ann") == 2


def test_a4_only_the_first_user_pays_a_third_round_for_lists_that_a_cap_may_have_cut(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 12, 2: 40, 3: 30, 4: 39, 5: 60})
    ann, url = shop.by_user["ann"], api.url(shop)
    shop.latency = lambda path: 0.15
    shop.by_user = {"ann": ann[:2], "bob": ann[2:4], "u1": ann[4:5], "u2": ann[3:5]}
    assert rounds(acme, url, shop, "ann") == 3
    assert [path for path in shop.paths() if "skip=" in path and "skip=0" not in path] == [
        "purchases/by_product/2?skip=40&limit=100"
    ]
    assert rounds(acme, url, shop, "bob") == 2
    assert rounds(acme, url, shop, "u1") == 3
    assert rounds(acme, url, shop, "u2") == 1  # what is new is asked for at once, the products are stored


def test_a_full_page_proves_that_there_is_no_cap(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 60, 2: 150})
    assert counted(acme, api.url(shop)) == {1: 60, 2: 150}
    assert [path for path in shop.paths() if path.startswith("purchases/by_product/1")] == [
        "purchases/by_product/1?skip=0&limit=100"
    ]
