"""O4 to O7: however a run is ended, it ends at once, says one line, and leaves the old file or the new one."""

import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import MOUNT, Customer, can_mount, held
from .hostile import SLOW, Hostile, floods, full_backlog, status

if TYPE_CHECKING:
    from conftest import Acme, Shop

MakeShop = Callable[..., "Shop"]
Rounds = Callable[[str], int]
Started = subprocess.Popen[bytes]
ENDINGS = {signal.SIGINT: (130, b"acme: interrupted\n"), signal.SIGTERM: (143, b"acme: terminated\n")}
PATIENCE = 30.0


def until(true: Callable[[], object]) -> None:
    """Return once it is; fail after half a minute."""
    last = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < last, "it never came to that"
        time.sleep(0.002)


def end(process: Started, number: signal.Signals) -> None:
    """Send the signal, and assert that the process ends as promised."""
    sent = time.monotonic()
    process.send_signal(number)
    process.wait(PATIENCE)
    took = time.monotonic() - sent
    _, err = process.communicate()
    code, says = ENDINGS[number]
    assert (process.returncode, err) == (code, says)
    assert took < 1


def has_open(process: Started, name: str) -> bool:
    """Return whether the process has open what is called so."""
    try:
        return any(name in str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir())
    except FileNotFoundError:
        return False


# --- O5: one phase each ---


