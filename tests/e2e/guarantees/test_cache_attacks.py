"""C1 to C6 and C10 to C12: whatever happened to the cache, the answer is right and nothing else is touched."""

import fcntl
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import ENDLESS, ENDLESS_VIEW, MOUNT, Customer, can_mount, held
from .hostile import BROKEN, GOOD, SLOW, Hostile, Talk, answer, redirect, says, status, whole

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

MakeShop = Callable[..., "Shop"]
Rounds = Callable[[str], int]
Stored = Callable[[], Customer]
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
OBEY_MODES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if IS_ROOT else []
"""Put before the command so that even root may do only what modes permit."""


# --- C1, C2 ---


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.marker), "w")


def planted_columns(victim: Path, marker: Path, folder: Path) -> dict[str, dict[str, object]]:
    """Return what is put into the rows that the command asks for, by the name of the attack."""
    harm = pickle.dumps(Harm(marker))
    up = os.path.relpath(victim, folder)
    files: dict[str, dict[str, object]] = {
        f"mode {mode}, file {name}": {"mode": mode, "filename": name, "value": None}
        for mode in (1, 2, 3, 4)
        for name in (up, str(victim))
    }
    return files | {
        "pickle": {"mode": 4, "value": harm},
        "pickle as bytes": {"mode": 1, "value": harm},
        "pickle as text file": {"mode": 3, "value": harm},
        "pickled key": {"raw": 0},
        "pickle in the tag": {"tag": harm, "raw": 0, "mode": 4, "value": harm},
        "file beside a value": {"filename": up},
        "text": {"value": "text"},
        "number": {"value": 5},
        "null": {"value": None, "mode": None, "raw": None},
        "nothing": {"value": b""},
        "times": {"store_time": None, "expire_time": 0.0, "access_time": "soon"},
        "far times": {"store_time": 1e300, "expire_time": -1e300},
        "sizes": {"size": "many", "access_count": harm},
    }


def in_every_state(customer: Customer) -> None:
    """Hit or miss, then a write that culls, then the commands that look at everything."""
    customer.right("--ttl", "1h")
    customer.right("--refresh", "--cache-size-limit", "64KiB")
    for command in (["info", "--json"], ["prune", "--older-than", "0s"]):
        assert customer.acme("cache", *command).code == 0, command


def test_c1_c2_planted_rows_run_nothing_and_touch_nothing(stored: Stored, tmp_path: Path, rounds: Rounds) -> None:
    """Every row that the command asks for is planted with something else; in full, each row with everything."""
    victim, marker = tmp_path / "victim", tmp_path / "marker"
    victim.write_text("precious")
    customer = stored()
    planted = list(planted_columns(victim, marker, customer.folder).items())
    for number in range(rounds("planted rows")):
        stored()
        with closing(customer.connect()) as database:
            for (rowid,) in database.execute("SELECT rowid FROM Cache").fetchall():
                _, columns = planted[(rowid + 5 * number) % len(planted)]
                names = ", ".join(f"{column} = ?" for column in columns)
                database.execute(f"UPDATE OR REPLACE Cache SET {names} WHERE rowid = ?", [*columns.values(), rowid])
        in_every_state(customer)
        assert victim.read_text() == "precious", number
        assert not marker.exists(), number


SETTINGS = {
    "_directory": "/elsewhere",
    "count": "many",
    "size": None,
    "cull_limit": 10**6,
    "eviction_policy": "least-recently-used",
    "statistics": 1,
    "size_limit": 0,
    "disk_pickle_protocol": "x",
    "sqlite_journal_mode": "delete",
    "sqlite_writable_schema": 1,
    "no_such_setting": b"\0",
}


