"""A soak: thousands of answers in mixed states, each checked, and a look at what must not grow meanwhile.

    python -m benchmarks.soak [--answers 10000] [--seed 0] [--processes 0.1]

Most questions are answered by one long-lived process, the others by runs of the installed `acme`, several at once, of
which some are killed. They ask a mock server on this machine, which fails, stops, and learns of new purchases.
What is right is computed here, from the contract. Exits with 1 if anything was wrong or grew. Linux only.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from acme_cli.commands.run import Run
from acme_cli.errors import AcmeError
from acme_cli.output.structured import render
from acme_cli.popular import popular_purchases
from mock_server.app import Server, create_app, serve
from mock_server.behaviour import Behaviour
from mock_server.dataset import Dataset, Product, User

ACME = str(Path(sys.executable).with_name("acme"))
FIELDS = ("id", "face", "price", "size", "recent", "purchases")
USERS = [f"user.{number} ü" for number in range(40)]
IDLE, NOBODY = "idle", "nobody"
PRODUCTS = {number: Product(number, f"[{number}](◕‿◕)", 10 * number, 20) for number in range(60)}
GONE = 7
"""A product that is in the purchases, and of which the API knows nothing else."""

LIMITS = {"main": 256 * 10**6, "small": 10**6, "cold": 256 * 10**6}
"""Bytes by cache; many tokens share the small one, so that it overflows. A cold one begins empty in each round."""

STUCK = 60
HALF_MADE, TEMPORARY = "half-made folders in caches", "temporary files of -o"
EXPECTED = {"responses-v1", "responses-v1.lock", "cache.db", "cache.db-wal", "cache.db-shm"}


class Version(NamedTuple):
    """What is right between two changes of the data: lately bought product ids by user; (names, count) by product."""

    since: float
    recent: dict[str, list[int]]
    buyers: dict[int, tuple[list[str], int]]


class Shop:
    """The data in all its versions, and a server of the last one, which can be stopped, and starts again at its URL."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._rows: list[tuple[int, str, int, int]] = []
        self._port = socket.socket()  # bound but not listening, it keeps the port while the server is down
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        self._server: Server | None = None
        self._behaviour = Behaviour(
            latency=(0, 0.004), error_rate=1, faults=("error", "cut"), seed=draw.getrandbits(32)
        )
        self.versions: list[Version] = []
        self.url = f"http://127.0.0.1:{self._port.getsockname()[1]}/api/"

    def grow(self, purchases: int) -> None:
        """Stop, and learn of so many new purchases."""
        self.close()
        for number in range(len(self._rows), len(self._rows) + purchases):
            product_id = int(self._draw.random() ** 2 * len(PRODUCTS))  # some are far more popular than others
            self._rows.append((number, self._draw.choice(USERS), product_id, 10**15 + number * 10**6))
        recent: dict[str, list[int]] = {IDLE: [], **{username: [] for username in USERS}}
        names: dict[int, list[str]] = {product_id: [] for product_id in PRODUCTS}
        for _, username, product_id, _ in reversed(self._rows):
            recent[username].append(product_id)
            names[product_id].append(username)
        self.versions.append(
            Version(
                time.time(),
                {username: list(dict.fromkeys(ids[:5])) for username, ids in recent.items()},
                {product_id: (list(dict.fromkeys(all_of)), len(all_of)) for product_id, all_of in names.items()},
            )
        )

    def be(self, state: str, error_rate: float) -> None:
        """Be `up`, `flaky` (which fails so often) or `down`."""
        self._behaviour.error_rate = error_rate if state == "flaky" else 0
        if state == "down":
            self.close()
        elif self._server is None:
            users = [User(username, "") for username in (*USERS, IDLE)]
            products = [product for product in PRODUCTS.values() if product.id != GONE]
            app = create_app(Dataset(users, products, self._rows), self._behaviour)
            self._server = serve(app, port=self._port.getsockname()[1])

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def is_right(self, answer: Any, username: str, since: float) -> bool:
        """Return whether it answers from what the API said at any time after `since`, each response at its own."""
        versions = [version for version, later in pairwise(self.versions) if later.since > since] + self.versions[-1:]
        counts = {row["id"]: row["purchases"] for row in answer}
        for row in answer:
            product = None if row["id"] == GONE else PRODUCTS[row["id"]]
            known = [row["id"], *(getattr(product, name, None) for name in ("face", "price", "size"))]
            rows = [[*known, *version.buyers[row["id"]]] for version in versions]
            if tuple(row) != FIELDS or list(row.values()) not in rows:
                return False
        # Python's sort keeps the order of ties, as the contract does.
        lists = [sorted(version.recent[username], key=lambda number: -counts.get(number, 0)) for version in versions]
        return list(counts) in lists and len(counts) == len(answer)


