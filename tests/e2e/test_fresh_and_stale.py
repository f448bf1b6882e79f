"""How old an answer may be: ttl, ETags, refresh, no cache, offline, and old answers for an API that fails."""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Ran, Server, Shop

MakeShop = Callable[..., "Shop"]


class Customer:
    """Asks for one user's ranking, again and again; `requests` counts what that took, by status 304 or not."""

    def __init__(self, acme: "Acme", url: str, shop: "Shop") -> None:
        self.acme, self.url, self.shop = acme, url, shop

    def __call__(self, *options: str, name: str = "ann") -> "Ran":
        self.shop.log.clear()
        return self.acme("popular", name, "--json", "--api-url", self.url, "--retries", "0", *options)

    def requests(self) -> int:
        """Return how many requests the last run made."""
        return len(self.shop.log)

    def conditional(self) -> int:
        """Return how many of them had an ETag."""
        return sum("if-none-match" in request.headers for request in self.shop.log)


@pytest.fixture
def ask(acme: "Acme", api: "Server", make_shop: MakeShop) -> Customer:
    """A customer of a shop in which ann bought two products, one of them on three pages."""
    shop: Shop = make_shop({1: 250, 2: 3})
    return Customer(acme, api.url(shop), shop)


def buy(shop: "Shop", product_id: int) -> None:
    newest = shop.by_product[product_id][0]
    shop.by_product[product_id].append(newest | {"id": -1, "username": "late"})


def test_ttl_decides_whether_the_api_is_asked_and_etags_whether_it_sends(ask: Customer) -> None:
    first = ask("--ttl", "1h").json
    assert (ask.requests(), ask.conditional()) == (9, 0)  # four pages: the last two at once
    assert ask("--ttl", "1h").json == first
    assert ask.requests() == 0

    again = ask("--ttl", "0", "-v")
    assert again.json == first
    assert ask.requests() == ask.conditional() == 9
    assert again.err.count("revalidated") == again.err.count("  304  ") == 9

    buy(ask.shop, 1)  # on the last of several pages
    changed = ask("--ttl", "0").json
    assert [len(product["recent"]) for product in changed] == [42, 3]
    assert "late" in changed[0]["recent"]
    assert ask("--ttl", "1h").json == changed
    assert ask.requests() == 0

    ask.shop.products[2] = ask.shop.products[2] | {"price": 1_000_000}
    assert ask("--ttl", "0").json[1]["price"] == 1_000_000
    assert ask.requests() == ask.conditional() == 9


def test_no_cache_neither_reads_nor_writes_and_refresh_does_not_read(ask: Customer) -> None:
    assert ask("--no-cache").code == 0
    assert not ask.acme.cache.exists()
    ask()
    buy(ask.shop, 2)
    assert "late" in ask("--no-cache").out
    assert ask.requests() > 0
    assert "late" not in ask().out
    assert "late" in ask("--refresh").out
    ask.shop.fail(500)
    failed = ask("--refresh")
    assert "late" in failed.json[1]["recent"]
    assert "stored data" in failed.err


def test_offline_answers_from_what_is_stored_and_says_how_old_it_is(ask: Customer) -> None:
    nothing = ask("--offline")
    assert (nothing.code, nothing.out) == (5, "")
    assert error_code(nothing) == "offline_miss"
    first = ask().json
    offline = ask("--offline", "--ttl", "0")
    assert offline.json == first
    assert re.search(r"offline.* (just now|\d+ s ago)\n", offline.err)
    assert ask("--offline", "--ttl", "0", "--max-stale", "1ms").code == 5
    assert ask.requests() == 0
    for other in ("--refresh", "--no-cache"):
        assert ask("--offline", other).code == 2


OUTAGES: dict[str, tuple[Any, ...]] = {
    "users/ann": (500,),
    "purchases/by_user/ann": (503,),
    "products/1": (429,),
    "products/2": (408,),
    "purchases/by_product/1": (200, b"<html>"),
    "purchases/by_product/2": (200, b'{"purchases": [{}]}'),
    "purchases/by_product/3": (None,),
}
REFUSALS: dict[str, tuple[Any, ...]] = {
    "401": (401,),
    "403": (403,),
    "400": (400,),
    "redirect": (302, b"", ("Location", "http://127.0.0.1:1/elsewhere")),
}


def error_code(ran: "Ran") -> str:
    code: str = json.loads(ran.err.splitlines()[-1])["error"]["code"]
    return code


def test_an_outage_is_bridged_with_old_data(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 130, 2: 3, 3: 2})
    ask = Customer(acme, api.url(shop), shop)
    first = ask().json
    for path, outage in OUTAGES.items():
        shop.fail(*outage, path=path)
    bridged = ask("--ttl", "0")
    assert bridged.json == first
    assert re.fullmatch(
        r"acme: warning: GET \S+users/ann .*500.* stored data, fetched (just now|\d+ s ago)\n", bridged.err
    )
    quiet = ask("--ttl", "0", "-q")
    assert (quiet.json, quiet.err) == (first, "")
    for name, how, code in (("503", (503,), 4), ("cut", (None,), 5)):
        shop.faults.clear()
        shop.fail(*how)
        past_it = ask("--ttl", "0", "--max-stale", "1ms")
        assert (past_it.code, past_it.out) == (code, ""), name
    assert ask("--ttl", "0", "--max-stale", "0").code == 5


def test_a_slow_and_a_dead_api_are_bridged_too(acme: "Acme", mortal_api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    ask = Customer(acme, mortal_api.url(shop), shop)
    first = ask().json
    shop.gate.clear()
    slow = ask("--ttl", "0", "--timeout", "300ms")
    assert slow.json == first
    assert "0.3 s" in slow.err
    mortal_api.close()
    assert ask("--ttl", "0").json == first
    dead = ask("--ttl", "0", "--max-stale", "0")
    assert (dead.code, error_code(dead)) == (5, "api_unreachable")


def test_a_refusal_is_never_bridged(ask: Customer) -> None:
    ask()
    for name, refusal in REFUSALS.items():
        ask.shop.fail(*refusal)
        ran = ask("--ttl", "0")
        assert (ran.code, ran.out) == (4, ""), name
        assert error_code(ran) == "api_status"
        assert name == "redirect" or name in ran.err
    assert "http://127.0.0.1:1/elsewhere" in ran.err


def test_one_failed_list_is_bridged_alone(ask: Customer) -> None:
    ask.shop.etags = False  # so that what does answer sends everything again
    ask()
    buy(ask.shop, 2)
    ask.shop.fail(path="purchases/by_product/1")
    ran = ask("--ttl", "0")
    assert ask.conditional() == 0
    assert "late" in ran.json[1]["recent"]
    assert "purchases/by_product/1" in ran.err


def test_a_user_who_vanished_is_not_found_whatever_was_stored_and_may_come_back(ask: Customer) -> None:
    ask()
    users, ask.shop.users = ask.shop.users, ["bob"]
    assert ask("--ttl", "0").code == 3
    ask.shop.users = users
    ask.shop.fail(500)
    assert ask("--ttl", "0").code == 4  # there is nothing left to bridge it with
    ask.shop.faults.clear()
    assert ask("--ttl", "1h").code == 0  # that somebody is missing is never remembered
