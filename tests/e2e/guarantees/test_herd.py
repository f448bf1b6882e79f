"""C7 and C8: many processes with one question, on one cold cache, at the same moment."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .conftest import Customer, held

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

import os

MakeShop = Callable[..., "Shop"]
Rounds = Callable[[str], int]


def start(customer: Customer, count: int, *options: str) -> list[subprocess.Popen[bytes]]:
    return [customer.acme.start(*customer.arguments(*options)) for _ in range(count)]


def ends(processes: list[subprocess.Popen[bytes]]) -> list[tuple[int, bytes, bytes]]:
    """Return code, stdout and stderr of each, all read at the same time."""

    def end(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(end, processes))


def asked(customer: Customer) -> Counter[str]:
    return Counter(customer.shop.paths())


def test_c8_each_url_is_asked_once(customer: Customer, rounds: Rounds) -> None:
    count = rounds("processes")
    customer.shop.latency = lambda path: 0.2
    found = ends(start(customer, count))
    assert found == [(0, customer.answer, b"")] * count
    assert set(asked(customer).values()) == {1}
    assert len(asked(customer)) == 6


def test_c8_and_twice_at_most_if_the_one_who_fetched_was_killed(customer: Customer, rounds: Rounds) -> None:
    count = rounds("processes") // 2
    for number in range(rounds("leaders killed")):
        customer.acme("cache", "clear", "--yes")
        customer.shop.log.clear()
        in_the_second_round = number % 2 == 1
        first = threading.Event()
        if in_the_second_round:
            customer.shop.latency = lambda path, first=first: (  # type: ignore[misc]  # a default binds it now
                first.wait(30) or 0.0 if path.startswith("products/1") and not first.is_set() else 0.0
            )
        else:
            customer.shop.gate.clear()
        customer.shop.asked.clear()
        (leader,) = start(customer, 1)
        assert customer.shop.asked.wait(30)
        others = start(customer, count)
        leader.kill()
        leader.communicate()
        first.set()
        customer.shop.gate.set()
        found = ends(others)
        assert found == [(0, customer.answer, b"")] * count, number
        assert max(asked(customer).values()) <= 2, asked(customer)
        assert len(asked(customer)) == 6


def timed_herd(customer: Customer, count: int, *options: str) -> tuple[list[tuple[int, bytes, bytes]], float]:
    began = time.monotonic()
    found = ends(start(customer, count, *options))
    return found, time.monotonic() - began


def test_c8_nobody_queues_when_nothing_can_be_stored(customer: Customer, rounds: Rounds) -> None:
    """One after another would take `count` times the latency; all at once takes it twice."""
    count, latency = rounds("processes"), 0.7
    _, startup = timed_herd(customer, count, "--no-cache")
    customer.shop.latency = lambda path: latency

    def assert_none_queues(expected: tuple[int, bytes], *options: str, locked: float = 0.0) -> None:
        found, took = timed_herd(customer, count, *options)
        assert [(code, out) for code, out, _ in found] == [expected] * count
        assert all(len(err.splitlines()) <= 1 for *_, err in found)
        assert took < 1.5 * startup + 4 * latency + locked

    customer.shop.fail(500)
    assert_none_queues((4, b""))
    customer.shop.faults.clear()
    customer.right()
    with held(customer.database, "BEGIN EXCLUSIVE", "DELETE FROM Cache"):
        assert_none_queues((0, customer.answer), "--limit", "4", locked=2.0)  # C6
    (customer.acme.folder / "file").write_text("not a folder")
    assert_none_queues((0, customer.answer), "--cache-dir", "file")


def test_c7_many_cold_starts_on_one_cache(
    acme: "Acme", api: "Server", make_shop: MakeShop, record_property: Callable[[str, object], None]
) -> None:
    """In full with the promised figure: 1.3 times what the imports alone take, and the two rounds."""
    full = os.environ.get("ACME_ATTACK") == "full"
    count = 64 if full else 8
    shop = make_shop({1: 8, 2: 5})
    customer = Customer(acme, api.url(shop), shop)
    imports = [sys.executable, "-c", "import typer, diskcache, msgspec"]
    began = time.monotonic()
    bare = [subprocess.Popen(imports) for _ in range(count)]
    assert [process.wait(60) for process in bare] == [0] * count
    bare_took = time.monotonic() - began
    began = time.monotonic()
    found = ends(start(customer, count))
    took = time.monotonic() - began
    assert found == [(0, customer.answer, b"")] * count
    assert set(asked(customer).values()) == {1}
    record_property(f"{count} starts", f"{took:.2f} s; imports {bare_took:.2f} s; ratio {took / bare_took:.2f}")
    if full:
        assert took < 1.3 * bare_took + 0.1  # two rounds of a server that answers at once


def test_c8_other_questions_are_not_held_up(customer: Customer) -> None:
    """A process that waits for its answer has the locks of its own keys only."""
    customer.shop.users = [*customer.shop.users, "eve"]
    customer.shop.latency = lambda path: 30.0 if "ann" in path else 0.0
    (slow,) = start(customer, 1)
    assert customer.shop.asked.wait(30)
    assert customer.ask(name="bob").json == []
    slow.kill()
    slow.communicate()