@dataclass(frozen=True)
class Question:
    """One run: what it asks, and the state that it meets; durations in seconds; `output` is the file of -o."""

    username: str
    api: str
    cache: str
    freshness: str
    ttl: int
    max_stale: int
    environment: dict[str, str]
    signal: int
    after: float
    output: str

    def codes(self, *, must_answer: bool) -> set[int]:
        """Return the exit codes that the state allows; with `must_answer`, the cache has what is needed."""
        right = 3 if self.username == NOBODY else 0
        if self.api == "up" and self.freshness != "offline":
            codes = {right}
        elif must_answer:
            codes = {0}
        elif self.freshness == "offline" or self.api == "down":
            codes = {5} if right or self.freshness == "no-cache" else {0, 5}
        else:
            codes = {right, 4, 5}
        return codes | {0: set(), signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}}[self.signal]


class Outcome(NamedTuple):
    """Exit code, answer, what was said beside it, and how long after its signal (in seconds) the process ended."""

    code: int
    answer: bytes
    notes: str
    ending: float = 0


class Sample(NamedTuple):
    """What the long-lived process holds after an answer; memory in bytes."""

    memory: float
    descriptors: float
    threads: float


def draw_question(draw: random.Random, environment: dict[str, str], api: str, focus: str, slot: int) -> Question:
    """Return a question, often about the user `focus`; slot 0 is the long-lived process, which gets no signals."""
    username = draw.choices((focus, draw.choice(USERS), IDLE, NOBODY), (48, 48, 2, 2))[0]
    cache = draw.choices(("main", "small", "cold"), (70, 20, 10))[0]
    freshness = draw.choices(("warm", "expired", "refresh", "offline", "no-cache"), (45, 30, 10, 10, 5))[0]
    ttl = 0 if freshness == "expired" else draw.choice((2, 600))
    max_stale = draw.choice((0, 86400, 86400, 86400))
    environment = environment | {
        "ACME_CACHE_DIR": f"{environment['HOME']}/{cache}",
        "ACME_CACHE_SIZE_LIMIT": str(LIMITS[cache]),
        "ACME_TTL": str(ttl),
        "ACME_MAX_STALE": str(max_stale),
        "ACME_OFFLINE": str(freshness == "offline"),
        "ACME_RETRIES": str(draw.choice((0, 0, 0, 1))),
        "ACME_API_TOKEN": f"made-up-{draw.randrange(24)}" if cache == "small" else "",
    }
    stop = draw.choices((0, signal.SIGKILL, signal.SIGTERM), (70, 20, 10))[0] if slot else 0
    output = f"{environment['HOME']}/out/{slot}.json" if slot and draw.random() < 0.4 else ""
    after = draw.uniform(0, 0.6)
    return Question(username, api, cache, freshness, ttl, max_stale, environment, stop, after, output)


class HeardRun(Run):
    """A run that keeps what it would have said on stderr."""

    heard = ""

    def note(self, text: str) -> None:
        """Keep it."""
        self.heard += f"{text}\n"


def answer_here(connection: "Connection[tuple[Outcome, Sample], Question]") -> None:
    """Be the long-lived process: answer what comes."""
    for late in ("stamina", "acme_cli.cache.writer", "acme_cli.data_api.transport"):
        importlib.import_module(late)  # what an answer imports when it needs it, and what is no growth
    while True:
        question = connection.recv()
        options = {"refresh": question.freshness == "refresh", "no_cache": question.freshness == "no-cache"}
        run = HeardRun(options, question.environment)
        code, answer = 0, b""
        try:
            with run.open_api(run.settings()) as api:
                products = popular_purchases(api, question.username, limit=5)
            answer = render("json", products, fields=FIELDS)
        except AcmeError as error:
            code = int(error.exit)
            run.note(error.message)
        except Exception as error:  # noqa: BLE001  a bug, reported as the command would
            code = 1
            run.note(repr(error))
        patience = time.monotonic() + 1
        while (threads := held("task")) > 1 and time.monotonic() < patience:
            time.sleep(0.002)  # idle ones are told to end, and not waited for
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        connection.send((Outcome(code, answer, run.heard), Sample(memory, held("fd"), threads)))


def held(kind: str) -> int:
    """Return how many of `fd` or `task` this process has."""
    return len(list(Path("/proc/self", kind).iterdir()))