def is_connecting(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    listener, waiting = full_backlog()
    for one in (listener, *waiting):
        later.callback(one.close)
    process = acme.start("popular", "ann", "--api-url", f"http://127.0.0.1:{listener.getsockname()[1]}/")
    until(lambda: has_open(process, "socket:"))
    return process


def reads_headers(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    url, place = hostile.place(SLOW["a header at a time"], "users")
    process = acme.start("popular", "ann", "--api-url", url)
    assert place.asked.wait(PATIENCE)
    return process


def reads_a_body(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    url, place = hostile.place(SLOW["a byte of the body at a time"], "products")
    process = acme.start("popular", "ann", "--api-url", url)
    until(lambda: "products/1" in place.paths())
    return process


def is_flooded(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    url, place = hostile.place(floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200))
    process = acme.start("popular", "ann", "--api-url", url)
    assert place.asked.wait(PATIENCE)
    return process


def waits_before_a_retry(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    url, place = hostile.place(status(503, "Retry-After: 9"), "users")
    process = acme.start("popular", "ann", "--api-url", url)
    until(lambda: len(place.seen) == 2)
    time.sleep(0.2)  # it reads the answer, and imports what it takes to wait
    return process


def waits_for_another_process(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    customer.shop.asked.clear()
    customer.shop.gate.clear()
    later.callback(customer.shop.gate.set)
    leader = acme.start(*customer.arguments())
    later.callback(leader.communicate)
    later.callback(leader.kill)
    assert customer.shop.asked.wait(PATIENCE)
    process = acme.start(*customer.arguments())
    until(lambda: has_open(process, "responses-v1.lock"))
    return process


def waits_for_the_database(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    customer.right()
    customer.shop.log.clear()
    later.enter_context(held(customer.database, "BEGIN IMMEDIATE", "UPDATE Settings SET value = 1"))
    process = acme.start(*customer.arguments("--refresh"))
    until(lambda: len(customer.shop.log) >= 2)
    time.sleep(0.1)  # it reads the answers, and imports what it takes to store them
    return process


def writes_to_a_pipe_that_nobody_reads(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    customer.shop.products[1]["face"] = "x" * 200_000
    process = acme.start(*customer.arguments())
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE)[0]
    return process


def opens_a_pipe_that_nobody_reads(acme: "Acme", customer: Customer, hostile: Hostile, later: ExitStack) -> Started:
    (acme.folder / "pipe").unlink(missing_ok=True)
    os.mkfifo(acme.folder / "pipe")
    customer.shop.log.clear()
    process = acme.start(*customer.arguments("--no-cache", "-o", "pipe"))
    until(lambda: len(customer.shop.log) >= 6)
    return process


PHASES = (
    is_connecting,
    reads_headers,
    reads_a_body,
    is_flooded,
    waits_before_a_retry,
    waits_for_another_process,
    waits_for_the_database,
    writes_to_a_pipe_that_nobody_reads,
    opens_a_pipe_that_nobody_reads,
)


@pytest.mark.parametrize("phase", PHASES)
def test_o5_a_signal_ends_every_phase_within_a_second(
    acme: "Acme",
    customer: Customer,
    hostile: Hostile,
    some: Callable[..., list[signal.Signals]],
    phase: Callable[..., Started],
) -> None:
    """In CI one of the two signals for each phase."""
    signals = list(ENDINGS)[:: 1 if PHASES.index(phase) % 2 else -1]
    for number in some(signals):
        with ExitStack() as later, phase(acme, customer, hostile, later) as process:
            try:
                end(process, number)
            finally:
                process.kill()


@pytest.mark.parametrize("number", ENDINGS)
def test_o5_a_signal_at_any_moment(customer: Customer, rounds: Rounds, number: signal.Signals) -> None:
    """From the moment on from which the process catches SIGTERM; before it, the interpreter is still starting."""
    draw = random.Random(number)
    start = time.monotonic()
    customer.right("--refresh")
    took = time.monotonic() - start
    for _ in range(rounds("signals at random")):
        with customer.acme.start(*customer.arguments("--refresh")) as process:
            until(lambda: catches_sigterm(process) or process.poll() is not None)
            time.sleep(draw.uniform(0, took))
            sent = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
            waited = time.monotonic() - sent
        code, line = ENDINGS[number]
        if process.returncode == 0:
            assert (out, err) == (customer.answer, b"")
        else:
            assert process.returncode == code
            assert out in {b"", customer.answer}
            assert err in {b"", line}
        assert waited < 1
    customer.right("--refresh")


@pytest.mark.parametrize("number", ENDINGS)
def test_o5_a_signal_while_a_large_cache_is_pruned(customer: Customer, number: signal.Signals) -> None:
    """The statement is broken off, the signal is not lost, and the cache is not taken for damaged."""
    customer.right()
    rows = ((f"{customer.url}\n-\n{index}", float(index), b"x" * 50) for index in range(300_000))
    with closing(customer.connect()) as database:
        database.execute("BEGIN")
        database.executemany("INSERT INTO Cache(key, raw, store_time, mode, value) VALUES (?, 1, ?, 1, ?)", rows)
        database.execute("COMMIT")
    log = next(customer.acme.cache.rglob("cache.db")).with_name("cache.db-wal")
    with customer.acme.start("cache", "prune", "--older-than", "1h") as process:
        until(lambda: (log.exists() and log.stat().st_size > 0) or process.poll() is not None)
        start = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
        took = time.monotonic() - start
    assert (process.returncode, err) == ENDINGS[number]
    assert took < 1
    assert not (customer.acme.cache / "responses-v1.damaged").exists()
    customer.right()


def catches_sigterm(process: Started) -> bool:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


# --- O6 ---


def test_o6_o_leaves_the_old_file_or_the_new_one(
    customer: Customer, rounds: Rounds, record_property: Callable[[str, object], None]
) -> None:
    customer.shop.products[1]["face"] = "x" * 1_000_000
    new = customer.ask().out_bytes
    start = time.monotonic()
    customer.ask("-o", "out")
    took = time.monotonic() - start
    draw, file = random.Random(6), customer.acme.folder / "out"
    found = {"old": 0, "new": 0}
    for number in range(rounds("kills of -o")):
        old = b"old" * draw.randrange(1, 500_000)
        file.write_bytes(old)
        with customer.acme.start(*customer.arguments("-o", "out")) as process:
            if number % 2:  # at the moment when it is written, too
                until(lambda: process.poll() is not None or list(customer.acme.folder.glob(".out*")))
                time.sleep(draw.uniform(0, 0.005))
            else:
                time.sleep(draw.uniform(0, 1.2 * took))
            process.kill()
        content = file.read_bytes()
        assert content in {old, new}, f"{len(content)} bytes after kill {number}"
        found["new" if content == new else "old"] += 1
    record_property("left after kills", str(found))


def test_o6_a_full_disk_leaves_the_old_file(customer: Customer) -> None:
    if not can_mount():
        pytest.skip("only root in its own mount namespace can make such a disk")
    customer.shop.products[1]["face"] = "x" * 1_000_000
    disk = customer.acme.folder / "disk"
    disk.mkdir()
    mount = MOUNT.partition(";")[0]
    script = f'{mount}; shift 2; cd "{disk}"; echo old > out; "$@"; code=$?; ls -A; cat out; exit $code'
    shell = ["unshare", "-m", "sh", "-c", script, "-", "size=300k", str(disk), customer.acme.program]
    ran = customer.ask("-o", str(disk / "out"), command=shell)
    assert ran.code == 8
    assert ran.out == "out\nold\n"
    (line,) = ran.err.splitlines()
    assert '"code":"output"' in line


# --- O4, O7 ---


@pytest.mark.parametrize("options", [["--json"], ["--format", "table"], ["--format", "csv"]])
def test_o4_o7_a_pipe_on_a_full_disk_and_no_environment(customer: Customer, options: list[str]) -> None:
    customer.shop.products[1]["face"] = "x" * 50_000
    with Path("/dev/full").open("wb") as full:
        for env in ({}, {"LC_ALL": "C", "PYTHONUNBUFFERED": "1"}):
            arguments = [one for one in customer.arguments() if one != "--json"]
            ran = customer.acme(
                *arguments, *options, "-q", stdout=full, whole_environment={**env, **customer.acme.coverage}
            )
            assert ran.code == 8
            lines = ran.err.splitlines()
            assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))


def test_o7_cron(customer: Customer) -> None:
    """No HOME, no TERM, no PATH, LC_ALL=C, stdin closed, no terminal: silence, or one line and a code."""
    for env in ({"LC_ALL": "C"}, {"HOME": "/nonexistent"}):
        for cache in ([], ["--cache-dir", str(customer.acme.folder / "elsewhere")]):
            whole = {**env, **customer.acme.coverage}
            ran = customer.ask("-q", *cache, whole_environment=whole)
            assert (ran.code, ran.out_bytes, ran.err) == (0, customer.answer, ""), env
            failed = customer.ask("-q", *cache, whole_environment=whole, name="nobody")
            assert (failed.code, failed.out, len(failed.err.splitlines())) == (3, "", 1)
