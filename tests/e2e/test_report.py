"""`acme report`: many users, unattended; failures are data, files are whole, and parts make the same document."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from conftest import Acme, Ran, Server, Shop

MakeShop = Callable[..., "Shop"]
FORMATS = ("ndjson", "json", "csv", "tsv", "markdown", "table", "html")
SUMMARY = re.compile(r"acme: [\d,]+ users?, [\d,]+ failed, [\d,]+ requests?, \d+% cached, \d+ s\n")


class Reporter:
    """Reports on one shop."""

    def __init__(self, acme: "Acme", url: str) -> None:
        self.acme, self.url = acme, url

    def __call__(self, *arguments: str, names: bytes | None = None, **how: Any) -> "Ran":
        if names is not None:
            how["stdin"] = self.given(names)
        return self.acme("report", "--api-url", self.url, "--retries", "0", *arguments, **how)

    def given(self, names: bytes) -> int:
        """Return a file with these bytes, opened."""
        file = self.acme.folder / "names.txt"
        file.write_bytes(names)
        return os.open(file, os.O_RDONLY)

    def lines(self, *arguments: str, **how: Any) -> list[dict[str, Any]]:
        """Return the records, of a run that succeeded."""
        ran = self(*arguments, "--format", "ndjson", **how)
        assert ran.code == 0, ran.err
        return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def shop(make_shop: MakeShop) -> "Shop":
    """ann bought five products, bob nothing, and forty others have bought some."""
    return make_shop({1: 120, 2: 60, 3: 9, 4: 1, 5: 30})


@pytest.fixture
def report(acme: "Acme", api: "Server", shop: "Shop") -> Reporter:
    """Reports on that shop."""
    return Reporter(acme, api.url(shop))


def test_a_record_says_what_popular_says(report: Reporter, acme: "Acme") -> None:
    records = report.lines("ann", "bob", "u3")
    assert [list(record) for record in records] == [["index", "username", "products", "error"]] * 3
    assert [(record["index"], record["username"], record["error"]) for record in records] == [
        (0, "ann", None),
        (1, "bob", None),
        (2, "u3", None),
    ]
    for record in records:
        alone = acme("popular", record["username"], "--json", "--api-url", report.url)
        assert record["products"] == alone.json


def test_each_request_is_made_once(report: Reporter, shop: "Shop") -> None:
    names = ["ann", "bob", *(f"u{number}" for number in range(40))]
    assert len(report.lines(*names)) == 42
    counted = Counter(path.partition("?")[0] for path in shop.paths())
    expected = Counter({f"users/{name}": 1 for name in names} | {f"purchases/by_user/{name}": 1 for name in names})
    expected += Counter({f"products/{number}": 1 for number in range(1, 6)})
    expected += Counter({f"purchases/by_product/{number}": pages for number, pages in enumerate((2, 1, 1, 1, 1), 1)})
    # The longest list that was cut short of what was asked is asked for one page more, once a week.
    assert counted - expected <= Counter({"purchases/by_product/2": 1})
    assert expected - counted == Counter()
    shop.log.clear()
    report.lines(*names)
    assert shop.paths() == []


def test_all_users_that_are_listed(report: Reporter, shop: "Shop") -> None:
    shop.users = [f"u{number}" for number in range(40)] + [f"x{number}" for number in range(110)]
    records = report.lines("--all")
    assert [record["username"] for record in records] == shop.users
    assert [record["index"] for record in records] == list(range(150))
    paths = shop.paths()
    assert [path for path in paths if path.startswith("users/")] == [], "who is listed exists"
    assert [path for path in paths if path.startswith("users?")] == [
        "users?skip=0&limit=100",
        "users?skip=100&limit=100",
    ]


def test_a_wrong_base_url_is_no_empty_report(report: Reporter, acme: "Acme") -> None:
    (acme.folder / "out").write_text("old")
    for _ in range(2):
        ran = acme("report", "--all", "--api-url", f"{report.url}wrong/", "-o", "out", "-q")
        assert ran.code == 4
        assert "users" in ran.err
        assert "acme doctor" in ran.err
    assert (acme.folder / "out").read_text() == "old"


@pytest.mark.parametrize("options", [["--refresh"], ["--ttl", "0"], ["--no-cache"], ["--ttl", "1h"]])
def test_no_request_is_made_twice_whatever_is_stored(report: Reporter, shop: "Shop", options: list[str]) -> None:
    """Old lists lead to products that other users, in this window or the next, ask for as well."""
    names = ["ann", *(f"u{number}" for number in range(40)), "u39"]
    report(*names)
    shop.by_user["u3"] = [{"id": 77, "username": "u3", "product_id": 1}, *shop.by_user["u3"]]
    shop.by_user["u30"] = []
    shop.log.clear()
    report(*names, *options)
    repeated = [path for path, times in Counter(shop.paths()).items() if times > 1]
    assert repeated == []


def test_the_same_user_again_and_again_is_asked_for_once(report: Reporter, shop: "Shop") -> None:
    for name in ("ann", "nobody"):
        shop.log.clear()
        ran = report("-", "--no-cache", "--format", "ndjson", "-q", names=f"{name}\n".encode() * 40)
        assert len(ran.out.splitlines()) == 40
        assert shop.paths().count(f"users/{name}") == 1


def test_a_name_that_comes_again_soon_is_asked_for_once_whatever_the_cache_remembers(
    report: Reporter, shop: "Shop"
) -> None:
    """Old data that stands in for a failure is not fresh, so the cache does not give it back."""
    names = ["ann", "u1", "u2", "u3", "ann", "u5", "u6"]
    assert ", 0% cached" in report(*names).err, "what is asked for once is not in the cache as well"
    shop.fail(500, path="users/ann")
    for options in (["--ttl", "0"], ["--refresh"], []):
        shop.log.clear()
        ran = report(*names, *options)
        assert len(ran.out.splitlines()) == len(names)
        repeated = [path for path, times in Counter(shop.paths()).items() if times > 1]
        assert repeated == [], options


@pytest.mark.parametrize("options", [[], ["--no-cache"], ["--ttl", "0"]])
def test_whoever_is_unknown_is_asked_for_once_however_far_apart(
    report: Reporter, shop: "Shop", options: list[str]
) -> None:
    names = ["nobody", *(f"u{number % 40}" for number in range(700)), "nobody"]
    ran = report("-", *options, "--format", "ndjson", "-q", names="\n".join(names).encode())
    first, *_, last = map(json.loads, ran.out.splitlines())
    assert first["error"]["code"] == "user_not_found"
    assert last == first | {"index": 701}
    repeated = [path for path, times in Counter(shop.paths()).items() if times > 1]
    assert repeated == []


def test_ids_may_be_as_large_as_they_like(report: Reporter, shop: "Shop", acme: "Acme") -> None:
    for place, row in enumerate(shop.by_product[3]):
        row["id"] = 10**23 + place
    assert acme("popular", "ann", "--json", "--api-url", report.url).code == 0
    assert [record["error"] for record in report.lines("ann", "u1")] == [None, None]


def test_names_from_stdin(report: Reporter) -> None:
    names = b"\xef\xbb\xbfann\r\n\n  # a comment\n  bob \n#ann\nnobody with spaces\n\xff\nu1"
    ran = report("-", "--format", "ndjson", names=names)
    assert ran.code == 6
    found = [json.loads(line)["username"] for line in ran.out.splitlines()]
    assert found == ["ann", "bob", "nobody with spaces", "\\udcff", "u1"]


def test_a_line_is_written_as_soon_as_its_turn_comes(report: Reporter, acme: "Acme") -> None:
    arguments = ("report", "-", "--format", "ndjson", "--api-url", report.url)
    with acme.start(*arguments, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, name in enumerate(("ann", "bob", "u1")):
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            record = json.loads(process.stdout.readline())
            assert (record["index"], record["username"]) == (number, name)
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0


def test_a_pipe_that_is_set_not_to_block(report: Reporter, acme: "Acme") -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with acme.start("report", "-", "--format", "ndjson", "--api-url", report.url, stdin=reader) as process:
        os.close(reader)
        assert process.stdout is not None
        os.write(writer, b"ann\n")
        assert json.loads(process.stdout.readline())["username"] == "ann"
        os.write(writer, b"bob\n")
        assert json.loads(process.stdout.readline())["username"] == "bob"
        os.close(writer)
        assert process.wait(20) == 0


def test_ndjson_on_a_terminal_is_not_mixed_with_progress(report: Reporter, shop: "Shop", acme: "Acme") -> None:
    shop.latency = lambda path: 0.05
    names = [f"u{number}" for number in range(20)]
    shown = acme.on_terminal(
        "report", *names, "--format", "ndjson", "--concurrency", "2", "--api-url", report.url, stream="both"
    )
    assert len([json.loads(line) for line in shown.out.splitlines() if line.startswith("{")]) == 20
    assert "\x1b[?25l" not in shown.out


def test_who_fails_is_in_the_document_and_stops_nobody(report: Reporter, shop: "Shop") -> None:
    shop.fail(400, path="purchases/by_product/4")
    ran = report("u39", "nobody", "ann", "..", "bob", "--format", "json")
    assert ran.code == 6
    users = json.loads(ran.out)["users"]
    assert [user["error"] and (user["error"]["code"], user["error"]["exit"]) for user in users] == [
        None,
        ("user_not_found", 3),
        ("api_status", 4),
        ("usage", 2),
        None,
    ]
    assert users[1]["error"]["message"] == "User with username of 'nobody' was not found"
    assert [user["products"] for user in users[1:]] == [[]] * 4
    assert SUMMARY.fullmatch(ran.err), ran.err
    assert ran.err.startswith("acme: 5 users, 3 failed, ")
    for name in ("csv", "tsv", "markdown", "table", "html"):
        ran = report("u39", "nobody", "--format", name, "-q")
        assert (ran.code, ran.err) == (6, "")
        assert "nobody" in ran.out
        assert "was not found" in ran.out


def test_fail_fast_stops_at_the_first(report: Reporter) -> None:
    ran = report("ann", "nobody", "bob", "--fail-fast", "--format", "ndjson", "-q")
    assert ran.code == 3
    assert ran.err == "acme: User with username of 'nobody' was not found\n"
    assert [json.loads(line)["username"] for line in ran.out.splitlines()] == ["ann"]
    assert report("ann", "nobody", "bob", "--fail-fast", "--format", "csv").out == ""


def test_a_dead_api_ends_the_run_and_leaves_the_old_file(
    report: Reporter, mortal_api: "Server", acme: "Acme", make_shop: MakeShop
) -> None:
    url = mortal_api.url(make_shop({1: 2}))
    mortal_api.close()
    old = acme.folder / "out.html"
    old.write_text("old")
    names = "".join(f"u{number}\n" for number in range(1000)).encode()
    for arguments in (("-", "--format", "html", "-o", str(old)), ("-", "--format", "ndjson"), ("--all",)):
        ran = acme("report", *arguments, "--api-url", url, "-q", stdin=report.given(names))
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith("acme: GET http://127.0.0.1")
    assert old.read_text() == "old"
    assert [path.name for path in acme.folder.iterdir() if "acme" in path.name] == []


@pytest.mark.parametrize(
    "fault",
    [(500, b"{}"), (401, b"{}"), (302, b""), (200, b"<html>"), (None, b"")],
    ids=["500", "401", "302", "nonsense", "cut"],
)
@pytest.mark.parametrize("count", [1, 500])
def test_an_api_that_never_makes_sense_leaves_the_old_file(
    report: Reporter, shop: "Shop", acme: "Acme", fault: tuple[int | None, bytes], count: int
) -> None:
    shop.fail(*fault)
    (acme.folder / "out").write_text("old")
    names = "".join(f"u{number}\n" for number in range(count)).encode()
    ran = report("-", "-q", "--format", "html", "-o", "out", names=names)
    assert ran.code in {4, 5}
    assert len(ran.err.splitlines()) <= 2
    assert (acme.folder / "out").read_text() == "old"
    assert len(shop.log) < 60


@pytest.mark.parametrize("options", [[], ["--ttl", "0"], ["--refresh"]], ids=["fresh", "stale", "refresh"])
@pytest.mark.parametrize("place", [0, 10, 19])
@pytest.mark.parametrize("dead", [False, True], ids=["one", "all"])
def test_who_fails_takes_nobody_along_whom_stored_data_helps(
    report: Reporter, shop: "Shop", options: list[str], place: int, dead: bool
) -> None:
    names = [f"u{number}" for number in range(20)]
    stored = [name for name in names if name != names[place]]
    before = {record["username"]: record["products"] for record in report.lines(*stored)}
    shop.fail(500, path="" if dead else f"users/{names[place]}")
    ran = report(*names, *options, "--format", "json", "-q")
    assert ran.code == 6, ran.err
    document = json.loads(ran.out)
    users = document["users"]
    assert {user["username"]: user["products"] for user in users if user["error"] is None} == before
    assert [user["username"] for user in users if user["error"]] == [names[place]]
    assert bool(document["data"]["outage"]) is bool(dead and options)


def test_offline_with_nothing_stored_leaves_the_old_file(report: Reporter, acme: "Acme") -> None:
    (acme.folder / "out").write_text("old")
    assert report("ann", "u1", "--offline", "-q", "-o", "out").code == 5
    assert (acme.folder / "out").read_text() == "old"
    report("u1")
    assert report("ann", "u1", "--offline", "-q", "-o", "out").code == 6


@pytest.mark.parametrize(("slow", "at_least"), [(2, 0), (10, 4), (25, 12), (39, 28)])
def test_who_is_slow_holds_up_few_others(
    report: Reporter, shop: "Shop", acme: "Acme", slow: int, at_least: int
) -> None:
    names = [f"u{number}" for number in range(40)]
    held = threading.Event()
    shop.latency = lambda path: float(held.wait(20)) * 0 if f"u{slow}?" in path else 0
    with acme.start("report", *names, "--format", "ndjson", "--api-url", report.url, "--timeout", "20s") as process:
        assert process.stdout is not None
        for number in range(at_least):
            assert json.loads(process.stdout.readline())["index"] == number
        held.set()
        assert len(process.stdout.read().splitlines()) == 40 - at_least
        assert process.wait(20) == 0


def test_hints_for_who_was_not_found(report: Reporter, acme: "Acme") -> None:
    (record,) = [json.loads(line) for line in report("nobody", "--format", "ndjson").out.splitlines()]
    assert report.url in record["error"]["hint"]
    assert "acme doctor" in record["error"]["hint"]
    (record,) = [json.loads(line) for line in acme("report", "nobody", "--demo", "--format", "ndjson").out.splitlines()]
    assert "Frannie79" in record["error"]["hint"]


def test_an_outage_is_bridged_and_said_at_the_top(report: Reporter, shop: "Shop") -> None:
    names = [f"u{number}" for number in range(40)]
    before = report.lines(*names)
    shop.fail(503)
    ran = report(*names, "--ttl", "0", "--format", "json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert document["users"] == before
    assert "503" in document["data"]["outage"]
    assert "stored data" in ran.err
    for name in ("html", "markdown", "table"):
        page = report(*names, "--ttl", "0", "--format", name).out
        assert "The data API failed; this is from stored data" in page[: len(page) // 2 if name == "html" else 100]
        assert "503" in page
    assert report(*names, "--ttl", "0", "--max-stale", "0").code == 4


def test_one_run_at_a_time_on_one_file(report: Reporter, shop: "Shop", acme: "Acme") -> None:
    shop.gate.clear()
    out = acme.folder / "out.csv"
    arguments = ("--format", "csv", "-o", str(out), "-q")
    with acme.start("report", "ann", "--api-url", report.url, *arguments) as first:
        shop.asked.wait(20)
        second = report("bob", *arguments)
        assert second.code == 7
        assert "another run" in second.err
        assert "--wait" in second.err
        with acme.start("report", "u1", "--api-url", report.url, *arguments, "--wait", "1m") as third:
            shop.gate.set()
            assert first.wait(20) == 0
            assert third.wait(20) == 0
    assert out.read_text().splitlines()[1].startswith("u1,")
    assert [path.name for path in acme.folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_whoever_is_stopped_leaves_the_old_file(
    report: Reporter, shop: "Shop", acme: "Acme", number: int, code: int
) -> None:
    out = acme.folder / "out.csv"
    out.write_text("old")
    shop.gate.clear()
    with acme.start("report", "ann", "--api-url", report.url, "--format", "csv", "-o", str(out)) as process:
        shop.asked.wait(20)
        process.send_signal(number)
        assert process.wait(20) == code
    assert out.read_text() == "old"
    shop.gate.set()
    assert report("ann", "--format", "csv", "-o", str(out)).code == 0
    assert out.read_text().startswith("username,id,face")
    assert [path.name for path in acme.folder.iterdir() if path.name.startswith(".")] == []


def timeless(document: bytes) -> bytes:
    """Return a document without the times in its head."""
    document = re.sub(rb'"(made_at|oldest|newest)":(null|"[^"]*")', b"", document)
    return re.sub(rb"<time[^>]*>[^<]*</time>|not known", b"", document)


@pytest.mark.parametrize("name", FORMATS)
def test_parts_make_the_same_document_as_one_run(report: Reporter, acme: "Acme", name: str) -> None:
    names = b"ann\nnobody\nbob\n\xff\xfe\n" + b"".join(b"u%d\n" % number for number in range(40))
    parts = []
    for number in (3, 1, 2):
        part = acme.folder / f"part-{number}.ndjson"
        report("-", "--shard", f"{number}/3", "--format", "ndjson", "-o", str(part), names=names)
        parts.append(str(part))
    sizes = [len(Path(part).read_bytes().splitlines()) for part in parts]
    assert sum(sizes) == 44
    assert min(sizes) > 5
    merged = acme("report", "--merge", *parts, "--format", name)
    whole = report("-", "--format", name, names=names)
    assert (merged.code, whole.code) == (6, 6)
    assert timeless(merged.out_bytes) == timeless(whole.out_bytes)
    assert len(timeless(merged.out_bytes)) > 1000


def test_what_is_no_part_or_not_all_of_them(report: Reporter, acme: "Acme") -> None:
    for number in (1, 2):
        report("ann", "bob", "u1", "u2", "u3", "--shard", f"{number}/2", "--format", "ndjson", "-o", f"p{number}")
    (acme.folder / "plain").write_text(report("ann", "--format", "ndjson").out)
    (acme.folder / "bad").write_text("{}\n")
    (acme.folder / "deep").write_text('{"index":0,"x":' + "[" * 100_000 + "]" * 100_000 + "}\n")
    lines = (acme.folder / "p1").read_text().splitlines(keepends=True)
    (acme.folder / "turned").write_text("".join(reversed(lines)))
    for arguments, said in (
        (["p1"], "no part has the index"),
        (["p1", "p2", "p2"], "is there twice"),
        (["turned", "p2"], "no part has the index"),
        (["turned"], "no part has the index"),
        (["bad"], "bad: line 1 is no record"),
        (["deep"], "deep: line 1 is no record"),
        (["missing"], "missing cannot be read"),
        (["p1", "p2", "--refresh"], "--refresh"),
        (["plain", "--format", "html"], "lacks buyers"),
        (["p1", "p2", "--since", "3d"], "--since"),
        ([], "no parts"),
    ):
        ran = acme("report", "--merge", *arguments, "-o", "out")
        assert ran.code == 2, arguments
        assert said in ran.err
        assert not (acme.folder / "out").exists()
    assert acme("report", "--merge", "plain", "--format", "csv").code == 0


def test_the_document_keeps_its_schema(report: Reporter, acme: "Acme") -> None:
    schema = acme("report", "--schema").json
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for arguments in (["ann", "nobody"], ["ann", "--shard", "1/1"], ["ann", "--fields", "rank,last_purchased"]):
        document = json.loads(report(*arguments, "--format", "json").out)
        validator.validate(document)
        assert document["version"] == 1
    assert not validator.is_valid(document | {"more": 1})


def test_defaults_follow_the_terminal(report: Reporter, acme: "Acme") -> None:
    assert report("ann").out.startswith('{"index":0')
    shown = acme.on_terminal("report", "ann", "bob", "--api-url", report.url, env={"NO_COLOR": "1"})
    assert "Popular purchases of ann" in shown.out
    assert "bob has no purchases." in shown.out
    shown = acme.on_terminal("report", "ann", "--api-url", report.url, "--json")
    assert shown.out.startswith('{\n  "version": 1,')
    assert acme("report", "ann", "--api-url", report.url, env={"ACME_FORMAT": "csv"}).out.startswith("username,")


def test_products_that_are_gone_are_warned_of_once(report: Reporter, shop: "Shop") -> None:
    del shop.products[4]
    ran = report("ann", "u1", "--format", "ndjson")
    assert ran.code == 0
    (gone,) = [product for product in json.loads(ran.out.splitlines()[0])["products"] if product["id"] == 4]
    assert (gone["face"], gone["price"], gone["size"]) == (None, None, None)
    assert ran.err.count("acme: warning: the data API knows nothing of 1 product among the purchases: 4\n") == 1


def test_options_that_popular_has(report: Reporter, acme: "Acme") -> None:
    options = ("--limit", "2", "--exclude-self", "--since", "2026-11-20T11:30", "--fields", "rank,id,purchases,recent")
    (record,) = report.lines("ann", *options)
    assert record["products"] == acme("popular", "ann", "--json", "--api-url", report.url, *options).json
    assert [product["id"] for product in record["products"]] == [1, 2]
    assert "ann" not in record["products"][0]["recent"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no users are named"),
        (["ann", "--all"], "exclude each other"),
        (["ann", "-"], "stands for stdin"),
        (["ann", "--shard", "0/3"], "--shard"),
        (["ann", "--shard", "4/3"], "--shard"),
        (["ann", "--shard", "x"], "--shard"),
        (["ann", "--wait", "soon"], "--wait"),
        (["ann", "--fields", "id", "--format", "html"], "--fields has no meaning for html"),
        (["ann", "--format", "xml"], "xml"),
    ],
)
def test_usage_errors(report: Reporter, arguments: list[str], said: str) -> None:
    ran = report(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_progress_on_a_terminal(report: Reporter, shop: "Shop", acme: "Acme") -> None:
    shop.latency = lambda path: 0.05
    names = [f"u{number}" for number in range(40)]
    shown = acme.on_terminal(
        "report", *names, "--api-url", report.url, "--concurrency", "2", "-o", "out", stream="stderr"
    )
    assert shown.code == 0
    assert re.search(r"\d+ of 40 users, \d+ requests, \d+% cached", shown.err)
    assert SUMMARY.search(shown.err)


@pytest.mark.parametrize("phase", ["reads stdin", "waits for the API"])
def test_a_reader_that_goes_away_is_noticed_at_once(report: Reporter, shop: "Shop", acme: "Acme", phase: str) -> None:
    if phase == "waits for the API":
        shop.gate.clear()
    with acme.start("report", "-", "--api-url", report.url, "--format", "ndjson", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"ann\n")
        process.stdin.flush()
        if phase == "waits for the API":
            assert shop.asked.wait(20)
        else:
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(5) == 141


def test_a_reader_that_goes_away(report: Reporter, acme: "Acme") -> None:
    reader, writer = socket.socketpair()
    reader.close()
    ran = acme("report", "ann", "bob", "--api-url", report.url, "--format", "ndjson", stdout=writer)
    writer.close()
    assert (ran.code, ran.err) == (141, "")