def answer_there(question: Question) -> Outcome:
    """Run the installed command, and stop it if so asked. Raises TimeoutExpired if it does not end."""
    command = [ACME, "popular", "--json", "--fields", ",".join(FIELDS), question.username]
    command += [f"--{question.freshness}"] if question.freshness in {"refresh", "no-cache"} else []
    command += ["-o", question.output] if question.output else []
    file = Path(question.output)
    before = file.read_bytes() if file.is_file() else b""
    sent = 0.0
    process = subprocess.Popen(command, env=question.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=question.after if question.signal else STUCK)
    except subprocess.TimeoutExpired:
        process.send_signal(question.signal or signal.SIGKILL)
        sent = time.monotonic()
        out, err = process.communicate(timeout=STUCK)
    finally:
        process.kill()  # if it is still there
    ending = time.monotonic() - sent if sent else 0
    if question.output:
        after = file.read_bytes() if file.is_file() else b""
        out += after if process.returncode == 0 or after != before else b""
    return Outcome(process.returncode, out, err.decode(), ending)


def problem(question: Question, outcome: Outcome, shop: Shop, began: float, *, must_answer: bool) -> str | None:
    """Return what is wrong with an outcome, or None."""
    if outcome.code not in question.codes(must_answer=must_answer):
        return f"exit code {outcome.code}"
    if outcome.code == 0 and not outcome.answer:
        return "no answer"
    if outcome.answer:
        if outcome.code > 0 and not question.signal:
            return "an answer beside an error"
        old, offline = "from stored data" in outcome.notes, question.freshness == "offline"
        if old and question.api == "up" and not offline:
            return "old data though the API was up"
        age = 0 if question.freshness in {"refresh", "no-cache"} or question.cache == "cold" else question.ttl
        age += question.max_stale if old or offline else 0
        try:
            right = shop.is_right(json.loads(outcome.answer), question.username, began - age)
        except (ValueError, KeyError):
            right = False
        if not right:
            return "wrong answer"
    return None


class Soak:
    """Everything asked so far, and what came of it."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By state and exit code."""
        self.counts: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.problems: list[str] = []
        self.peaks: Counter[str] = Counter()
        """Most bytes on disk by cache."""
        self.strangers: Counter[str] = Counter()
        self.slowest_end = 0.0
        self._complete: dict[str, set[int]] = {}
        """By user, the product ids of an answer of which the main cache holds every part."""

    def note(self, question: Question, outcome: Outcome, shop: Shop, began: float, *, alone: bool) -> None:
        """Judge one outcome; `alone` if no other run asked this cache for that user at the same time."""
        username, uses_main = question.username, question.cache == "main" and question.freshness != "no-cache"
        held = self._complete.get(username) if uses_main and alone and question.max_stale else None
        # A failing API may have said that the list is now another one, before it failed to say what is on it.
        must_answer = held is not None and (question.api != "flaky" or held == set(shop.versions[-1].recent[username]))
        unused = "the cache is not used" in outcome.notes
        if says := problem(question, outcome, shop, began, must_answer=must_answer):
            self.problems.append(f"{says} ({must_answer=}): {question} {outcome}")
        code = {-9: "killed", -15: "143"}.get(outcome.code, str(outcome.code))
        self.outcomes[f"API {question.api}, {question.freshness}", code] += 1
        self.counts["answers"] += 1
        self.counts["killed"] += code == "killed"
        self.counts["from old data"] += "from stored data" in outcome.notes
        self.counts["without the cache, with a warning"] += unused
        if question.signal == signal.SIGTERM:
            self.slowest_end = max(self.slowest_end, outcome.ending)
        if uses_main:
            self._complete.pop(username, None)
            if alone and outcome.code == 0 and not says and not unused:
                self._complete[username] = {row["id"] for row in json.loads(outcome.answer)}

    def measure(self, cache: Path) -> None:
        """Note a cache's disk use."""
        used = sum(path.lstat().st_blocks * 512 for path in cache.rglob("*"))
        self.peaks[cache.name] = max(self.peaks[cache.name], used)

    def look_for_strangers(self, cache: Path) -> None:
        """Note what does not belong in a cache."""
        names = {path.name for path in (*cache.glob("*"), *cache.glob("responses-v1/*"))} - EXPECTED
        self.strangers.update(HALF_MADE if ".new-" in name else name for name in names)


