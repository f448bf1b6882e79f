"""The store on disk: what it keeps, what it refuses, and that nothing in its files is ever obeyed."""

import os
import pickle
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from acme_cli.cache import disk
from acme_cli.cache.disk import DATABASE, FOLDER, CacheUnusable, DiskStore
from acme_cli.cache.entry import DamagedEntry, Entry, from_bytes, to_bytes
from acme_cli.cache.store import Guarded

LIMIT = 10**8
NAMESPACE = "http://shop.example/\n-"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(folder: Path) -> Iterator[DiskStore]:
    made = DiskStore(str(folder), LIMIT)
    yield made
    made.close()


def connect(folder: Path) -> sqlite3.Connection:
    """Another program's connection to the database."""
    return sqlite3.connect(folder / FOLDER / DATABASE, isolation_level=None)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_nothing_is_made_by_reading(store: DiskStore, folder: Path) -> None:
    assert store.get_many(["a"]) == {}
    store.delete("a")
    assert store.stats().entries == 0
    assert store.prune(0).entries == 0
    assert store.clear().entries == 0
    assert not folder.exists()


def test_what_is_stored_comes_back(folder: Path) -> None:
    items = {f"key {number}\nü\U0001f600 '\"": os.urandom(number) for number in range(1_200)}
    items |= {"empty": b"", "large": bytes(3 * 2**20)}
    first = DiskStore(str(folder), LIMIT)
    first.set_many(items)
    assert first.get_many([*items, "never"]) == items
    first.set_many({"empty": b"no longer"})
    first.delete("large")
    first.delete("never")
    first.close()

    second = DiskStore(str(folder), LIMIT)
    assert second.get_many(["empty", "large"]) == {"empty": b"no longer"}
    assert len(second.get_many(items)) == len(items) - 1
    assert second.get_many([]) == {}
    second.close()


def test_two_stores_see_each_other(folder: Path) -> None:
    one, other = DiskStore(str(folder), LIMIT), DiskStore(str(folder), LIMIT)
    one.set_many({"a": b"1"})
    assert other.get_many(["a"]) == {"a": b"1"}
    other.set_many({"a": b"2"})
    assert one.get_many(["a"]) == {"a": b"2"}
    one.close()
    other.close()


def test_stats_prune_and_clear(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    store = DiskStore(str(folder), LIMIT)
    ages = {"http://a/\n-\nold": 8 * 86_400, "http://a/\n-\nnew": 60, "http://b/\nx\nold": 7.5 * 86_400}
    for key, age in ages.items():
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda age=age: now - age)
            store.set_many({key: b"x" * 1_000})
    stats = store.stats()
    assert (stats.entries, stats.groups) == (3, {"http://a/": 2, "http://b/": 1})
    assert stats.oldest == pytest.approx(now - 8 * 86_400, abs=1)
    assert stats.newest == pytest.approx(now - 60, abs=1)
    assert stats.size == pytest.approx(bytes_in(folder), rel=0.01)
    assert stats.size > 3_000

    assert store.prune(7 * 86_400).entries == 2
    assert set(store.get_many(ages)) == {"http://a/\n-\nnew"}
    assert store.prune(7 * 86_400).entries == 0
    (folder / f"{FOLDER}.damaged").mkdir()
    (folder / f"{FOLDER}.new-0123").mkdir()
    (folder / "not ours").write_text("stays")
    removed = store.clear()
    assert removed.entries == 1
    assert removed.size > 1_000
    assert [path.name for path in folder.iterdir()] == ["not ours"]
    store.set_many({"a": b"1"})
    assert store.get_many(["a"]) == {"a": b"1"}
    store.close()


def test_check(store: DiskStore) -> None:
    store.check()
    assert store.stats().entries == 0


