"""The answer in every format, byte for byte; on a terminal and in a pipe; and hostile text in all of them."""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

MakeShop = Callable[..., "Shop"]
HOSTILE = "\x1b[31m\x9b2J\u202egnp[bold]\x1b]8;;http://x\x07|`=a\r\n\t:smile:\\"
FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def shop(make_shop: MakeShop) -> "Shop":
    """Two products, and names and faces that a format could stumble over."""
    made: Shop = make_shop({7: 3, 8: 4})
    made.products[7]["face"] = '=¯\\_("ツ")_/¯, |'
    made.products[8] |= {"face": "。◕‿◕。", "price": None}
    made.by_product[7][1]["username"] = "Zoë, 2"
    return made


JSON = (
    '[{"id":8,"face":"。◕‿◕。","price":null,"size":20,"recent":["ann","u0","u7","u14"]},'
    '{"id":7,"face":"=¯\\\\_(\\"ツ\\")_/¯, |","price":21,"size":20,"recent":["ann","Zoë, 2","u7"]}]\n'
)
EXPECTED = {
    "json": JSON,
    "ndjson": JSON[1:-2].replace('},{"id":7', '}\n{"id":7') + "\n",
    "csv": (
        "id,face,price,size,recent\n"
        '8,。◕‿◕。,,20,"ann, u0, u7, u14"\n'
        '7,"\'=¯\\_(""ツ"")_/¯, |",21,20,"ann, Zoë, 2, u7"\n'
    ),
    "tsv": (
        "id\tface\tprice\tsize\trecent\n"
        "8\t。◕‿◕。\t\t20\tann, u0, u7, u14\n"
        '7\t=¯\\_("ツ")_/¯, |\t21\t20\tann, Zoë, 2, u7\n'
    ),
    "markdown": (
        "| id | face | price | size | recent |\n"
        "| ---: | --- | ---: | ---: | --- |\n"
        "| 8 | 。◕‿◕。 |  | 20 | ann, u0, u7, u14 |\n"
        '| 7 | `=¯\\_("ツ")_/¯, \\|` | 21 | 20 | ann, Zoë, 2, u7 |\n'
    ),
}


def test_every_format_in_a_pipe(acme: "Acme", api: "Server", shop: "Shop") -> None:
    ask = ("popular", "ann", "--api-url", api.url(shop))
    for name, expected in EXPECTED.items():
        options, env = ((), {"ACME_FORMAT": name, "LC_ALL": "C"}) if name == "csv" else (("--format", name), {})
        assert acme(*ask, *options, env=env).out == expected
    chosen = acme(*ask, "--format", "csv", "--fields", "rank,purchases,buyers,last_purchased,id").out
    assert chosen == (
        "rank,purchases,buyers,last_purchased,id\n"
        "1,4,4,2026-11-21T11:59:00.000000Z,8\n"
        "2,3,3,2026-11-21T12:00:00.000000Z,7\n"
    )
    nobody = ("popular", "bob", "--api-url", api.url(shop), "--format")
    assert [acme(*nobody, name).out for name in ("json", "ndjson")] == ["[]\n", ""]