def soak(answers: int, seed: int, processes: float, scratch: Path) -> Soak:
    """Ask and judge so many questions."""
    draw, done = random.Random(seed), Soak()
    shop, started, shown = Shop(draw), time.monotonic(), 0.0
    shop.grow(3000)
    environment = {"PATH": os.environ["PATH"], "HOME": str(scratch), "ACME_API_URL": shop.url}
    (scratch / "out").mkdir()
    context = multiprocessing.get_context("spawn")
    connection, theirs = context.Pipe()
    context.Process(target=answer_here, args=(theirs,), daemon=True).start()  # a daemon ends with this process
    theirs.close()
    with ThreadPoolExecutor(4) as pool:
        while done.counts["answers"] < answers:
            if draw.random() < 0.03:
                shop.grow(draw.randint(1, 3))
            several = done.counts["by processes"] < processes * done.counts["answers"]
            slots = range(draw.choice((0, 1)), draw.choice((2, 3, 5))) if several else range(1)
            api, focus = draw.choices(("up", "flaky", "down"), (80, 12, 8))[0], draw.choice(USERS)
            questions = [draw_question(draw, environment, api, focus, slot) for slot in slots]
            shop.be(api, draw.choice((0.02, 0.1, 0.5)))
            began = time.time()
            running = [pool.submit(answer_there, question) for question in questions[slots[0] == 0 :]]
            outcomes = []
            if slots[0] == 0:
                connection.send(questions[0])
                outcome, sample = connection.recv()
                outcomes.append(outcome)
                done.samples.append(sample)
            outcomes += [future.result() for future in running]
            asked = Counter((question.cache, question.username) for question in questions)
            done.counts["by processes"] += len(running)
            for question, outcome in zip(questions, outcomes, strict=True):
                alone = asked[question.cache, question.username] == 1
                done.note(question, outcome, shop, began, alone=alone)
            for cache in LIMITS:
                done.measure(scratch / cache)
            done.look_for_strangers(scratch / "cold")
            shutil.rmtree(scratch / "cold", ignore_errors=True)
            if (seconds := time.monotonic() - started) > shown + 5:
                shown = seconds
                print(f"{done.counts['answers']} answers, {seconds:.0f} s, {len(done.problems)} wrong", file=sys.stderr)
    shop.close()
    for cache in LIMITS:
        done.look_for_strangers(scratch / cache)
    done.strangers[TEMPORARY] = sum(path.suffix == ".tmp" for path in (scratch / "out").iterdir())
    return done


def figures(done: Soak) -> list[tuple[str, float, float]]:
    """Return what has a bound: what it is, how much of it there is, and how much there may be."""
    tenth = max(1, len(done.samples) // 10)
    first, last = (
        Sample(*(statistics.median(values) for values in zip(*part, strict=True)))
        for part in (done.samples[:tenth], done.samples[-tenth:])
    )
    left = Counter(done.strangers)
    temporary, half_made = left.pop(TEMPORARY, 0), left.pop(HALF_MADE, 0)
    return [
        ("wrong answers, exit codes and notes", len(done.problems), 0),
        ("MB of memory, median of the last tenth (bound: first tenth + 4)", last.memory / 1e6, first.memory / 1e6 + 4),
        ("open descriptors, last tenth (bound: first tenth)", last.descriptors, first.descriptors),
        ("threads, last tenth (bound: first tenth)", last.threads, first.threads),
        *(
            (f"MB on disk after any round, {cache} cache", done.peaks[cache] / 1e6, LIMITS[cache] * 1.2 / 1e6)
            for cache in LIMITS
        ),
        (f"{HALF_MADE} (bound: killed runs)", half_made, done.counts["killed"]),
        (f"{TEMPORARY} (bound: killed runs)", temporary, done.counts["killed"]),
        (f"other files that do not belong {sorted(left) or ''}", left.total(), 0),
        ("seconds from SIGTERM to the end, at most (twice what is promised)", done.slowest_end, 2),
    ]


def report(done: Soak) -> bool:
    """Print what was asked, what came of it, and the figures; return whether all bounds hold."""
    codes = sorted({code for _, code in done.outcomes}, key=lambda code: (len(code), code))
    print(f"{'exit codes by state':<26}" + "".join(f"{code:>8}" for code in codes))
    for state in sorted({state for state, _ in done.outcomes}):
        print(f"{state:<26}" + "".join(f"{done.outcomes[state, code] or '':>8}" for code in codes))
    print("\n" + ", ".join(f"{count} {what}" for what, count in done.counts.items()))
    print(f"\n{'':<68}{'figure':>10}{'bound':>10}")
    measured = figures(done)
    for what, figure, bound in measured:
        print(f"{what:<68}{figure:>10.6g}{bound:>10.6g}{'' if figure <= bound else '  BROKEN'}")
    for says in done.problems[:10]:
        print(f"\n{says}")
    return all(figure <= bound for _, figure, bound in measured)


def main() -> None:
    """Soak, report, and exit with 1 if a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--answers", type=int, default=10_000, help="questions to ask (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the data and states (default: %(default)s)")
    parser.add_argument("--processes", type=float, default=0.1, help="share that own processes answer (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        done = soak(options.answers, options.seed, options.processes, Path(scratch))
    sys.exit(0 if report(done) else 1)


if __name__ == "__main__":
    main()
