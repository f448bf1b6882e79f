"""Every way to end: the exit code, one line that says why, and a stdout that stays empty."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Ran, Server, Shop

MakeShop = Callable[..., "Shop"]
NOWHERE = "http://127.0.0.1:9/api/"

USAGE: list[tuple[list[str], list[str]]] = [
    (["populr", "ann"], ["populr", "popular"]),
    (["popular", "ann", "--limt", "3"], ["--limt", "--limit"]),
    (["popular"], ["USERNAME"]),
    (["popular", "ann"], ["--api-url", "ACME_API_URL", "--demo"]),
    (["popular", "ann", "--limit", "0"], ["--limit 0", "1 to 100"]),
    (["popular", "ann", "--limit", "101"], ["--limit 101", "1 to 100"]),
    (["popular", "ann", "--ttl", "soon"], ["--ttl", "soon", "10m"]),
    (["popular", "ann", "--since", "once"], ["--since", "once", "30d"]),
    (["popular", "ann", "--fields", "id,fac", "--json"], ["fac", "face", "last_purchased"]),
    (["popular", "ann", "--fields", "id"], ["--fields", "table"]),
    (["popular", "ann", "--format", "xml"], ["--format", "xml", "ndjson"]),
    (["popular", "ann", "--json", "--format", "csv"], ["--json", "--format csv"]),
    (["popular", "ann", "--demo", "--api-url", NOWHERE], ["--demo", "--api-url"]),
    (["popular", "ann", "--api-url", "http://ann:secret@shop.example/"], ["--api-url", "password"]),
    (["popular", "ann", "--env-file", "bad.env"], ["bad.env", "ACME_TTLL", "ACME_TTL"]),
    (["cache", "prune", "--older-than", "old"], ["--older-than", "old"]),
    (["mock", "--data", "missing.json"], ["missing.json"]),
]


@pytest.mark.parametrize("part", range(4))
def test_2_what_is_wrong_with_the_command_line_and_what_to_do(acme: "Acme", part: int) -> None:
    (acme.folder / "bad.env").write_text("ACME_TTLL=5m\n")
    for arguments, said in USAGE[part::4]:
        ran = acme(*arguments)
        assert (ran.code, ran.out) == (2, ""), arguments
        as_json = "--json" in arguments
        lines = ran.err.splitlines()
        assert lines[0].startswith('{"error"' if as_json else "acme: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
        assert [text for text in said if text not in ran.err] == [], ran.err
        assert "secret" not in ran.err


def test_2_what_is_wrong_with_the_config_file(acme: "Acme") -> None:
    file = acme.folder / "config" / "acme" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("ttll = '5m'\n")
    ran = acme("popular", "ann", "--api-url", NOWHERE)
    assert (ran.code, ran.out) == (2, "")
    assert [text for text in (str(file), "ttll", "ttl?") if text not in ran.err] == []


def error(ran: "Ran") -> tuple[str, int]:
    assert ran.out == ""
    document = json.loads(ran.err.splitlines()[-1])["error"]
    assert document.keys() == {"code", "message", "exit", "hint"}
    assert document["exit"] == ran.code
    return document["code"], ran.code


def test_2_to_5_as_json_on_the_last_line_of_stderr(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    ask = ("popular", "--json", "--retries", "0", "-v", "--api-url", api.url(shop))
    assert error(acme("popular", "--json")) == ("usage", 2)
    assert error(acme("popular", "ann", "--format=json")) == ("usage", 2)
    missing = acme(*ask, "zo'e")
    assert error(missing) == ("user_not_found", 3)
    assert json.loads(missing.err.splitlines()[-1])["error"]["message"] == "User with username of 'zo'e' was not found"
    shop.fail(401, path="users")
    assert error(acme(*ask, "ann")) == ("api_status", 4)
    shop.fail(200, b'{"purchases": [{"id": 1, "product_id": 7}]}', path="purchases/by_product")
    shop.faults.pop("users")
    nonsense = acme(*ask, "ann")
    assert error(nonsense) == ("api_payload", 4)
    assert json.loads(nonsense.err.splitlines()[-1])["error"]["message"] == (
        f"GET {api.url(shop)}purchases/by_product/1?skip=0&limit=100: $.purchases[0].username is missing"
    )
    shop.faults.clear()
    shop.fail(None)
    assert error(acme(*ask, "ann")) == ("api_unreachable", 5)
    assert error(acme(*ask, "ann", "--offline")) == ("offline_miss", 5)


def test_4_a_failure_is_retried_and_then_told(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    shop.fail(503, b"down \x1b[2J", path="users/ann")
    ran = acme("popular", "ann", "--retries", "1", "--api-url", api.url(shop))
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == f"acme: GET {api.url(shop)}users/ann answered 503 Service Unavailable\n"
    assert shop.paths().count("users/ann") == 2


def test_8_an_answer_that_cannot_be_written_whole(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    ask = ("popular", "ann", "--json", "--api-url", api.url(make_shop({1: 3})))
    with Path("/dev/full").open("wb") as full:
        for env in ({}, {"PYTHONUNBUFFERED": "1"}):
            ran = acme(*ask, env=env, stdout=full)
            assert error(ran) == ("output", 8)
            assert "No space left" in ran.err
        assert acme("--version", stdout=full).code == 8
    closed = acme(*ask, command=["/bin/sh", "-c", '"$0" "$@" >&-', acme.program])
    assert error(closed) == ("output", 8)
    missing = acme(*ask, "-o", "no/such/folder.json")
    assert error(missing) == ("output", 8)
    assert "no/such/folder.json" in missing.err
    assert not (acme.folder / "no").exists()


def test_141_when_the_reader_went_away(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    for arguments in (["popular", "ann", "--api-url", api.url(shop)], ["popular", "--help"], ["config", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        ran = acme(*arguments, stdout=writing)
        os.close(writing)
        assert (ran.code, ran.err) == (141, ""), arguments


@pytest.mark.parametrize(
    ("number", "ending"),
    [(signal.SIGINT, (130, "acme: interrupted\n")), (signal.SIGTERM, (143, "acme: terminated\n"))],
)
def test_130_and_143_within_a_second_while_the_api_is_silent(
    acme: "Acme", api: "Server", make_shop: MakeShop, number: int, ending: tuple[int, str]
) -> None:
    shop = make_shop({1: 3})
    shop.gate.clear()
    (acme.folder / "old").write_text("old")
    with acme.start("popular", "ann", "-o", "old", "--api-url", api.url(shop)) as process:
        assert shop.asked.wait(30)
        sent = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        took = time.monotonic() - sent
    assert (process.returncode, err.decode()) == ending
    assert out == b""
    assert took < 1
    assert (acme.folder / "old").read_text() == "old"
    assert sorted(path.name for path in acme.folder.iterdir() if path.name.startswith((".", "old"))) == ["old"]