def test_folders_and_files_are_the_owners_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        store = DiskStore(str(folder), LIMIT)
        store.acquire("a")
        store.set_many({"a": b"1"})
        store.get_many(["a"])
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        names = {path.name for path in (folder / FOLDER).iterdir()}
        assert names == {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}
        store.close()
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["a?b#c%41 d", "ünï 山\U0001f600", "new\nline", "mode=memory&x", "'\"\\", "\udcff"])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        store = DiskStore(str(tmp_path / name), LIMIT)
        store.set_many({"a": b"1"})
        assert store.get_many(["a"]) == {"a": b"1"}
        store.close()
    assert names_in(tmp_path) == [name]
    assert DATABASE in names_in(tmp_path / name / FOLDER)


def test_the_folder_may_be_a_link_but_what_we_make_in_it_may_not(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(real)
    store = DiskStore(str(tmp_path / "link"), LIMIT)
    store.set_many({"a": b"1"})
    store.close()
    assert (real / FOLDER).is_dir()

    elsewhere = tmp_path / "elsewhere"
    (real / FOLDER).rename(elsewhere)
    (real / FOLDER).symlink_to(elsewhere)
    warnings = use(tmp_path / "link")
    assert len(warnings) == 1
    assert (elsewhere / DATABASE).exists()
    store = DiskStore(str(tmp_path / "link"), LIMIT)
    store.clear()
    assert not (real / FOLDER).is_symlink()
    assert (elsewhere / DATABASE).exists()


def use(folder: Path, key: str = "fresh", limit: int = LIMIT) -> list[str]:
    """Read, write and read as a run does, and return what it warned of."""
    warnings: list[str] = []
    guarded = Guarded(DiskStore(str(folder), limit), warnings.append)
    guarded.get_many([key])
    guarded.set_many({key: b"1"})
    found = guarded.get_many([key])
    assert found == ({} if warnings else {key: b"1"})
    guarded.delete(key)
    guarded.close()
    assert len(warnings) <= 1
    return warnings


def test_a_folder_of_someone_else_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert use(folder) == []
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert use(folder) == [f"the cache is not used: {folder} belongs to another user"]
    before = sorted(folder.rglob("*"))
    with pytest.raises(CacheUnusable):
        DiskStore(str(folder), LIMIT).set_many({"a": b"1"})
    with pytest.raises(CacheUnusable):
        DiskStore(str(folder), LIMIT).stats()
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("place", ["", FOLDER, f"{FOLDER}/{DATABASE}"])
@pytest.mark.parametrize("kind", ["file", "folder", "fifo", "link to nowhere"])
def test_something_else_in_its_place_costs_one_warning(folder: Path, place: str, kind: str) -> None:
    path = folder / place
    if kind == "folder" and not place.endswith(DATABASE):
        path = path / DATABASE / "deep" if place else path / FOLDER / DATABASE
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    if kind == "file":
        path.write_bytes(b"not a database, and not a folder either" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(folder.parent / "nowhere" / "at all")
    assert len(use(folder)) == 1
    assert not (folder.parent / "nowhere").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("place", ["", FOLDER])
def test_what_may_not_be_written_costs_one_warning(folder: Path, place: str) -> None:
    folder.mkdir(mode=0o700)
    if place:
        assert use(folder) == []
    (folder / place).chmod(0o500)
    try:
        assert len(use(folder)) == 1
    finally:
        (folder / place).chmod(0o700)


def test_a_read_only_database_costs_one_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests: the kernel is asked for a read-only connection where a writing one is wanted."""
    assert use(folder) == []
    real_connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def read_only(database: str, **options: Any) -> sqlite3.Connection:
        return real_connect(database.replace("mode=rw", "mode=ro"), **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    (warning,) = use(folder)
    assert "readonly" in warning
    monkeypatch.undo()
    assert use(folder) == [], "it was not taken for damage"
    assert not (folder / f"{FOLDER}.damaged").exists()


class Harm:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


INSERT = (
    "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)"
    " VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?)"
)


def plant(folder: Path, *, marker: Path, victim: Path) -> list[str]:
    """Put rows that diskcache would obey into the database, and return the keys to ask for."""
    harm = pickle.dumps(Harm(marker))
    up = os.path.relpath(victim, folder / FOLDER)
    planted: list[tuple[Any, ...]] = []
    keys: list[str] = []

    def add(value: object, mode: int, filename: str | None = None, *, raw: int = 1, key: Any = None) -> None:
        name = f"{NAMESPACE}\nplanted {len(planted)}"
        keys.append(name)
        planted.append((key or name, raw, time.time() - 1e9, time.time() - 1e8, harm, 10**12, mode, filename, value))

    for mode in (0, 2, 3, 4, 5, -1):
        add(harm, mode)
    for filename in (up, str(victim), "", "cache.db"):
        for mode in (1, 2, 3, 4):
            add(None, mode, filename)
            add(harm, mode, filename)
    add(harm, 1, raw=0)
    add(harm, 4, raw=0, key=harm)
    for value in ("text", 5, 2.5, None):
        add(value, 1)
    database = connect(folder)
    database.executemany(INSERT, planted)
    database.close()
    return keys


@pytest.fixture
def trap(tmp_path: Path, folder: Path) -> tuple[Path, Path, list[str]]:
    """A cache with planted rows; the file that must not appear, the one that must stay, and the planted keys."""
    victim, marker = tmp_path / "victim", tmp_path / "marker"
    victim.write_text("precious")
    assert use(folder) == []
    return marker, victim, plant(folder, marker=marker, victim=victim)


def test_planted_rows_are_misses_and_run_nothing(folder: Path, trap: tuple[Path, Path, list[str]]) -> None:
    marker, victim, keys = trap
    store = DiskStore(str(folder), LIMIT)
    assert store.get_many(keys) == {}
    assert store.stats().entries > 20
    for key in keys[:10]:
        store.delete(key)
    store.set_many(dict.fromkeys(keys[5:], b"ours"))
    assert store.get_many(keys) == dict.fromkeys(keys[5:], b"ours")
    store.set_many(dict.fromkeys(keys[5:], b"ours again"))
    store.prune(10**7)
    store.check()
    store.close()
    assert victim.read_text() == "precious"
    assert not marker.exists()


def test_planted_rows_go_first_and_take_nothing_with_them(folder: Path, trap: tuple[Path, Path, list[str]]) -> None:
    marker, victim, keys = trap
    store = DiskStore(str(folder), 100_000)
    for number in range(12):
        store.set_many({f"{NAMESPACE}\n{number}": os.urandom(20_000)})
    assert store.get_many(keys) == {}
    assert store.stats().entries < 6
    assert store.clear().entries > 0
    assert victim.read_text() == "precious"
    assert not marker.exists()


def test_rows_without_a_time_harm_no_command(folder: Path, trap: tuple[Path, Path, list[str]]) -> None:
    database = connect(folder)
    database.execute("UPDATE Cache SET store_time = NULL WHERE key LIKE '%planted 1'")
    database.execute("UPDATE Cache SET store_time = 'soon', key = 'other' WHERE key LIKE '%planted 2'")
    database.execute("UPDATE Cache SET store_time = NULL, key = NULL WHERE key LIKE '%planted 3'")
    database.close()
    store = DiskStore(str(folder), LIMIT)
    store.set_many({f"{NAMESPACE}\na": b"1"})
    assert store.stats().entries > 0
    assert store.prune(10**7).entries > 0
    assert store.get_many([f"{NAMESPACE}\na"]) == {f"{NAMESPACE}\na": b"1"}
    store.close()


def test_planted_settings_do_nothing(tmp_path: Path, folder: Path) -> None:
    assert use(folder) == []
    elsewhere = tmp_path / "elsewhere"
    database = connect(folder)
    for name, value in {
        "_directory": str(elsewhere),
        "directory": str(elsewhere),
        "_timeout": 600,
        "size_limit": 0,
        "cull_limit": 10,
        "eviction_policy": "least-recently-used",
        "statistics": 1,
        "disk_min_file_size": 0,
        "disk__directory": str(elsewhere),
        "sqlite_journal_mode": "delete",
        "sqlite_mmap_size": 2**40,
    }.items():
        database.execute("INSERT OR REPLACE INTO Settings VALUES (?, ?)", (name, value))
    database.close()
    assert use(folder) == []
    store = DiskStore(str(folder), LIMIT)
    large = {"large": os.urandom(100_000)}
    store.set_many(large)
    assert store.get_many(["large"]) == large
    store.close()
    assert not elsewhere.exists()
    assert names_in(tmp_path) == ["cache"]
    assert {path.name for path in (folder / FOLDER).iterdir()} <= {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}


@pytest.mark.parametrize("name", [f"{DATABASE}-journal", "ab", "00", f"{DATABASE}-wal"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_planted_files_set_the_folder_aside(tmp_path: Path, folder: Path, name: str, kind: str) -> None:
    if name.endswith("-wal") and kind == "file":
        pytest.skip("a log is a file that belongs there")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    assert use(folder) == []
    planted = folder / FOLDER / name
    if kind == "file":
        planted.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(500) + os.fsencode(victim) + b"\0" * 20)
    elif kind == "folder":
        planted.mkdir()
        (planted / "x").write_text("x")
    else:
        planted.symlink_to(victim)
    (warning,) = use(folder)
    assert name in warning
    assert victim.read_text() == "precious"
    assert name in names_in(folder / f"{FOLDER}.damaged")
    assert use(folder) == []
    assert names_in(folder) == [FOLDER, f"{FOLDER}.damaged"]


KEYS = [f"{NAMESPACE}\npurchases/by_product/{number}" for number in range(60)]
ENTRIES = {key: Entry(float(number), b"", bytes([number]) * 37 * number) for number, key in enumerate(KEYS)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with entries of all sizes."""
    folder = tmp_path_factory.mktemp("whole") / "cache"
    store = DiskStore(str(folder), LIMIT)
    store.set_many({key: to_bytes(key, entry) for key, entry in ENTRIES.items()})
    store.close()
    assert names_in(folder / FOLDER) == [DATABASE]
    return folder


def flip_bits(database: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 8, 200])):
        database[chance.randrange(len(database))] ^= 1 << chance.randrange(8)


