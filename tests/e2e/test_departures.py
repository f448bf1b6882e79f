"""The same answer on every server in the wild: D1 to D18 of the contract, and what is sent for odd names."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

MakeShop = Callable[..., "Shop"]
COUNTS = {1: 12, 2: 230, 3: 51, 4: 100}
RANKED = [(2, 230), (4, 100), (3, 51), (1, 12)]
ALL_FIELDS = "id,face,price,size,recent,rank,purchases,buyers,last_purchased"

STYLES = [
    "",
    "camel",
    "bare",
    "empty_missing",
    "no_purchases_404",
    "exclusive_limit",
    "shifting",
    "extras",
    "date_styles",
    "capped",
    "camel bare empty_missing no_purchases_404 exclusive_limit shifting extras date_styles capped",
]


def full(acme: "Acme", url: str, name: str = "ann", *options: str) -> Any:
    return acme("popular", name, "--json", "--fields", ALL_FIELDS, "--api-url", url, *options).json


@pytest.fixture
def shop(make_shop: MakeShop) -> "Shop":
    """Lists shorter and longer than a page; ann bought product 1 twice, so an exclusive limit sends enough."""
    made: Shop = make_shop(COUNTS)
    made.by_user["ann"].append(made.by_user["ann"][0])
    return made


@pytest.fixture
def plain(shop: "Shop") -> str:
    """What is answered where the contract is kept, worked out from the rows by hand."""
    answer = []
    for rank, (number, purchases) in enumerate(RANKED, 1):
        rows = sorted(shop.by_product[number], key=lambda row: row["date"], reverse=True)
        names = list(dict.fromkeys(row["username"] for row in rows))
        product = shop.products[number] | {"recent": names, "rank": rank, "purchases": purchases, "buyers": len(names)}
        answer.append(product | {"last_purchased": rows[0]["date"].strftime("%Y-%m-%dT%H:%M:%S.000000Z")})
    return json.dumps(answer)


@pytest.mark.parametrize("style", STYLES)
def test_no_habit_of_a_server_changes_the_answer(
    acme: "Acme", api: "Server", shop: "Shop", plain: str, style: str
) -> None:
    server = shop.departing(*style.split())
    server.by_user = shop.by_user
    assert json.dumps(full(acme, api.url(server))) == plain
    assert not [path for path in server.paths() if "limit=0" in path]  # D7


def test_who_is_missing_and_who_only_bought_nothing(acme: "Acme", api: "Server", shop: "Shop") -> None:
    departed = api.url(shop.departing("empty_missing", "no_purchases_404"))
    assert acme("popular", "bob", "--json", "--api-url", departed).out == "[]\n"
    for url in (api.url(shop), departed):
        nobody = acme("popular", "nobody", "--api-url", url)
        assert (nobody.code, nobody.out) == (3, "")
        message, hint = nobody.err.splitlines()
        assert message == "acme: User with username of 'nobody' was not found"
        assert url in hint
        assert "acme doctor" in hint


def test_d8_by_user_is_in_the_servers_order_and_buyers_are_sorted_by_date(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop(dict.fromkeys(range(1, 8), 4))
    shop.by_user["ann"].reverse()
    for rows in shop.by_product.values():
        rows.reverse()
    answer = full(acme, api.url(shop))
    assert [product["id"] for product in answer] == [7, 6, 5, 4, 3]
    assert all(product["recent"][0] == "ann" for product in answer)


def test_d9_a_product_that_is_gone_stays_with_nulls_and_a_warning(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 3, 2: 20, 3: 2}, "empty_missing")
    del shop.products[2]
    ran = acme("popular", "ann", "--json", "--api-url", api.url(shop))
    gone = ran.json[0]
    assert len(gone.pop("recent")) == 20
    assert gone == {"id": 2, "face": None, "price": None, "size": None}
    assert "warning: product 2 " in ran.err


def test_d10_repeated_ids_are_different_purchases_and_equal_rows_are_one(
    acme: "Acme", api: "Server", shop: "Shop", plain: str
) -> None:
    for row in shop.purchases:
        row["id"] = 7
    for rows in shop.by_product.values():
        rows.insert(1, dict(rows[0]))
    assert json.dumps(full(acme, api.url(shop))) == plain


@pytest.mark.parametrize("length", [12, 130])
def test_d12_a_list_that_cannot_be_paged_is_an_error(
    acme: "Acme", api: "Server", make_shop: MakeShop, length: int
) -> None:
    ran = acme("popular", "ann", "--api-url", api.url(make_shop({1: length}, "ignores_skip")))
    assert (ran.code, ran.out) == (4, "")
    assert "cannot be paged" in ran.err
    assert "purchases/by_product/1?skip=" in ran.err


def test_d12_a_short_list_needs_no_paging(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    assert len(full(acme, api.url(make_shop({1: 9}, "ignores_skip")))[0]["recent"]) == 9


def test_d14_what_is_missing_or_null_is_null_and_sorts_as_the_oldest(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    answers = []
    for missing in (True, False):
        shop = make_shop({1: 3, 2: 2})
        odd = [shop.products[1], *shop.by_product[1][:2]]
        for thing in odd:
            for key in {"face", "price", "size", "date"} & thing.keys():
                if missing:
                    del thing[key]
                else:
                    thing[key] = None
        answers.append(full(acme, api.url(shop)))
    assert answers[0] == answers[1]
    assert (answers[0][0]["face"], answers[0][0]["price"], answers[0][0]["size"]) == (None, None, None)
    assert answers[0][0]["recent"][-2:] == ["ann", "u0"]  # undated, in the API's order


def test_d15_an_unreadable_date_counts_as_missing(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 4})
    for row, date in zip(shop.by_product[1][:3], ["yesterday", 20261120, "2026-13-40T00:00:00Z"], strict=True):
        row["date"] = date
    last = shop.by_product[1][3]
    answer = full(acme, api.url(shop))
    assert answer[0]["recent"][0] == last["username"]
    assert answer[0]["purchases"] == 4
    assert datetime.fromisoformat(answer[0]["last_purchased"]) == last["date"]
    assert full(acme, api.url(shop), "ann", "--since", "2000-01-01")[0]["purchases"] == 1


ODD_NAMES = ["a/b c%2e..", "//h?x=1&y#z", "Zo\u00eb Zoe\u0308 王👩\u200d👩+=;:@"]  # two forms of one name


def test_d16_d17_a_name_is_one_segment_sent_as_typed(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    shop.users = ODD_NAMES
    url = api.url(shop)
    for name in ODD_NAMES:
        shop.log.clear()
        assert acme("popular", "--json", "--api-url", url, "--", name).out == "[]\n"
        sent = dict(path.rsplit("/", 1) for path in shop.paths())
        segment = sent["users"]
        assert sent == {"users": segment, "purchases/by_user": f"{segment}?limit=5"}
        assert unquote(segment, errors="strict") == name
        assert segment.isascii()
        assert not set(segment) & set("/?# ")


REFUSED: list[str | bytes] = [".", "..", "", "a\nb", b"\xff", "x" * 70_000]


def test_d16_what_cannot_be_a_segment_is_refused_without_a_request(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 3})
    for name in REFUSED:
        ran = acme("popular", "--api-url", api.url(shop), "--", name)
        assert (ran.code, ran.out) == (2, ""), name
        assert ran.err.startswith("acme: ")
        assert len(ran.err.splitlines()) <= 2
    assert shop.log == []