def test_the_table_in_a_pipe_is_plain_and_names_everybody(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    url = api.url(make_shop({1: 41}))
    table = acme("popular", "ann", "--api-url", url, env={"COLUMNS": "40"}).out
    assert "\x1b" not in table
    assert all(name in table for name in ["ann", *(f"u{number}" for number in range(40))])
    assert "( ͡° 1 ͜ʖ)" in table
    assert "data fetched just now" in table
    for env, options in (({"FORCE_COLOR": "1"}, ()), ({"NO_COLOR": "1"}, ("--color", "always"))):
        coloured = acme("popular", "ann", "--api-url", url, *options, env=env).out
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == table.replace("just now", age(coloured))
        assert "\x1b[" in coloured
    both = acme("popular", "ann", "--api-url", url, env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b" not in both.out


def age(table: str) -> str:
    found = re.search(r"data fetched (just now|\d+ s ago)", table)
    assert found, table
    return found[1]


def test_on_a_terminal_the_answer_is_for_eyes(acme: "Acme", api: "Server", make_shop: MakeShop, shop: "Shop") -> None:
    ask = ("popular", "ann", "--api-url", api.url(shop))
    indented = acme.on_terminal(*ask, "--json")
    assert indented.out.startswith('[\n  {\n    "id": 8,')
    assert json.loads(indented.out) == json.loads(JSON)

    many = ("popular", "ann", "--api-url", api.url(make_shop({1: 41})))
    drawn = acme.on_terminal(*many, columns=60).out
    assert "\x1b[" in drawn
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", drawn).splitlines())) <= 60
    assert re.search(r"\+\d+ more|…", drawn)
    for env, options in (({"NO_COLOR": "1"}, ()), ({"TERM": "dumb"}, ()), ({"FORCE_COLOR": "1"}, ("--color", "never"))):
        assert "\x1b" not in acme.on_terminal(*ask, *options, env=env).out, (env, options)


def test_progress_is_for_a_terminal_that_waits(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    shop.latency = lambda path: 0.4
    ask = ("popular", "ann", "--json", "--no-cache", "--api-url", api.url(shop))
    shown = acme.on_terminal(*ask, stream="stderr")
    assert shown.json
    assert shown.err
    assert acme.on_terminal(*ask, "-q", stream="stderr").err == ""


def test_o_writes_a_file_whole_and_says_nothing(acme: "Acme", api: "Server", shop: "Shop") -> None:
    ask = ("popular", "ann", "--api-url", api.url(shop), "-o", "answer")
    answer = acme.folder / "answer"
    answer.write_text("old, and longer than the new one" * 100)
    answer.chmod(0o640)
    ran = acme.on_terminal(*ask, "--json")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert answer.read_text() == JSON
    assert answer.stat().st_mode & 0o777 == 0o640
    acme(*ask, "--format", "csv")
    assert answer.read_text() == EXPECTED["csv"]
    assert acme(*ask, "--api-url", "http://127.0.0.1:9/", "--retries", "0").code == 5
    assert answer.read_text() == EXPECTED["csv"]


def test_o1_text_from_the_api_cannot_control_a_terminal(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({7: 3})
    shop.products[7]["face"] = HOSTILE
    shop.by_product[7][1]["username"] = HOSTILE
    ask = ("popular", "ann", "-v", "--api-url", api.url(shop), "--format")
    lines = {"json": 1, "ndjson": 1, "csv": 2, "tsv": 2, "markdown": 3, "table": 7}
    for name, count in lines.items():
        ran = acme(*ask, name)
        assert FORBIDDEN.findall((ran.out + ran.err).replace("\t", "" if name == "tsv" else "\t")) == []
        assert "[bold]" in ran.out
        assert ":smile:" in ran.out
        assert "\\u202e" in ran.out
        assert ran.out.count("\n") == count
        if name == "json":
            assert ran.json[0]["face"] == ran.json[0]["recent"][1] == HOSTILE
    drawn = acme.on_terminal(*ask, "table", "--color", "never", columns=200)
    assert FORBIDDEN.findall(drawn.out) == []


def test_o1_nor_can_what_ends_in_an_error(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    ask = ("popular", "--retries", "0", "--api-url", api.url(shop))
    shop.fail(302, b"", ("Location", "http://x/\x1b[31m\x9b2J"), path="users")
    redirected = acme(*ask, "ann", "--debug")
    assert redirected.code == 4
    shop.fail(200, json.dumps({"user": {"username": 7, HOSTILE: HOSTILE}}).encode(), path="users")
    for ran in (redirected, acme(*ask, "ann"), acme(*ask, "--debug", "a\u202eb"), acme("popular", "\x1b[31m")):
        assert ran.code != 0
        assert FORBIDDEN.findall(ran.err) == []
