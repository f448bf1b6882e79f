"""N1 to N7, and O8: whatever a server does, a run ends in time, within bounds, with one line and the token unsaid."""

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from .hostile import (
    BROKEN,
    COSTLY,
    GOOD,
    NONSENSE,
    SLOW,
    TOO_LARGE,
    Hostile,
    Talk,
    answer,
    drips,
    full_backlog,
    head_of,
    in_turn,
    redirect,
    says,
    status,
    whole,
)

if TYPE_CHECKING:
    from conftest import Acme, Ran, Server, Shop

MakeShop = Callable[..., "Shop"]
Peak = Callable[..., tuple["Ran", float]]
Some = Callable[..., Any]
TIMEOUT = 0.5
TOKEN = "sesame-0123456789-open"


def ask(acme: "Acme", url: str, *options: str, name: str = "ann", env: dict[str, str] | None = None) -> "Ran":
    return acme("popular", name, "--json", "--no-cache", "--api-url", url, *options, env=env)


def assert_told(ran: "Ran", code: int | None = None) -> str:
    """Assert that the run failed in one line of JSON, with a URL in it; return the message."""
    assert ran.code in {4, 5} if code is None else ran.code == code, (ran.code, ran.out, ran.err)
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    error = json.loads(line)["error"]
    assert error["exit"] == ran.code
    assert error["code"] != "unexpected"
    assert "GET http://127.0.0.1:" in error["message"]
    message: str = error["message"]
    return message


# --- N1 ---


def test_n1_an_attempt_ends_within_its_timeout_and_a_second(acme: "Acme", hostile: Hostile) -> None:
    """The time is that between the request and the end of the process, as the server sees them."""

    def attempt(talk: Talk) -> tuple["Ran", float]:
        url, place = hostile.place(talk, "users")
        ran = ask(acme, url, "--retries", "0", "--timeout", f"{TIMEOUT}s")
        return ran, time.monotonic() - place.seen[0].at

    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip(SLOW, pool.map(attempt, SLOW.values()), strict=True))
    for name, (ran, took) in outcomes.items():
        if name != "the body of a 503 at a time":
            assert assert_told(ran), name
        assert took < TIMEOUT + 1, name


@pytest.mark.parametrize("kind", ["nobody accepts", "nobody can connect"])
def test_n1_the_timeout_covers_connecting(acme: "Acme", hostile: Hostile, kind: str) -> None:
    start = time.monotonic()
    assert ask(acme, hostile.place(whole(GOOD["users/ann"]), "users")[0]).code == 0
    harmless = time.monotonic() - start
    listener, waiting = full_backlog() if kind == "nobody can connect" else (socket.create_server(("127.0.0.1", 0)), [])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    start = time.monotonic()
    ran = ask(acme, url, "--retries", "0", "--timeout", f"{TIMEOUT}s")
    took = time.monotonic() - start
    for one in (listener, *waiting):
        one.close()
    assert_told(ran, 5)
    assert took < harmless + TIMEOUT + 1


# --- N2 ---


@pytest.fixture
def harmless(hostile: Hostile, peak: Peak) -> float:
    """The memory (MiB) of a run that nobody attacks."""
    url, _ = hostile.place(whole(GOOD["users/ann"]), "users")
    ran, memory = peak("popular", "ann", "--json", "--no-cache", "--api-url", url)
    assert ran.code == 0, ran.err
    return memory


@pytest.mark.parametrize("part", range(3))
def test_n2_a_body_over_8_mib_is_refused(
    hostile: Hostile, peak: Peak, harmless: float, part: int, record_property: Callable[[str, object], None]
) -> None:
    for name, make in list(TOO_LARGE.items())[part::3]:
        url, place = hostile.place(make(), "users")
        ran, memory = peak("popular", "ann", "--json", "--no-cache", "--api-url", url)
        message = assert_told(ran, 4)
        assert "8,388,608" in message or "cannot be unpacked" in message, name
        record_property(name, f"{memory - harmless:.0f} MiB")
        assert memory - harmless < 64, name
        assert place.paths().count("users/ann") == 1, "asking again would bring the same"


