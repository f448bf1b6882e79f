"""What stands around `acme popular`: cache, config, mock, the demo, help, and how the program starts."""

import json
import re
import sys
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

MakeShop = Callable[..., "Shop"]
HEAVY = ["httpx", "httpcore", "rich", "flask", "asyncio", "pydantic", "jinja2", "stamina", "diskcache"]
COMMANDS = ["", "popular", "cache", "cache info", "cache dir", "cache prune", "cache clear", "config", "doctor", "mock"]


def test_cache_shows_prunes_and_clears_what_is_stored(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shops = [make_shop({1: 3}), make_shop({1: 3, 2: 3})]
    assert acme("cache", "dir").out == f"{acme.cache}\n"
    assert not acme.cache.exists()
    for shop in shops:
        acme("popular", "ann", "--api-url", api.url(shop))

    info = acme("cache", "info", "--json").json
    assert info["directory"] == str(acme.cache)
    assert info["apis"] == {api.url(shops[0]): 4, api.url(shops[1]): 6}
    assert info["entries"] == 10
    assert info["size"] == sum(file.stat().st_size for file in acme.cache.rglob("*") if file.is_file())
    assert info["oldest"] <= info["newest"]
    for_people = acme("cache", "info").out
    assert re.search(r"responses +10\n", for_people)
    assert api.url(shops[0]) in for_people
    assert [path.stat().st_mode & 0o777 for path in (acme.cache, next(acme.cache.rglob("*.db")))] == [0o700, 0o600]

    assert acme("cache", "prune", "--older-than", "0").out.startswith("removed 10 responses")
    acme("popular", "ann", "--api-url", api.url(shops[0]))
    assert acme("cache", "clear").out.startswith("removed 4 responses")
    assert acme("popular", "ann", "--offline", "--api-url", api.url(shops[0])).code == 5


def test_config_shows_every_setting_and_which_of_the_five_sources_it_came_from(acme: "Acme") -> None:
    config_file, env_file = acme.folder / "config" / "acme" / "config.toml", acme.folder / "acme.env"
    config_file.parent.mkdir(parents=True)
    config_file.write_text("ttl = '1m'\nretries = 1\ntimeout = 1\nconcurrency = 1\n")
    env_file.write_text("ACME_TTL=2m\nACME_RETRIES=2\nACME_TIMEOUT=2\nACME_API_TOKEN=sesame\n")
    env = {"ACME_TTL": "3m", "ACME_RETRIES": "3", "ACME_ENV_FILE": str(env_file), "ACME_PAGE_SIZE": ""}
    shown = acme("config", "--json", "--ttl", "4m", env=env).json
    assert {name: (shown[name]["value"], shown[name]["origin"]) for name in shown if name != "cache_dir"} == {
        "api_url": (None, "default"),
        "api_token": ("set", f"file {env_file} (ACME_API_TOKEN)"),
        "api_token_file": (None, "default"),
        "ttl": (240, "option --ttl"),
        "retries": (3, "environment ACME_RETRIES"),
        "timeout": (2, f"file {env_file} (ACME_TIMEOUT)"),
        "concurrency": (1, f"file {config_file}"),
        "page_size": (100, "default"),
        "max_stale": (86400, "default"),
        "offline": (False, "default"),
        "cache_size_limit": (256_000_000, "default"),
        "format": ("table", "default"),
    }
    assert shown["cache_dir"]["value"] == str(acme.cache)
    table = acme("config", env=env | {"COLUMNS": "300"}).out
    assert re.search(r"^api_token +set +file .*", table, re.MULTILINE)
    assert re.search(r"^ttl +3m +environment ACME_TTL$", table, re.MULTILINE)
    assert "sesame" not in table + json.dumps(shown)
    assert acme("config", "--json").json["ttl"] == {"value": 60, "origin": f"file {config_file}"}
    assert acme("config", env={"ACME_CONFIG": "missing.toml"}).code == 2


@pytest.mark.parametrize("module", [False, True])
def test_mock_prints_its_url_once_it_answers_and_serves_until_stopped(acme: "Acme", module: bool) -> None:
    command = [sys.executable, "-m", "mock_server"] if module else [acme.program, "mock"]
    arguments = ("--port", "0", "--latency", "0", "--style", "camel,bare")
    with acme.start(*arguments, command=command) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().decode().strip()
            with urllib.request.urlopen(f"{url}users?limit=1", timeout=30) as response:
                name = json.load(response)["users"][0]["username"]
            assert module or acme("popular", "--json", "--api-url", url, "--", name).json != []
        finally:
            server.terminate()
        out, err = server.communicate(timeout=30)
    assert (server.returncode, out) == (143, b"")
    assert b"Traceback" not in err


def test_demo_needs_nothing_and_says_that_it_is_made_up(acme: "Acme") -> None:
    nobody = acme("popular", "nobody", "--demo")
    assert nobody.code == 3
    note, message, hint = nobody.err.splitlines()
    assert note == "acme: --demo: the data is made up"
    assert message == "acme: User with username of 'nobody' was not found"
    names = hint.rpartition("for one, ")[2].split(", ")
    assert len(names) == 3
    shown = acme("popular", names[0], "--demo", "--json")
    assert len(shown.json) == 5
    assert shown.err == f"{note}\n"
    assert (again := acme("popular", names[0], "--demo", "--json", "-q")).err == ""
    assert again.out == shown.out


def test_cron_has_no_environment_at_all(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    url = api.url(make_shop({1: 3}))
    ask = ("popular", "ann", "--json", "-q", "--cache-dir", str(acme.cache), "--api-url", url)
    ran = acme(*ask, whole_environment=acme.coverage)
    assert (ran.code, ran.err) == (0, "")
    assert "͡°" in ran.out
    assert acme(*ask, "--offline", whole_environment={"LC_ALL": "C", **acme.coverage}).out == ran.out
    failed = acme("popular", "nobody", "-q", "--no-cache", "--api-url", url, whole_environment=acme.coverage)
    assert (failed.code, failed.out) == (3, "")
    assert failed.err.startswith("acme: ")


def test_quiet_and_verbose(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    shop = make_shop({1: 3, 2: 3})
    del shop.products[2]
    ask = ("popular", "ann", "--api-url", api.url(shop))
    told = acme(*ask, "-v").err.splitlines()
    requests = [line for line in told if line.startswith("GET ")]
    assert sorted(line.split()[1] for line in requests) == sorted(shop.paths())
    assert all(re.fullmatch(r"GET \S+  (200|404)  \d+ ms  miss", line) for line in requests)
    assert [line for line in told if line.startswith("acme: 6 requests, 0 of 6 answers from the cache, ")]
    assert acme(*ask, "-q").err == ""


@pytest.mark.parametrize("part", range(2))
def test_every_help_opens_with_examples(acme: "Acme", part: int) -> None:
    for number, command in enumerate(COMMANDS[part::2]):
        ran = acme(*command.split(), ["--help", "-h"][number % 2])
        assert (ran.code, ran.err) == (0, "")
        examples, options = ran.out.find("Examples:"), ran.out.find("--help")
        assert 0 < examples < options
        assert f"  acme {command}".rstrip() in ran.out[examples:]


def test_version_and_module(acme: "Acme") -> None:
    version = acme("--version").out
    assert re.fullmatch(r"acme \d+\.\d+\.\d+\S*\n", version)
    assert acme("--version", command=[sys.executable, "-m", "acme_cli"]).out == version
    assert "Examples:" in acme().out


def test_a_cached_answer_imports_nothing_slow(acme: "Acme", api: "Server", make_shop: MakeShop) -> None:
    ask = ("popular", "ann", "--json", "--api-url", api.url(make_shop({1: 12})))
    first = acme(*ask)
    timed = [sys.executable, "-X", "importtime", "-m", "acme_cli"]
    unmeasured = {name: value for name, value in acme.environment.items() if name not in acme.coverage}
    warm = acme(*ask, command=timed, whole_environment=unmeasured)
    assert warm.out == first.out
    imported = set(re.findall(r"\| +(\S+)$", warm.err, re.MULTILINE))
    assert "acme_cli.popular" in imported
    slow = {
        name
        for name in imported
        for heavy in [*HEAVY, "concurrent.futures"]
        if name == heavy or name.startswith(f"{heavy}.")
    }
    assert slow == set()


def test_completion_knows_commands_and_formats(acme: "Acme") -> None:
    env = {"_ACME_COMPLETE": "complete_bash", "COMP_WORDS": "acme popular ann --format m", "COMP_CWORD": "4"}
    assert acme(env=env).out.split() == ["markdown"]
    assert "complete" in acme("--show-completion", "bash").out
