"""The scripts that acme is compared with give its answer."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
NAMES = ["ann", "bob ü/%?", "cy", "idle"]
NEEDS = {
    "popular.sh": ["bash", "curl", "jq", "xargs"],
    "plain_requests.py": ["requests", "requests_cache"],
    "httpx_hishel.py": ["hishel", "anysqlite"],
}
"""The programs and modules of each script."""


def run(command: list[str], home: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with lists of several pages, people who bought a thing twice, and equal dates."""
    purchases = [
        {"id": n, "username": NAMES[n % 3], "product_id": n % 7 % 3, "date": f"2026-01-{n % 28 + 1:02}T00:00:00Z"}
        for n in range(500)
    ]
    content = {
        "users": [{"username": name, "email": ""} for name in NAMES],
        "products": [{"id": number, "face": "¯\\_(ツ)_/¯", "price": number, "size": 7} for number in range(3)],
        "purchases": purchases,
    }
    file = tmp_path_factory.mktemp("data") / "shop.json"
    file.write_text(json.dumps(content), "utf-8")
    command = [sys.executable, "-m", "benchmarks.server", "--data", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def expected(url: str, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    acme = str(Path(sys.executable).with_name("acme"))
    home = tmp_path_factory.mktemp("home")
    return [json.loads(run([acme, "popular", name, "--json", "--api-url", url], home)) for name in NAMES]


@pytest.mark.parametrize("script", NEEDS)
def test_it_answers_as_acme_does_also_from_its_cache(
    url: str, expected: list[Any], tmp_path: Path, script: str
) -> None:
    lacking = [name for name in NEEDS[script] if shutil.which(name) is None and importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    interpreter = "bash" if script.endswith(".sh") else sys.executable
    for _ in range(2):
        lines = run([interpreter, str(PEERS / script), url, *NAMES], tmp_path).splitlines()
        assert [json.loads(line) for line in lines] == expected