@pytest.mark.parametrize("name", COSTLY)
def test_n2_a_body_within_the_bound_costs_64_mib_at_most(
    hostile: Hostile, peak: Peak, harmless: float, name: str, record_property: Callable[[str, object], None]
) -> None:
    path, make = COSTLY[name]
    body = make()
    assert len(body) <= 8 * 2**20
    url, _ = hostile.place(says(answer(body)), path)
    command = ["report", "--all"] if path == "users?" else ["popular", "ann"]
    ran, memory = peak(*command, "--json", "--no-cache", "--api-url", url)
    assert ran.code in {0, 4}, ran.err
    record_property(name, f"{memory - harmless:.0f} MiB")
    assert memory - harmless < 64


# --- N3 ---


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_n3_what_may_pass_is_asked_again(acme: "Acme", hostile: Hostile, code: int) -> None:
    url, place = hostile.place(status(code), "users")
    ran = ask(acme, url, "--retries", "1")
    assert str(code) in assert_told(ran, 4)
    assert place.paths().count("users/ann") == 2


@pytest.mark.parametrize("talk", [says(b""), says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")])
def test_n3_a_connection_that_is_cut_is_asked_again(acme: "Acme", hostile: Hostile, talk: Talk) -> None:
    url, place = hostile.place(in_turn(talk, talk, whole(GOOD["users/ann"])), "users")
    assert len(ask(acme, url).json) == 1
    assert place.paths().count("users/ann") == 3  # two retries are the default


def test_n3_nothing_else_is_asked_again(acme: "Acme", hostile: Hostile, some: Some) -> None:
    for code in some((400, 401, 403, 405, 409, 410, 418, 451, 501, 505, 511, 299, 304, 307)):
        url, place = hostile.place(status(code), "users")
        ran = ask(acme, url)
        assert_told(ran, 4)
        assert place.paths().count("users/ann") == 1, code


def gap(acme: "Acme", hostile: Hostile, timeout: str, retry_after: Callable[[], str]) -> tuple["Ran", list[float]]:
    """Return what came of a 503 with this Retry-After, and the times (s) between attempts."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        status(503, f"Retry-After: {retry_after()}")(connection, over)

    url, place = hostile.place(talk, "users")
    ran = ask(acme, url, "--retries", "1", "--timeout", timeout)
    times = [request.at for request in place.seen if request.path == "users/ann"]
    return ran, [later - earlier for earlier, later in pairwise(times)]


def in_seconds(seconds: float) -> str:
    """Return a moment from now as HTTP writes dates, which is up to a second earlier."""
    return formatdate(time.time() + seconds, usegmt=True)


def test_n3_a_retry_after_is_obeyed_up_to_the_timeout(acme: "Acme", hostile: Hostile) -> None:
    for retry_after in (lambda: "1", lambda: in_seconds(2)):
        ran, (waited,) = gap(acme, hostile, "3s", retry_after)
        assert_told(ran, 4)
        assert waited >= 0.99  # two clocks


def test_n3_a_longer_retry_after_ends_the_request_at_once(acme: "Acme", hostile: Hostile) -> None:
    for header in ("3600", "9" * 4000, in_seconds(90)):
        ran, waited = gap(acme, hostile, "2s", lambda: header)  # noqa: B023  used at once
        assert_told(ran, 4)
        assert waited == [], header


def test_n3_a_retry_after_that_makes_no_sense_counts_as_none(acme: "Acme", hostile: Hostile) -> None:
    for header in ("nan", "-5", "", "Mon, 99 Foo 99999 99:99:99 GMT"):
        ran, waited = gap(acme, hostile, "2s", lambda: header)  # noqa: B023  used at once
        assert_told(ran, 4)
        assert len(waited) == 1, header


# --- N4 ---


def test_n4_five_urls_in_a_row_are_enough(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop(dict.fromkeys(range(1, 101), 2))
    shop.fail(503, path="products/")
    shop.fail(503, path="purchases/by_product/")
    for concurrency, retries in ((1, 0), (4, 2)):
        shop.log.clear()
        options = ("--limit", "100", "--concurrency", str(concurrency), "--retries", str(retries))
        assert_told(ask(acme, api.url(shop), *options), 4)
        failed = {path for path in shop.paths() if "ann" not in path}
        assert 5 <= len(failed) <= 5 + concurrency - 1


def test_n4_a_success_between_keeps_it_going(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop(dict.fromkeys(range(1, 31), 2))
    for number in range(1, 31):
        shop.fail(503, path=f"products/{number}")
    ran = ask(acme, api.url(shop), "--limit", "30", "--concurrency", "1", "--retries", "0")
    assert_told(ran, 4)
    assert len({path for path in shop.paths() if path.startswith("products")}) == 30


# --- N5 ---


def test_n5_no_redirect_is_followed_and_no_other_host_sees_the_token(
    acme: "Acme", hostile: Hostile, other_host: Hostile
) -> None:
    elsewhere, other = other_host.place(whole({}))
    here, own = hostile.place(whole({}))
    loop, _ = hostile.place(whole({}))
    beyond = elsewhere.partition("//")[2]
    targets = [
        f"{elsewhere}users/ann",
        f"//{beyond}",
        f"https://{beyond}",
        here,
        loop,
        "?",
        "file:///etc/passwd",
        "http://[",
    ]
    for number, target in enumerate(targets):
        code = (301, 302, 303, 307, 308)[number % 5]
        url, place = hostile.place(redirect(target, code), "users")
        ran = ask(acme, url, "-q", env={"ACME_API_TOKEN": TOKEN})
        assert str(code) in assert_told(ran, 4)
        assert place.paths().count("users/ann") == 1
        assert TOKEN.encode() in head_of(place.seen)
    assert (other.seen, own.seen) == ([], [])


def test_n5_nor_by_other_headers(acme: "Acme", hostile: Hostile, other_host: Hostile) -> None:
    elsewhere, other = other_host.place(whole({}))
    headers = [f"Refresh: 0; url={elsewhere}", f"Link: <{elsewhere}>; rel=preload", f"Content-Location: {elsewhere}"]
    headers += [f'Alt-Svc: h2="{elsewhere}"', "Set-Cookie: a=b; Domain=127.0.0.1"]
    url, place = hostile.place(whole(GOOD["users/ann"], *headers), "users")
    assert ask(acme, url, env={"ACME_API_TOKEN": TOKEN}).code == 0
    assert other.seen == []
    assert b"cookie" not in head_of(place.seen).lower()


# --- N6 ---

NAMES = ["%2e%2e", "?x#f", "..%2f..", "\u202eann", "a\\b "]
REFUSED = ["..", ".", "", "a\nb", "a\rb", "a\x1bb", "a\x7fb", "a\u0085b", "x" * 70_000]


def test_n6_a_name_is_one_segment_of_one_request(acme: "Acme", hostile: Hostile) -> None:
    url, place = hostile.place(says(answer(b"{}", "404 Not Found")))
    for name in NAMES:
        place.seen.clear()
        ran = acme("popular", "--json", "--no-cache", "--api-url", url, "--", name)
        assert ran.code == 3, (name, ran.err)
        segments = [path.removeprefix("users/") for path in place.paths() if path.startswith("users/")]
        assert len(segments) == 1
        assert segments[0] not in {"", ".", ".."}
        assert not set(segments[0]) & set("/?#\\ "), name
        assert unquote(segments[0], errors="strict") == name
        assert sorted(place.paths()) == [f"purchases/by_user/{segments[0]}?limit=5", f"users/{segments[0]}"]


def test_n6_or_exit_2_and_no_request(acme: "Acme", hostile: Hostile) -> None:
    url, place = hostile.place(says(answer(b"{}", "404 Not Found")))
    for name in REFUSED:
        ran = acme("popular", "--no-cache", "--api-url", url, "--", name)
        assert (ran.code, ran.out) == (2, ""), name
        assert len(ran.err) < 1000
    assert place.seen == []


# --- N7 ---


@pytest.mark.parametrize("part", range(4))
def test_n7_nonsense_is_exit_4_with_url_and_place(acme: "Acme", hostile: Hostile, part: int, some: Some) -> None:
    for name, (where, body) in some(list(NONSENSE.items())[part::4]):
        url, _ = hostile.place(says(answer(body)), where)
        message = assert_told(ask(acme, url, "--retries", "0"), 4)
        assert f"{url}{where}" in message, name
        assert "$" in message or "JSON" in message, (name, message)
        assert len(message) < 1000, name


@pytest.mark.parametrize("part", range(4))
def test_n7_an_answer_that_is_none_is_exit_4(acme: "Acme", hostile: Hostile, part: int, some: Some) -> None:
    for name, sent in some(list(BROKEN.items())[part::4]):
        url, _ = hostile.place(says(sent), "users")
        ran = ask(acme, url, "--retries", "0", "--timeout", "2s")
        message = assert_told(ran, 5 if name == "1,000 interim answers and no other" else 4)
        assert f"{url}users/ann" in message, name
        assert not any(0x7F <= ord(character) < 0xA0 or ord(character) < 0x20 for character in message), name


def test_n7_odd_etags_are_sent_back_as_they_came(acme: "Acme", hostile: Hostile, some: Some) -> None:
    for etag in some(('"\xe9\xff"', 'W/"\xa0x"', '"' + "x" * 8000 + '"', "unquoted", '"a b\tc"', '""')):
        url, place = hostile.place(whole(GOOD["users/ann"], f"ETag: {etag}"), "users")
        runs = [acme("popular", "ann", "--json", "--api-url", url, "--ttl", "0", "--max-stale", "0") for _ in range(2)]
        assert [ran.json for ran in runs] == [runs[0].json] * 2
        sent = [request.head for request in place.seen if request.path == "users/ann"][1]
        assert etag.encode("latin-1") in sent


# --- O8 ---


def test_o8_the_token_is_in_no_failing_run(acme: "Acme", hostile: Hostile, some: Some) -> None:
    """Also not when the server says it: an echo is what a wrong port often turns out to be."""
    echo = f"Authorization: Bearer {TOKEN}"
    talks: list[Talk] = [
        status(401),
        status(500),
        redirect(f"http://127.0.0.1:1/?token={TOKEN}"),
        redirect(f"http://127.0.0.1:1/?{echo}"),
        says(echo.encode() + b"\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\n" + echo.encode() + b"\0\r\n\r\n"),
        says(f"HTTP/1.1 400 {echo}\r\n\r\n".encode()),
        says(answer(json.dumps({"user": echo}).encode())),
        says(answer(echo.encode())),
        says(answer(b"{}", "200 OK", f"Content-Encoding: {echo}")),
        says(answer(b"{}", "503 No", f"Retry-After: {TOKEN}")),
        says(b""),
        drips(b""),
    ]
    for number, talk in some(list(enumerate(talks))):
        url, place = hostile.place(talk, "users")
        options = ("-v", "--debug", "--retries", "1", "--timeout", "300ms")
        form = ("--json",) if number % 2 else ()
        ran = acme("popular", "ann", *form, *options, "--api-url", url, env={"ACME_API_TOKEN": TOKEN})
        assert ran.code in {4, 5}, number
        assert TOKEN.encode() in head_of(place.seen)
        assert TOKEN not in ran.out + ran.err, number
    for file in acme.cache.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()


def test_o8_nor_where_the_token_itself_is_unusable(acme: "Acme", hostile: Hostile) -> None:
    url, place = hostile.place(status(401))
    config = acme.folder / "config.toml"
    for token in (f"{TOKEN}\u00e9", f"{TOKEN}\x1b", f"{TOKEN}\r\nX: y", f"{TOKEN} {TOKEN}"):
        for arguments in (("popular", "ann"), ("config",), ("config", "--json"), ("doctor",)):
            ran = acme(
                *arguments,
                "--api-url",
                url,
                *(["--debug"] if arguments[0] == "popular" else []),
                env={"ACME_API_TOKEN": token},
            )
            assert TOKEN not in ran.out + ran.err, (token, arguments)
            assert "Traceback (most recent call last)" not in ran.err or arguments[0] == "popular"
    for text in (f"api_token = ['{TOKEN}']", f"api_token = {TOKEN}", f"api_token = '{TOKEN}", f"api_tokn = '{TOKEN}'"):
        config.write_text(text + "\n")
        ran = acme("popular", "ann", "--debug", env={"ACME_CONFIG": str(config)})
        assert ran.code == 2
        assert TOKEN not in ran.out + ran.err, text
    (acme.folder / "env").write_text(f"ACME_API_TOKEN={TOKEN}\nACME_API_TOKEN {TOKEN}\n{TOKEN}\nACME_TTL='{TOKEN}\n")
    ran = acme("popular", "ann", "--debug", "--env-file", "env", "--api-url", url)
    assert TOKEN not in ran.out + ran.err
    assert place.seen is not None
