"""A real Chromium, kept from every network, and pages that hold what an API could send at its worst."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from acme_cli.models import Failure, Head, PopularProduct, Record
from acme_cli.output.html import render_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = (
    "<script>ran=1</script>",
    '"><img src=https://shop.example/x onerror=ran=1>',
    "' onfocus=ran=1 autofocus x='",
    "</style></script><script>ran=1</script>",
    "<iframe srcdoc='<script>parent.ran=1</script>'>",
    "javascript:ran=1//",
    "{{ 7*7 }}{% raw %}",
    "evil\u202egnp.exe",
    "esc\x1b[31mred\x07\x00",
    "z" + "\u0335\u0348\u030d\u0346" * 25 + "algo",
    "👩‍👩‍👧‍👦👩🏽‍💻",
    "שלום עולם",
    "W" * 120,
    "中文用户名",
    "a\nb\tc",
)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Chromium as the machine has it, headless, with a profile of its own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install '.[browser]'")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


class Opened:
    """Opens reports as files, and remembers everything they asked for and complained of."""

    def __init__(self, browser: "Browser", folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.contexts: list[BrowserContext] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def __call__(self, records: Sequence[Record], head: Head | None = None, **settings: Any) -> "Page":
        path = self.folder / "report.html"
        with path.open("wb") as file:
            file.writelines(render_html(records, head or Head(1_790_859_600_000_001)))
        context = self.browser.new_context(**settings)
        self.contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri(), timeout=120_000)
        return page


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Opened]:
    """Return what opens a report of records; afterwards, it must have asked for itself alone, without complaints."""
    opener = Opened(browser, tmp_path)
    yield opener
    for context in opener.contexts:
        context.close()
    assert set(opener.requests) <= {(tmp_path / "report.html").as_uri(), "data:,"}
    assert opener.complaints == []


def product(rank: int, id_: int, face: str | None, recent: Sequence[str], purchases: int) -> PopularProduct:
    return PopularProduct(rank, id_, face, 1100, None, tuple(recent), purchases, len(recent), None)


@pytest.fixture(scope="session")
def many() -> list[Record]:
    """Ten thousand users with five of two thousand products, each of which has thirty buyers."""
    names = [f"user{number:05}" for number in range(10_000)]
    products = [
        product(1, 1000 + number, f"(face {number})", names[number * 5 : number * 5 + 30], 90 + number % 7)
        for number in range(2_000)
    ]
    return [
        Record(n, name, tuple(products[(n * 7 + k * 311) % 2000] for k in range(5))) for n, name in enumerate(names)
    ]


@pytest.fixture(scope="session")
def mixed() -> list[Record]:
    """Ordinary users, users of whom every text is hostile, users without products, and failures."""
    records = [
        Record(0, "Frannie79", (product(1, 1, "。◕‿◕。", ["Frannie79", "Barney", "Aiko"], 9),)),
        Record(
            1, "Barney", (product(1, 1, "。◕‿◕。", ["Frannie79", "Barney", "Aiko"], 9), product(2, 2, "=^..^=", [], 0))
        ),
        Record(2, "Nobody", ()),
        Record(3, "Gone", (PopularProduct(1, -5, None, None, None, ("Zoë", "Barney"), 2, 2, None, gone=True),)),
    ]
    for index, name in enumerate(HOSTILE):
        faces = [HOSTILE[(index + step) % len(HOSTILE)] for step in range(5)]
        mine = tuple(product(n, 10 + HOSTILE.index(face), face, HOSTILE, 10**7 // n) for n, face in enumerate(faces, 1))
        records.append(Record(len(records), name, mine))
    records += [
        Record(
            len(records), name, (), Failure("user_not_found", f"User with username of '{name}' was not found", 3, None)
        )
        for name in HOSTILE
    ]
    return records
