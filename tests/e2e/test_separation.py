"""One cache, many APIs and tokens: never another's data (C9), and the token itself nowhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

MakeShop = Callable[..., "Shop"]
TOKENS = ("sesame-0123456789", "mellon-9876543210")


def price(acme: "Acme", url: str, token: str) -> int:
    env = {"ACME_API_TOKEN": token}
    found: int = acme("popular", "ann", "--json", "--api-url", url, env=env).json[0]["price"]
    return found


def test_c9_no_answer_of_another_base_url_or_token(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shops = [make_shop({1: 3}), make_shop({1: 3})]
    asking = [(shops[0], api.url(shops[0]), token) for token in TOKENS]
    asking.append((shops[1], api.url(shops[1]), TOKENS[0]))
    for number, (shop, url, token) in enumerate(asking):
        shop.products[1]["price"] = number  # each asker is told something else
        shop.log.clear()
        assert price(acme, url, token) == number
        assert len(shop.log) == 4
        assert {request.headers.get("authorization") for request in shop.log} == {f"Bearer {token}"}
    for shop in shops:
        shop.log.clear()
    for number, (_, url, token) in enumerate(asking):
        assert price(acme, url, token) == number
    assert [shop.log for shop in shops] == [[], []]


def test_the_token_is_shown_and_stored_nowhere(acme: "Acme", mortal_api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 12})
    token = TOKENS[0]
    (acme.folder / "token").write_text(f"{token}\n")
    loud = ("--api-url", mortal_api.url(shop), "--retries", "0", "-v", "--debug")
    runs = [
        acme("popular", "ann", *loud, env={"ACME_API_TOKEN": token}),
        acme("popular", "nobody", "--json", *loud, "--api-token-file", "token"),
    ]
    assert all(request.headers["authorization"] == f"Bearer {token}" for request in shop.log)
    shop.gate.clear()
    runs.append(acme("popular", "u1", *loud, "--timeout", "200ms", env={"ACME_API_TOKEN": token}))
    mortal_api.close()
    runs.append(acme("popular", "u1", *loud, env={"ACME_API_TOKEN": token}))
    assert [ran.code for ran in runs] == [0, 3, 5, 5]
    assert "Traceback" in runs[-1].err
    stored = [file.read_bytes() for file in acme.cache.rglob("*") if file.is_file()]
    assert stored
    for text in (*stored, *(ran.out_bytes for ran in runs), *(ran.err.encode() for ran in runs)):
        assert token.encode() not in text
