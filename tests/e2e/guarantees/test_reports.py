"""The guarantees that bind reports: answers, output, signals, cron, and a dead API, from outside."""

import csv
import io
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .hostile import Hostile, drips, status

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

Rounds = Callable[[str], int]
FORMATS = ("ndjson", "json", "csv", "tsv", "markdown", "table", "html")
FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
EVIL = (
    "<script>ran=1</script>",
    "=1+1",
    "-2",
    "@x",
    "\x1b[2J\x9b31m",
    "a\u202eb\u2066",
    "`|`",
    "'\"&",
    "{{ 7*7 }}",
    "a\nb",
)


@pytest.fixture
def shop(make_shop: Callable[..., "Shop"]) -> "Shop":
    """Five products and 42 users, one of whom has bought nothing."""
    return make_shop({1: 120, 2: 60, 3: 9, 4: 1, 5: 30})


@pytest.fixture
def arguments(api: "Server", shop: "Shop") -> list[str]:
    """What reports on all users of the shop."""
    names = ["ann", "bob", *(f"u{number}" for number in range(40))]
    return ["report", *names, "--api-url", api.url(shop), "--retries", "0"]


def timeless(document: bytes) -> bytes:
    """Return a document without the times in its head."""
    document = re.sub(rb'"(made_at|oldest|newest)":"[^"]*"', b"", document)
    return re.sub(rb"<time[^>]*>[^<]*</time>", b"", document)