def test_c1_planted_settings_and_keys_do_nothing(stored: Stored, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    customer = stored()
    with closing(customer.connect()) as database:
        database.executemany("INSERT OR REPLACE INTO Settings VALUES (?, ?)", SETTINGS.items())
        harm = pickle.dumps(Harm(marker))
        database.execute("INSERT INTO Cache(key, raw, mode, value, store_time) VALUES (?, 0, 4, ?, 0.5)", (harm, harm))
        database.execute("INSERT INTO Cache(key, raw, mode, value, store_time) VALUES (?, 1, 4, ?, 0.5)", ("k", harm))
    in_every_state(customer)
    assert not marker.exists()


SQL = {
    "a view": ENDLESS_VIEW,
    "a trigger on insert": "CREATE TRIGGER t BEFORE INSERT ON Cache BEGIN"
    f" SELECT count(*) FROM ({ENDLESS} SELECT x FROM c); END",
    "a trigger on update": "CREATE TRIGGER t BEFORE UPDATE ON Cache BEGIN"
    f" SELECT count(*) FROM ({ENDLESS} SELECT x FROM c); END",
    "a trigger that undoes": "CREATE TRIGGER t BEFORE UPDATE ON Cache BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    "a trigger that forgets": "CREATE TRIGGER t AFTER UPDATE ON Cache BEGIN DELETE FROM Cache; END",
    "another table": "DROP TABLE Cache; CREATE TABLE Cache(key, value)",
    "no table": "DROP TABLE Cache",
    "a generated column": "ALTER TABLE Cache DROP COLUMN tag;"
    " ALTER TABLE Cache ADD COLUMN tag AS (zeroblob(1000000000))",
}


@pytest.mark.parametrize("name", SQL)
def test_c1_planted_sql_does_not_run(stored: Stored, name: str) -> None:
    customer = stored()
    with closing(customer.connect()) as database:
        database.executescript(SQL[name])
    for options in (["--ttl", "1h"], ["--refresh", "--limit", "4"]):
        with customer.acme.start(*customer.arguments(*options)) as process:
            try:
                out, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                pytest.fail(f"{name} in the database keeps the command for ever ({' '.join(options)})")
        assert (process.returncode, out) == (0, customer.answer)
        assert len(err.splitlines()) <= 1


def test_c2_planted_files_and_links_lead_nowhere(stored: Stored, tmp_path: Path, some: Callable[..., Any]) -> None:
    victim, far = tmp_path / "victim", tmp_path / "far"
    far.mkdir()
    customer = stored()
    lock = customer.acme.cache / "responses-v1.lock"
    aside = customer.acme.cache / "responses-v1.damaged"
    journal = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(20) + str(victim).encode()

    def replace(path: Path, make: Callable[[Path], None]) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        make(path)

    def link_to(target: Path) -> Callable[[Path], None]:
        return lambda path: path.symlink_to(target)

    def damage_beside_a_link(path: Path) -> None:
        path.write_bytes(b"x" * 10_000)
        aside.symlink_to(far)

    plants: dict[str, tuple[Path, Callable[[Path], Any]]] = {
        "journal": (customer.folder / "cache.db-journal", lambda path: path.write_bytes(journal)),
        "log link": (customer.folder / "cache.db-wal", link_to(victim)),
        "index link": (customer.folder / "cache.db-shm", link_to(victim)),
        "database link": (customer.database, link_to(victim)),
        "folder link": (customer.folder, link_to(far)),
        "lock link": (lock, link_to(victim)),
        "lock folder": (lock, Path.mkdir),
        "lock pipe": (lock, os.mkfifo),
        "database pipe": (customer.database, os.mkfifo),
        "a value file": (customer.folder / "ab", Path.mkdir),
        "damaged link": (customer.database, damage_beside_a_link),
    }
    for name, (path, make) in some(list(plants.items())):
        stored()
        victim.write_text("precious")
        (far / "kept").write_text("precious")
        replace(path, make)
        customer.right(warnings=1)
        customer.right("--refresh", warnings=1)
        if "link" in name:
            customer.acme("cache", "clear", "--yes")
        assert victim.read_text() == "precious", name
        assert [path.name for path in far.iterdir()] == ["kept"], name
        assert (far / "kept").read_text() == "precious"


@pytest.mark.parametrize("name", ["responses-v1.lock", "responses-v1/cache.db-wal", "responses-v1/cache.db-shm"])
def test_c2_another_name_of_a_file_outside_is_not_written(stored: Stored, tmp_path: Path, name: str) -> None:
    """A hard link looks like any file; where nothing can be stored, word of that is written beside the locks."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    customer = stored()
    place = customer.acme.cache / name
    place.unlink(missing_ok=True)
    place.hardlink_to(victim)
    customer.right("--refresh", warnings=1)
    customer.shop.fail(500)
    assert customer.ask("--limit", "4", "--max-stale", "0").code == 4
    assert victim.read_bytes() == b"precious"


# --- C3 ---


def flip(data: bytearray, draw: random.Random) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def flip_in_names(data: bytearray, draw: random.Random) -> None:
    """Flip a bit of a key: in the table, or in the index that leads there."""
    names = [found.start() for found in re.finditer(rb"(users|products|purchases)/", data)]
    data[draw.choice(names) + draw.randrange(10)] ^= 1 << draw.randrange(8)


def truncate(data: bytearray, draw: random.Random) -> None:
    del data[draw.choice([0, 1, 16, 100, draw.randrange(len(data)), len(data) - 1]) :]


def zero_pages(data: bytearray, draw: random.Random) -> None:
    for page in draw.sample(range(len(data) // 4096), draw.randint(1, 3)):
        data[page * 4096 : (page + 1) * 4096] = bytes(4096)


@pytest.mark.parametrize(
    ("attack", "damage"),
    [("flips", flip), ("flips in names", flip_in_names), ("truncations", truncate), ("zeroed pages", zero_pages)],
)
def test_c3_damage_never_changes_an_answer(
    stored: Stored, rounds: Rounds, attack: str, damage: Callable[[bytearray, random.Random], None]
) -> None:
    """The API says something else now, so that only an answer from the cache is the old one."""
    draw = random.Random(attack)
    customer = stored()
    whole = bytes(customer.database.read_bytes())
    customer.shop.products[1]["price"] = 1_000_000
    asked = customer.ask("--no-cache").out_bytes
    assert asked != customer.answer
    for number in range(rounds(attack)):
        stored()
        data = bytearray(whole)
        damage(data, draw)
        customer.database.write_bytes(data)
        ran = customer.ask("--ttl", "1h")
        assert ran.code == 0, (number, ran.err)
        assert len(ran.err.splitlines()) <= 1, (number, ran.err)
        # The old and the new product make two answers; both are right, by what was stored.
        assert ran.out_bytes in {customer.answer, asked}, number
        after = customer.ask("--refresh")
        assert (after.code, after.out_bytes) == (0, asked), (number, after.err)
        assert len(after.err.splitlines()) <= 1, (number, after.err)
        if ran.err:
            assert (customer.acme.cache / "responses-v1.damaged").exists(), ran.err


def test_c3_a_damaged_log_changes_no_answer(stored: Stored, rounds: Rounds) -> None:
    customer = stored()
    draw = random.Random(3)
    keeper = customer.connect()  # an open connection keeps the log from being folded in
    keeper.execute("SELECT count(*) FROM Cache").fetchall()
    customer.right("--refresh")
    log = customer.folder / "cache.db-wal"
    whole = log.read_bytes()
    keeper.close()
    assert len(whole) > 4096
    for number in range(rounds("damaged logs")):
        stored()
        data = bytearray(whole)
        flip(data, draw)
        log.write_bytes(data[: draw.randrange(len(data))] if number % 2 else data)
        customer.right("--ttl", "1h", warnings=1)
        customer.right("--refresh", warnings=1)


# --- C4 ---


def test_c4_kills_among_writers(acme: "Acme", api: "Server", make_shop: MakeShop, rounds: Rounds) -> None:
    limit = 500_000
    shop = make_shop({1: 300, 2: 100, 3: 30})
    customer = Customer(acme, api.url(shop), shop)
    draw = random.Random(4)
    write = customer.arguments("--refresh", "--cache-size-limit", str(limit))
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(rounds("kills among writers")):
        while len(running) < 4:
            running.append(acme.start(*write, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(draw.uniform(0, 0.5))
        victim = running.pop(draw.randrange(4))
        victim.kill()
        victim.wait()
        running = [process for process in running if process.poll() is None]
    for process in running:
        process.wait(30)
        assert process.returncode == 0
    assert customer.used() <= 1.2 * limit
    customer.right("--cache-size-limit", str(limit))
    customer.right("--refresh", "--cache-size-limit", str(limit))
    offline = customer.ask("--offline")
    assert (offline.code, offline.out_bytes) == (0, customer.answer)
    with closing(customer.connect()) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_c4_kills_of_first_runs_leave_nothing_that_adds_up(customer: Customer, rounds: Rounds) -> None:
    """Each kill while the cache is being made may leave a part of one; the next run does not keep them all."""
    draw = random.Random(5)
    start = time.monotonic()
    customer.right()
    took = time.monotonic() - start
    kills = rounds("kills of a first run")
    for _ in range(kills):
        shutil.rmtree(customer.folder, ignore_errors=True)
        with customer.acme.start(*customer.arguments()) as process:
            process_deadline = time.monotonic() + draw.uniform(took / 3, took)
            while time.monotonic() < process_deadline and not list(customer.acme.cache.glob("*.new-*")):
                time.sleep(0.0005)
            process.kill()
    customer.right()
    left = [path for path in customer.acme.cache.iterdir() if ".new-" in path.name]
    assert len(left) <= 2, f"{len(left)} unfinished folders after {kills} kills"


# --- C5, C11 ---


def _read_only(*paths: Path) -> None:
    for path in paths:
        for one in (path, *path.rglob("*")):
            one.chmod(0o500 if one.is_dir() else 0o400)


@pytest.mark.parametrize("what", ["folder", "database", "everything", "no permission", "parent"])
def test_c5_what_may_not_be_written_or_read(stored: Stored, what: str) -> None:
    customer = stored()
    kept = customer.acme.cache
    if what == "everything":
        _read_only(kept)
    elif what == "parent":
        shutil.rmtree(kept)
        kept.mkdir(mode=0o500)
    else:
        path, mode = {"folder": (customer.folder, 0o500), "database": (customer.database, 0o400)}.get(
            what, (customer.folder, 0)
        )
        path.chmod(mode)
    try:
        for options in (["--ttl", "1h"], ["--refresh"]):
            ran = customer.right(*options, warnings=1, command=[*OBEY_MODES, customer.acme.program])
            wrote = options[0] == "--refresh"
            assert len(ran.err.splitlines()) == 1 or not wrote, (
                f"{options}: nothing could be stored, and nobody says so"
            )
    finally:
        for one in (kept, customer.folder):
            if one.exists():
                one.chmod(0o700)


@pytest.mark.parametrize("kind", ["file", "broken link", "link to a file", "pipe", "long name"])
def test_c5_something_else_in_its_place(customer: Customer, tmp_path: Path, kind: str) -> None:
    (tmp_path / "precious").write_text("precious")
    for where in ("cache", "folder", "parent"):
        cache = tmp_path / where / "c" / "acme"
        place = {"cache": cache, "folder": cache / "responses-v1", "parent": cache.parent}[where]
        place.parent.mkdir(parents=True)
        if kind == "file":
            place.write_text("x")
        elif kind == "pipe":
            os.mkfifo(place)
        elif kind == "long name":
            cache /= "x" * 300
        else:
            place.symlink_to(tmp_path / ("missing/file" if kind == "broken link" else "precious"))
        customer.right("--cache-dir", str(cache), warnings=1)
    assert (tmp_path / "precious").read_text() == "precious"


def test_c5_a_disk_that_is_full_or_read_only(customer: Customer, some: Callable[..., list[str]]) -> None:
    if not can_mount():
        pytest.skip("only root in its own mount namespace can make such a disk")
    customer.acme.cache.mkdir(parents=True)
    for options in some(["ro", "size=4k", "size=16k", "size=64k", "size=128k", "size=200k", "nr_inodes=3"]):
        shell = ["unshare", "-m", "sh", "-c", MOUNT, "-", options, str(customer.acme.cache), customer.acme.program]
        ran = customer.ask("--ttl", "0", command=shell)
        assert (ran.code, ran.out_bytes) == (0, customer.answer * 2), (options, ran.err)
        lines = ran.err.splitlines()
        assert len(lines) <= 2
        assert all(line.startswith("acme: warning: the cache is not used: ") for line in lines), ran.err
        assert lines or options in {"size=128k", "size=200k"}, options


@pytest.mark.parametrize("where", ["cache_dir", "folder"])
def test_c11_a_folder_of_someone_else_is_not_used(stored: Stored, where: str) -> None:
    if not IS_ROOT:
        pytest.skip("only root can give a folder away")
    customer = stored()
    folder = customer.acme.cache if where == "cache_dir" else customer.folder
    customer.shop.products[1]["price"] = 1_000_000
    customer.answer = customer.ask("--no-cache").out_bytes
    os.chown(folder, NOBODY, NOBODY)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    ran = customer.right("--ttl", "1h", warnings=1)
    assert "another user" in ran.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("umask", [0, 0o027])
def test_c11_folders_0700_and_files_0600_whatever_the_umask(customer: Customer, umask: int) -> None:
    customer.right(umask=umask)
    keeper = customer.connect()
    keeper.execute("SELECT count(*) FROM Cache").fetchall()
    customer.right("--refresh", umask=umask, warnings=0)
    found = {path.relative_to(customer.acme.cache): path for path in customer.acme.cache.rglob("*")}
    assert len(found) >= 4
    for name, path in found.items():
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), (str(name), oct(mode))
    assert customer.acme.cache.stat().st_mode & 0o777 == 0o700
    keeper.close()


# --- C6 ---

LOCKS = {
    "immediate": ["BEGIN IMMEDIATE", "UPDATE Settings SET value = 1"],
    "exclusive": ["BEGIN EXCLUSIVE", "DELETE FROM Cache"],
    "a reader": ["BEGIN", "SELECT * FROM Cache"],
    "exclusive mode": ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "DELETE FROM Cache"],
}


def test_c6_a_locked_cache_costs_at_most_2_s(
    stored: Stored, some: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    customer = stored()
    cases = [["--ttl", "1h"], ["--refresh"], ["--limit", "4", "--ttl", "1h"]]
    free = [customer.timed(*options).seconds for options in cases]
    for kind, statements in some(list(LOCKS.items())):
        stored()
        with held(customer.database, *statements):
            for options, usual in zip(cases, free, strict=True):
                ran, seconds = customer.timed(*options)
                customer.is_right(ran, warnings=1)
                record_property(f"{kind}, {' '.join(options)}", f"{seconds - usual:.1f} s")
                assert seconds - usual < 2, (kind, options)


def test_c6_whoever_stopped_while_fetching_is_waited_for_no_longer_than_its_attempts(stored: Stored) -> None:
    """A stopped process (SIGSTOP, a laptop that sleeps) still has the locks of its keys."""
    customer = stored()
    usual = customer.timed("--ttl", "1h", "--limit", "4").seconds
    stored()
    with (customer.acme.cache / "responses-v1.lock").open("rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        ran, seconds = customer.timed("--ttl", "1h", "--limit", "4", "--timeout", "500ms")
    customer.is_right(ran, warnings=1)
    assert seconds - usual < 2


# --- C10 ---


def test_c10_an_old_answer_for_every_kind_of_outage_and_past_it_the_failures_own_code(
    acme: "Acme", hostile: Hostile, some: Callable[..., Any]
) -> None:
    good = whole(GOOD["users/ann"])
    outages: dict[str, tuple[Talk, int]] = {
        **{name: (says(BROKEN[name]), 4) for name in ("garbage", "a short body", "a packing not asked for")},
        **{name: (SLOW[name], 5) for name in ("never answers", "a byte of the body at a time")},
        **{str(code): (status(code), 4) for code in (408, 429, 599)},
        "a long Retry-After": (status(503, "Retry-After: 3600"), 4),
        "NaN": (says(answer(b'{"user": {"username": NaN}}')), 4),
        "100,000 levels": (says(answer(b"[" * 100_000)), 4),
        "cut": (says(b""), 5),
    }
    refusals = {
        "401": status(401),
        "403": status(403),
        "410": status(410),
        "a redirect": redirect("http://127.0.0.1:1"),
    }
    url, place = hostile.place(good, "users")
    ask = ("popular", "ann", "--json", "--ttl", "0", "--retries", "0", "--timeout", "500ms", "--api-url", url)
    fresh = acme(*ask).out_bytes
    for name, (talk, code) in some(list(outages.items())):
        place.talk = talk
        ran = acme(*ask)
        assert (ran.code, ran.out_bytes) == (0, fresh), name
        (warning,) = ran.err.splitlines()
        assert "stored data, fetched" in warning, name
        past = acme(*ask, "--max-stale", "1ms")
        assert (past.code, past.out) == (code, ""), name
        assert json.loads(past.err.splitlines()[-1])["error"]["exit"] == code
    for name, talk in some(list(refusals.items())):
        place.talk = talk
        assert acme(*ask).code == 4, name


# --- C12 ---


def test_c12_the_size_limit_holds_and_the_oldest_goes_first(
    acme: "Acme", api: "Server", make_shop: MakeShop, rounds: Rounds
) -> None:
    limit = 400_000
    products = dict.fromkeys(range(1, rounds("users") + 1), 220)
    shop = make_shop(products)
    for number in products:
        shop.by_user[f"u{number - 1}"] = shop.by_product[number][:1]
    shop.users = [*shop.users, *(f"u{number}" for number in range(100))]
    customer = Customer(acme, api.url(shop), shop)
    options = ("--cache-size-limit", str(limit), "--ttl", "1h")
    for number in products:
        name = f"u{number - 1}"
        first = customer.ask(*options, name=name)
        assert (first.code, first.err) == (0, "")
        assert customer.used() <= limit, number
        shop.log.clear()
        again = customer.ask(*options, name=name)
        assert again.out_bytes == first.out_bytes
        assert shop.paths() == [], "what was just fetched is there"
    kept = [number for number in products if customer.ask(*options, "--offline", name=f"u{number - 1}").code == 0]
    assert kept == list(products)[-len(kept) :], "the newest are there, the oldest are not"
    assert len(kept) >= 3
