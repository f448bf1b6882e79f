"""The benchmarks' server keeps the contract of the bundled one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

ROOT = Path(__file__).parents[2]
NAMES = ["ann", "bob ü/%?", "cy", "idle", "nobody"]


@contextmanager
def running(*command: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    purchases = [
        {"id": n, "username": NAMES[n % 3], "product_id": n % 2 + 1, "date": f"2026-01-{n % 28 + 1:02}T00:00:00Z"}
        for n in range(40)
    ]
    content = {
        "users": [{"username": name, "email": f"{number}@example.com"} for number, name in enumerate(NAMES[:-1])],
        "products": [{"id": number, "face": "(◕‿◕)", "price": 5, "size": 7} for number in (1, 3)],
        "purchases": purchases,
    }
    file = tmp_path_factory.mktemp("data") / "shop.json"
    file.write_text(json.dumps(content), "utf-8")
    return file


def test_it_answers_as_the_bundled_server_does(data: Path) -> None:
    pages = ["", "?limit=3", "?skip=4&limit=5", "?skip=99&limit=5", "?limit=0", "?skip=x"]
    lists = ["users", "products", *(f"purchases/by_product/{number}" for number in (1, 2, 3, 4))]
    lists += [f"purchases/by_user/{quote(name, safe='')}" for name in NAMES]
    single = [f"users/{quote(name, safe='')}" for name in NAMES] + [f"products/{number}" for number in (1, 2, 3, 4)]
    targets = single + [f"{path}{page}" for path in lists for page in pages]
    stand_in = running("benchmarks.server", "--data", str(data))
    bundled = running("mock_server", "--port", "0", "--latency", "0", "--data", str(data))
    with stand_in as ours, bundled as theirs, httpx.Client() as client:
        for target in targets:
            mine, other = client.get(ours + target), client.get(theirs + target)
            assert mine.status_code == other.status_code, target
            assert mine.headers["content-type"] == other.headers["content-type"]
            assert mine.headers.get("etag") == other.headers.get("etag")
            if mine.status_code == 200:
                assert mine.content == other.content, target
                again = client.get(ours + target, headers={"If-None-Match": mine.headers["etag"]})
                assert (again.status_code, again.content) == (304, b"")
                assert client.get(ours + target, headers={"If-None-Match": '"other"'}).content == mine.content


def test_it_tells_what_was_asked_in_how_many_rounds(data: Path) -> None:
    with running("benchmarks.server", "--data", str(data)) as url, httpx.Client() as client:
        sent = [len(client.get(url + target).content) for target in ("users/ann", "products/1")]
        says = client.get(url + "control/log").json()
        assert says == {"targets": ["users/ann", "products/1"], "sent": sum(sent), "rounds": 2}
        assert client.get(url + "control/log").json() == {"targets": [], "sent": 0, "rounds": 0}