@pytest.mark.parametrize("name", FORMATS)
def test_a2_the_order_of_arrival_changes_nothing(
    acme: "Acme", shop: "Shop", arguments: list[str], rounds: Rounds, name: str
) -> None:
    draw = random.Random(name)
    shop.latency = lambda path: draw.uniform(0, 0.01)
    found = {
        timeless(acme(*arguments, "--no-cache", "--format", name).out_bytes)
        for _ in range(3 * rounds("leaders killed") // 2)
    }
    assert len(found) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_o1_o3_text_of_the_api_is_only_ever_text(acme: "Acme", api: "Server", shop: "Shop", name: str) -> None:
    for number, text in enumerate(EVIL):
        shop.products[number % 5 + 1]["face"] = text
        shop.by_product[number % 5 + 1].insert(0, {"id": -number, "username": text, "product_id": number % 5 + 1})
    shop.users = [*shop.users, *EVIL]
    for given in (["ann", "u1"], ["--all"]):
        ran = acme("report", *given, "--api-url", api.url(shop), "--format", name, "-q")
        assert ran.code == (0 if given == ["ann", "u1"] else 6)  # names with control characters cannot be asked for
        assert not FORBIDDEN.search(ran.out.replace("\t", "") if name == "tsv" else ran.out)
        if name == "csv":
            cells = [cell for row in csv.reader(io.StringIO(ran.out)) for cell in row]
            assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
        if name == "html":
            assert "<script>ran" not in ran.out
            assert "{{ 7*7 }}" in ran.out


@pytest.mark.parametrize("name", FORMATS)
def test_o4_what_cannot_be_written_whole_is_an_error(acme: "Acme", arguments: list[str], name: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = acme(*arguments, "--format", name, "-q", stdout=full)
    assert (ran.code, ran.err.count("\n") <= 2) == (8, True)
    assert acme(*arguments, "--format", name, "-q", "-o", "/dev/full").code == 8
    assert acme(*arguments, "--format", name, "-q", "-o", "missing/out").code == 8


def test_o6_the_old_file_or_the_new_one_and_no_litter(
    acme: "Acme", arguments: list[str], rounds: Rounds, record_property: Callable[[str, object], None]
) -> None:
    out = acme.folder / "reports" / "out.html"
    out.parent.mkdir()
    command = [*arguments, "--format", "html", "-o", str(out), "-q"]
    acme(*command)
    start = time.monotonic()
    acme(*command)
    took = time.monotonic() - start
    new = timeless(out.read_bytes())
    draw = random.Random(5)
    kept = 0
    for _ in range(rounds("kills of -o")):
        out.write_text("old")
        with acme.start(*command) as process:
            try:
                process.wait(draw.uniform(0.3 * took, 1.1 * took))
            except subprocess.TimeoutExpired:
                process.kill()
        content = timeless(out.read_bytes())
        assert content in {b"old", new}
        kept += content == b"old"
    record_property("old files kept", kept)
    assert acme(*command).code == 0
    assert timeless(out.read_bytes()) == new
    assert [item.name for item in out.parent.iterdir()] == ["out.html"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["reads stdin", "waits for the API", "waits for the lock", "writes to a full pipe"])
def test_o5_a_signal_ends_every_phase_within_a_second(  # noqa: PLR0917  fixtures, and what to try
    acme: "Acme", api: "Server", shop: "Shop", arguments: list[str], phase: str, number: signal.Signals
) -> None:
    url = ["--api-url", api.url(shop)]
    options: dict[str, Any] = {"stdin": subprocess.PIPE}
    command = arguments
    other = None
    if phase == "reads stdin":
        command = ["report", "-", "--format", "ndjson", *url]
    elif phase == "waits for the API":
        shop.gate.clear()
    elif phase == "waits for the lock":
        shop.gate.clear()
        other = acme.start("report", "ann", *url, "-o", "out")
        assert shop.asked.wait(20)
        command = ["report", "bob", *url, "-o", "out", "--wait", "1h"]
    else:
        shop.products[1]["face"] = "x" * 300_000
    with acme.start(*command, "-q", **options) as process:
        assert process.stdin is not None
        if phase == "reads stdin":
            assert process.stdout is not None
            process.stdin.write(b"ann\n")
            process.stdin.flush()
            process.stdout.readline()
        elif phase == "waits for the API":
            assert shop.asked.wait(20)
        else:
            until_sleeping(process.pid)
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 128 + number
        assert time.monotonic() - start < 1
    shop.gate.set()
    if other is not None:
        with other:
            assert other.wait(20) == 0


def until_sleeping(pid: int) -> None:
    """Wait until the process has run for a while and then uses no processor time any more."""
    used, quiet = -1, 0
    last = time.monotonic() + 20
    while quiet < 5 and time.monotonic() < last:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        now = int(fields[11]) + int(fields[12])
        quiet = quiet + 1 if now == used and now > 3 else 0
        used = now
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["csv", "html", "ndjson"])
def test_o7_o8_cron_without_an_environment(acme: "Acme", arguments: list[str], name: str) -> None:
    token = acme.folder / "token"
    token.write_text("s3cret-token")
    whole = {"LC_ALL": "C", **acme.coverage}
    ran = acme(*arguments, "--format", name, "-q", "-o", "out", "--api-token-file", str(token), whole_environment=whole)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert b"s3cret" not in (acme.folder / "out").read_bytes()
    failed = acme("report", "ann", "--format", name, "-q", whole_environment=whole)
    assert (failed.code, failed.out) == (2, "")
    token.unlink()


@pytest.mark.parametrize(
    ("talk", "options", "code"),
    [
        (status(500), [], 4),
        (status(503), ["--retries", "1"], 4),
        (drips(b""), ["--timeout", "500ms"], 5),
    ],
)
def test_n4_a_dead_api_ends_a_large_report_in_seconds(
    acme: "Acme", hostile: Hostile, talk: Any, options: Sequence[str], code: int
) -> None:
    url, place = hostile.place(talk)
    names = acme.folder / "names"
    names.write_text("".join(f"u{number}\n" for number in range(1000)))
    (acme.folder / "out").write_text("old")
    start = time.monotonic()
    ran = acme("report", "-", "-q", "-o", "out", "--api-url", url, *options, stdin=os.open(names, os.O_RDONLY))
    assert ran.code == code
    assert time.monotonic() - start < 10
    assert len(place.seen) < 100
    assert (acme.folder / "out").read_text() == "old"
