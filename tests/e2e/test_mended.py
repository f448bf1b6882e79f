"""What once went wrong in front of a user, each with the run that showed it."""

import gzip
import os
import pty
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Server

MakeShop = Callable[..., Any]


def test_a_user_who_comes_to_exist_has_purchases_at_once(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    ask = ("popular", "ann", "--json", "--api-url", api.url(shop))
    shop.fail(404, b"{}")
    assert acme(*ask).code == 3
    shop.faults.clear()
    assert [product["id"] for product in acme(*ask).json] == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["popular", "x", "--json", b"--\xff"],
        ["popular", b"\xff", "--json"],
        ["popular", "x", "--json", "--env-file", b"/\xff"],
    ],
)
def test_an_argument_that_is_no_utf_8_is_a_usage_error_in_json(acme: "Acme", arguments: list[str | bytes]) -> None:
    ran = acme(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith('{"error":{"code":"usage",')
    assert "Traceback" not in ran.err


def test_a_cache_folder_that_is_no_utf_8_can_be_shown(acme: "Acme") -> None:
    ran = acme("cache", "info", "--json", "--cache-dir", b"/nowhere/\xff")
    assert ran.code == 0, ran.err
    assert b"/nowhere/\\udcff" in ran.out_bytes


@pytest.mark.parametrize("answer", [b"n\n", b"\x04"])
def test_the_cache_is_kept_when_its_owner_says_no(acme: "Acme", answer: bytes) -> None:
    acme("popular", "Frannie79", "--demo", "-q")
    parent, child = pty.openpty()
    with acme.start("cache", "clear", stdin=child, stdout=child) as process:
        os.write(parent, answer)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.wait() == 0, said
    os.close(child)
    os.close(parent)
    assert "Remove everything" in said
    assert acme("cache", "info", "--json").json["entries"] > 0


def test_a_locked_cache_is_named_as_such(acme: "Acme") -> None:
    acme("popular", "Frannie79", "--demo", "-q")
    database = next(acme.cache.rglob("cache.db"))
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        ran = acme("cache", "prune", "--older-than", "0")
        connection.execute("ROLLBACK")
    connection.close()
    assert ran.code == 2
    assert "database is locked" in ran.err


def test_the_demo_passes_by_a_proxy_and_an_error_names_it(acme: "Acme") -> None:
    proxy = {"HTTP_PROXY": "http://someone:secret@127.0.0.1:1"}
    assert acme("popular", "Frannie79", "--demo", "-q", env=proxy).code == 0
    ran = acme("popular", "ann", "--api-url", "http://shop.example/", "--retries", "0", env=proxy)
    assert ran.code == 5
    assert "through the proxy 127.0.0.1:1" in ran.err
    assert "secret" not in ran.err


def test_clearing_removes_nothing_that_is_not_ours(acme: "Acme") -> None:
    acme("popular", "Frannie79", "--demo", "-q")
    notes = acme.cache / "responses-v1-notes.txt"
    notes.write_text("mine")
    assert acme("cache", "clear", "--yes").code == 0
    assert notes.read_text() == "mine"
    assert not list(acme.cache.rglob("cache.db"))


def test_without_locks_stored_data_still_bridges_an_outage(
    acme: "Acme", mortal_api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 3})
    ask = ("popular", "ann", "--json", "--ttl", "1ms", "--retries", "0", "--api-url", mortal_api.url(shop))
    expected = acme(*ask).json
    lock = acme.cache / "responses-v1.lock"
    lock.unlink()
    lock.mkdir()
    shop.fail(503)
    assert acme(*ask).json == expected


def test_an_option_overrules_offline_in_the_environment(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    url = api.url(make_shop({1: 3}))
    offline = {"ACME_OFFLINE": "1", "ACME_API_URL": url}
    assert acme("popular", "ann", "--json", "--no-offline", "--refresh", env=offline).code == 0
    ran = acme("popular", "ann", "--refresh", env=offline)
    assert ran.code == 2
    assert "ACME_OFFLINE" in ran.err
    assert "--no-offline" in ran.err


def test_what_ignores_interrupts_goes_on_ignoring_them(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    shop.gate.clear()

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    ask = ("popular", "ann", "--json", "--api-url", api.url(shop))
    with acme.start(*ask, preexec_fn=ignore, stderr=subprocess.STDOUT) as process:
        assert shop.asked.wait(20)
        process.send_signal(signal.SIGINT)
        shop.gate.set()
        assert process.communicate(timeout=20)[0].startswith(b"[{")
        assert process.returncode == 0


def test_a_packed_answer_with_something_behind_its_end_is_refused(
    acme: "Acme", api: "Server", make_shop: MakeShop
) -> None:
    shop = make_shop({1: 3})
    shop.fail(200, gzip.compress(b"{}" + b" " * 2**17) + b"\n", ("Content-Encoding", "gzip"), path="users/ann")
    ran = acme("popular", "ann", "--retries", "0", "--api-url", api.url(shop))
    assert ran.code == 4
    assert "something follows its end" in ran.err


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_closed_streams_change_no_exit_code(acme: "Acme", closed: str) -> None:
    answer = acme.folder / "answer.json"
    run = ["/bin/sh", "-c", f'"$0" "$@" {closed}', acme.program]
    ran = acme("popular", "Frannie79", "--demo", "--json", "-o", answer, command=run)
    assert ran.code == 0
    assert answer.read_bytes().startswith(b"[{")
    assert acme("popular", "nobody", "--demo", command=run).code == 3


def test_what_nobody_can_read_is_an_error(acme: "Acme") -> None:
    for arguments in (["--version"], ["mock", "--port", "0"], ["-h"], [], ["popular", "--help"], ["cache", "-h"]):
        assert acme(*arguments, command=["/bin/sh", "-c", '"$0" "$@" >&-', acme.program]).code == 8


def test_an_endless_view_in_the_cache_costs_a_warning(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    ask = ("popular", "ann", "--json", "--api-url", api.url(make_shop({1: 3})))
    expected = acme(*ask).json
    with sqlite3.connect(next(acme.cache.rglob("cache.db"))) as connection:
        connection.execute("ALTER TABLE Cache RENAME TO Hidden")
        connection.execute(
            "CREATE VIEW Cache AS WITH RECURSIVE endless(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM endless)"
            " SELECT Hidden.* FROM Hidden, endless"
        )
    connection.close()
    ran = acme(*ask)
    assert ran.json == expected
    assert ran.err.count("warning") == 1
    assert acme(*ask).err == ""


def test_a_cache_that_others_can_write_to_is_not_used(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    ask = ("popular", "ann", "--json", "--api-url", api.url(make_shop({1: 3})))
    expected = acme(*ask).json
    next(acme.cache.rglob("cache.db")).parent.chmod(0o777)
    ran = acme(*ask)
    assert ran.json == expected
    assert "can be written by others" in ran.err


def test_a_token_that_the_server_sends_back_is_not_shown(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3})
    shop.fail(302, b"", ("Location", "http://elsewhere.example/?t=s3cr3t-t0ken"), path="users/ann")
    for option in ("-v", "--debug", "--json"):
        token = {"ACME_API_TOKEN": "s3cr3t-t0ken"}
        ran = acme("popular", "ann", option, "--no-cache", "--api-url", api.url(shop), env=token)
        assert ran.code == 4
        assert "elsewhere.example" in ran.err
        assert "s3cr3t-t0ken" not in ran.err


def test_a_small_page_does_not_forbid_the_usual_limit(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    url = api.url(make_shop({1: 3}))
    assert len(acme("popular", "ann", "--json", "--page-size", "2", "--api-url", url).json) == 1