def flip_in_the_header(database: bytearray, chance: random.Random) -> None:
    database[chance.randrange(100)] ^= 1 << chance.randrange(8)


def truncate(database: bytearray, chance: random.Random) -> None:
    del database[chance.choice([0, 1, 99, 100, 4_096, chance.randrange(len(database))]) :]


def zero_pages(database: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 3])):
        start = 4_096 * chance.randrange(len(database) // 4_096)
        database[start : start + 4_096] = bytes(4_096)


def swap_pages(database: bytearray, chance: random.Random) -> None:
    one, other = (4_096 * chance.randrange(len(database) // 4_096) for _ in range(2))
    page = database[one : one + 4_096]
    database[one : one + 4_096] = database[other : other + 4_096]
    database[other : other + 4_096] = page


def scribble(database: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(database))
    database[start : start + 300] = chance.randbytes(300)


DAMAGES = [flip_bits, flip_in_the_header, truncate, zero_pages, swap_pages, scribble]


def damaged_copies(whole: Path, below: Path, damage: Any) -> Iterator[Path]:
    """Give a dozen folders, each damaged in its own way."""
    for seed in range(12):
        folder = below / str(seed)
        shutil.copytree(whole, folder)
        database = bytearray((folder / FOLDER / DATABASE).read_bytes())
        damage(database, random.Random(f"{damage.__name__} {seed}"))
        (folder / FOLDER / DATABASE).write_bytes(database)
        yield folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_never_gives_a_wrong_answer(whole: Path, tmp_path: Path, damage: Any) -> None:
    for folder in damaged_copies(whole, tmp_path, damage):
        for _ in range(3):
            warnings: list[str] = []
            guarded = Guarded(DiskStore(str(folder), LIMIT), warnings.append)
            right = read_rightly(guarded)
            again = {key: to_bytes(key, ENTRIES[key]) for key in KEYS if key not in right}
            guarded.set_many(again)
            right = read_rightly(guarded)
            guarded.close()
            assert len(warnings) <= 1, folder
            if not warnings:
                break
        assert not warnings, f"{folder}: not even a new cache works"
        assert right == set(KEYS), folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_damage_commands_hear_as_they_expect(whole: Path, tmp_path: Path, damage: Any) -> None:
    for folder in damaged_copies(whole, tmp_path, damage):
        with closing(DiskStore(str(folder), LIMIT)) as store:
            with suppress(sqlite3.Error, CacheUnusable):
                store.stats()
            with suppress(sqlite3.Error, CacheUnusable):
                store.prune(0)
            store.clear()
        assert list(folder.iterdir()) == []


def read_rightly(guarded: Guarded) -> set[str]:
    """Return the keys whose entries can be read; all of those must be right."""
    right = set()
    for key, stored in guarded.get_many(KEYS).items():
        try:
            entry = from_bytes(key, stored)
        except DamagedEntry:
            continue
        assert entry == ENTRIES[key]
        right.add(key)
    return right


def test_a_damaged_cache_is_set_aside_and_a_new_one_begun(whole: Path, folder: Path) -> None:
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        (folder / FOLDER / DATABASE).write_bytes(b"no database" * 1_000)
        (warning,) = use(folder)
        assert "was damaged" in warning
        assert "set aside" in warning
        assert (folder / f"{FOLDER}.damaged" / DATABASE).read_bytes().startswith(b"no database")
        assert use(folder) == []


def test_an_old_log_that_does_not_belong_changes_nothing(whole: Path, folder: Path) -> None:
    shutil.copytree(whole, folder)
    (folder / FOLDER / f"{DATABASE}-wal").write_bytes(random.Random(1).randbytes(100_000))
    warnings: list[str] = []
    guarded = Guarded(DiskStore(str(folder), LIMIT), warnings.append)
    found = read_rightly(guarded)
    guarded.close()
    assert found == (set() if warnings else set(KEYS))
    assert len(warnings) <= 1


@pytest.mark.parametrize(("limit", "size"), [(64 * 2**10, 3_000), (500_000, 2_000), (500_000, 40_000)])
def test_the_size_limit_holds_and_the_oldest_go_first(folder: Path, limit: int, size: int) -> None:
    batch = max(1, limit // 4 // size)
    keys: list[str] = []
    for number in range(25):
        store = DiskStore(str(folder), limit)
        fresh = {f"{NAMESPACE}\n{number} {index}": os.urandom(size) for index in range(batch)}
        keys += fresh
        store.set_many(fresh)
        assert store.get_many(fresh) == fresh, "what was just written stays"
        assert bytes_in(folder) - (folder / FOLDER / f"{DATABASE}-shm").stat().st_size <= 1.2 * limit
        kept = store.get_many(keys)
        store.close()
        batches = {key.rpartition("\n")[2].split()[0] for key in kept}
        assert sorted(map(int, batches)) == list(range(number - len(batches) + 1, number + 1))
        assert bytes_in(folder) <= limit
    assert len(keys) > len(kept) >= batch
    assert len(kept) * size > limit / 6


def test_what_would_fill_half_the_cache_is_left_out(folder: Path) -> None:
    store = DiskStore(str(folder), 200_000)
    store.set_many({"old": b"x" * 1_000})
    store.set_many({f"many {number}": os.urandom(20_000) for number in range(50)} | {"too large": bytes(150_000)})
    assert store.get_many(["too large"]) == {}
    assert store.get_many(["many 0"])
    assert bytes_in(folder) <= 1.2 * 200_000
    store.close()
    assert bytes_in(folder) <= 200_000


def test_the_size_limit_holds_when_the_clock_was_set_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 500_000
    store = DiskStore(str(folder), limit)
    store.set_many({f"future {number}": os.urandom(1_800) for number in range(100)})
    store.set_many({f"more future {number}": os.urandom(1_800) for number in range(90)})
    before = time.time() - 1e6
    monkeypatch.setattr(time, "time", lambda: before)
    for turn in range(3):
        fresh = {f"now {turn} {number}": os.urandom(1_800) for number in range(100)}
        store.set_many(fresh)
        assert store.get_many(fresh) == fresh
    assert bytes_in(folder) <= 1.2 * limit
    store.close()


def test_a_reader_that_never_ends_does_not_let_the_log_grow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_BUSY", 0.01)
    limit = 400_000
    assert use(folder, limit=limit) == []
    reader = connect(folder)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM Cache").fetchone() == (0,)
    store = DiskStore(str(folder), limit)
    for number in range(30):
        with suppress(Exception):  # not storing is one way to hold the limit
            store.set_many({f"{number}": os.urandom(50_000)})
    size = bytes_in(folder)
    store.close()
    reader.close()
    assert size <= 1.2 * limit


def test_a_locked_cache_costs_a_second_for_writing_and_none_for_reading(folder: Path) -> None:
    store = DiskStore(str(folder), LIMIT)
    store.set_many({"a": b"1"})
    store.close()
    other = connect(folder)
    other.execute("BEGIN IMMEDIATE")
    warnings: list[str] = []
    guarded = Guarded(DiskStore(str(folder), LIMIT), warnings.append)
    start = time.monotonic()
    assert guarded.get_many(["a"]) == {"a": b"1"}
    assert time.monotonic() - start < 0.3
    guarded.set_many({"b": b"2"})
    assert time.monotonic() - start < 1.5
    guarded.set_many({"c": b"3"})
    guarded.close()
    assert time.monotonic() - start < 1.8
    assert len(warnings) == 1
    other.execute("COMMIT")
    other.close()
    assert use(folder) == []
    assert not (folder / f"{FOLDER}.damaged").exists()


CHILD = """
import sys
from acme_cli.cache.disk import DiskStore
import acme_cli.cache.writer
folder, name = sys.argv[1:]
store = DiskStore(folder, 10**8)
print("ready", flush=True)
sys.stdin.readline()
for number in range(5):
    store.set_many({f"{name} {number}": name.encode()})
    assert store.get_many([f"{name} {number}"]) == {f"{name} {number}": name.encode()}
store.close()
"""


def test_processes_that_begin_at_once_make_one_cache(folder: Path) -> None:
    names = ["one", "two", "three"]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, folder, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=20)
        assert child.returncode == 0
    store = DiskStore(str(folder), LIMIT)
    wanted = {f"{name} {number}": name.encode() for name in names for number in range(5)}
    assert store.get_many(wanted) == wanted
    store.close()
    assert names_in(folder) == [FOLDER]


def test_a_folder_removed_meanwhile_is_made_again(folder: Path) -> None:
    assert use(folder) == []
    shutil.rmtree(folder)
    assert use(folder) == []


def test_the_right_to_fetch_is_one_processs_and_ends_with_it(folder: Path) -> None:
    code = (
        "import sys; from acme_cli.cache.disk import DiskStore; store = DiskStore(sys.argv[1], 10**8)\n"
        "print(store.acquire('a'), store.acquire('a'), flush=True); sys.stdin.readline()\n"
        "store.release(['a'])\n"
        "print(store.acquire('b'), flush=True); sys.stdin.readline()"
    )
    store = DiskStore(str(folder), LIMIT)
    began = time.time()
    with subprocess.Popen(
        [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "True True\n"
        assert not store.acquire("a")
        assert store.acquire("c"), "another key"
        assert not store.abandoned("a", began)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "True\n"
        assert store.acquire("a")
        assert store.abandoned("a", began)
        assert not store.abandoned("a", time.time() + 1)
        assert not store.acquire("b")
        child.kill()
        child.wait(10)
        assert store.acquire("b")
        assert not store.abandoned("b", began), "the dead leave no word"
    store.release([])
    store.close()
