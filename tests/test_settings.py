"""Where settings come from, which source wins, how text is read, and that no token or password is ever shown."""

import json
import os
import pwd
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from acme_cli.commands.config import config_json, config_table
from acme_cli.errors import ExitCode, UsageError
from acme_cli.settings import SETTINGS, Setting, Settings, public_view, resolve
from acme_cli.values import FORMATS, format_duration, format_size, parse_duration, parse_size

TOKEN = "s3cr3t-T0ken"
DURATION = "a duration such as 500ms, 90s, 10m, 24h or 7d, or a number of seconds"

# For every setting four texts and what each means; the path settings are absolute here.
EXAMPLES: dict[str, list[tuple[str, object]]] = {
    "api_url": [(f"http://h{i}.example/api", f"http://h{i}.example/api/") for i in range(4)],
    "api_token": [(f"token{i}", f"token{i}") for i in range(4)],
    "api_token_file": [(f"{{tmp}}/token{i}",) * 2 for i in range(4)],
    "timeout": [("1s", 1.0), ("500ms", 0.5), ("2m", 120.0), ("3", 3.0)],
    "retries": [("0", 0), ("1", 1), ("3", 3), ("10", 10)],
    "concurrency": [("1", 1), ("2", 2), ("64", 64), ("128", 128)],
    "page_size": [("2", 2), ("3", 3), ("50", 50), ("10000", 10_000)],
    "ttl": [("0", 0.0), ("90s", 90.0), ("7d", 604_800.0), ("1.5h", 5400.0)],
    "max_stale": [("0", 0.0), ("90s", 90.0), ("7d", 604_800.0), ("1.5h", 5400.0)],
    "offline": [("TRUE", True), ("0", False), ("yes", True), ("off", False)],
    "cache_dir": [(f"/var/c{i}", f"/var/c{i}") for i in range(4)],
    "cache_size_limit": [("64KiB", 65_536), ("256 MB", 256_000_000), ("1gb", 10**9), ("100000", 100_000)],
    "format": [("json", "json"), ("csv", "csv"), ("tsv", "tsv"), ("table", "table")],
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose home is an empty folder."""
    return {"HOME": str(tmp_path)}


def in_toml(setting: Setting, text: str) -> str:
    """Return a value as a config file would hold it: whole numbers and switches bare, the rest in quotes."""
    value = setting.parse(text)
    return json.dumps(value if type(value) in {int, bool} else text)


def refused(options: dict[str, object], environ: dict[str, str]) -> UsageError:
    """Return the error of a resolve that must fail, after a look for secrets in it."""
    with pytest.raises(UsageError) as caught:
        resolve(options, environ)
    assert caught.value.exit is ExitCode.USAGE
    chain: BaseException | None = caught.value
    while chain:
        assert TOKEN not in f"{chain} {chain!r}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert "\n" not in caught.value.message
    return caught.value


def test_table_names_each_field_of_settings_once() -> None:
    assert [setting.name for setting in SETTINGS] == [f for f in Settings.__struct_fields__ if f != "origins"]
    assert {setting.name: setting.environment for setting in SETTINGS}["max_stale"] == "ACME_MAX_STALE"
    assert {setting.name: setting.option for setting in SETTINGS}["cache_dir"] == "--cache-dir"
    assert [setting.name for setting in SETTINGS if setting.option is None] == ["api_token"]
    assert all(setting.help.endswith(".") and setting.default_text for setting in SETTINGS)
    assert set(EXAMPLES) == {setting.name for setting in SETTINGS}


def test_defaults(home: dict[str, str]) -> None:
    settings = resolve({}, home)
    assert (settings.api_url, settings.api_token, settings.api_token_file) == (None,) * 3
    assert settings.format == "table"
    assert (settings.timeout, settings.retries, settings.concurrency, settings.page_size) == (10, 2, 16, 100)
    assert (settings.ttl, settings.max_stale, settings.offline) == (600, 86_400, False)
    assert settings.cache_dir == f"{home['HOME']}/.cache/acme"
    assert settings.cache_size_limit == 256_000_000
    assert settings.origins == {setting.name: "default" for setting in SETTINGS}
    texts = {setting.name: setting.default_text for setting in SETTINGS}
    assert texts["ttl"] == "10m"
    assert texts["api_url"] == "none"
    assert texts["cache_dir"] == "platform's user cache folder"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_precedence(setting: Setting, tmp_path: Path, home: dict[str, str]) -> None:
    # Take the sources away one by one, the highest first: each time the next one must win.
    examples = [
        (a.format(tmp=tmp_path), str(b).format(tmp=tmp_path) if isinstance(b, str) else b)
        for a, b in EXAMPLES[setting.name]
    ]
    for index in range(4):
        tmp_path.joinpath(f"token{index}").write_text(TOKEN)
    env_file, config = tmp_path / "my.env", tmp_path / ".config/acme/config.toml"
    config.parent.mkdir(parents=True)
    env_file.write_text(f"UNRELATED=1\nexport {setting.environment}='{examples[2][0]}'\n")
    config.write_text(f"{setting.name} = {in_toml(setting, examples[3][0])}\n")
    options: dict[str, object] = {setting.name: examples[0][0], "env_file": str(env_file)}
    environ = home | {setting.environment: examples[1][0]}

    def in_force() -> tuple[object, str]:
        settings = resolve(options, environ)
        return getattr(settings, setting.name), settings.origins[setting.name]

    if setting.option:
        assert in_force() == (examples[0][1], f"option {setting.option}")
    options[setting.name] = None
    assert in_force() == (examples[1][1], f"environment {setting.environment}")
    environ[setting.environment] = ""
    assert in_force() == (examples[2][1], f"file {env_file} ({setting.environment})")
    env_file.write_text(f"{setting.environment}=\n")
    assert in_force() == (examples[3][1], f"file {config}")
    config.unlink()
    assert in_force()[1] == "default"


def test_the_token_has_no_option(home: dict[str, str]) -> None:
    assert resolve({"api_token": TOKEN}, home).api_token is None


def test_offline_as_a_flag(home: dict[str, str]) -> None:
    assert resolve({"offline": True}, home).offline is True
    assert resolve({"offline": False}, home | {"ACME_OFFLINE": "1"}).offline is False


# --- durations and sizes


@given(st.floats(min_value=0, max_value=100 * 365 * 86_400))
def test_duration_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=36_500 * 24), st.sampled_from([("m", 60), ("h", 3600)]))
def test_whole_units_round_trip(amount: int, unit: tuple[str, int]) -> None:
    seconds = parse_duration(f"{amount}{unit[0]}")
    assert seconds == amount * unit[1]
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=10**15))
def test_size_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text(alphabet=string.printable + "٣²∞_"))
def test_any_text_is_a_duration_and_a_size_or_refused(text: str) -> None:
    for parse, highest in ((parse_duration, 100 * 365 * 86_400), (parse_size, 10**15)):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert 0 <= value <= highest


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("24h", 86_400),
        ("7d", 604_800),
        ("500ms", 0.5),
        ("9ms", 0.009),
        (" 2.5 m ", 150),
        ("60", 60),
        ("0.25", 0.25),
        ("1e2", 100),
        ("-0", 0),
        ("36500d", 3_153_600_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert str(parse_duration(text))[0] != "-"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1s",
        "nan",
        "inf",
        "1e999",
        "1e999d",
        "36501d",
        "10 parsecs",
        "1h30m",
        "1_000",
        "٣s",
        "10M",
        "1,5s",
        "e",
        pytest.param("9" * 5000, id="digits"),
    ],
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 500ms, 90s, 10m, 24h or 7d") as caught:
        parse_duration(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (600, "10m"),
        (86_400, "24h"),
        (90, "90s"),
        (604_800, "7d"),
        (3600, "1h"),
        (60, "1m"),
        (0, "0s"),
        (0.5, "500ms"),
        (1.5, "1.5s"),
        (0.0001, "0.0001s"),
    ],
)
def test_durations_as_text(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("256MB", 256_000_000, "256 MB"),
        ("256 mb", 256_000_000, "256 MB"),
        ("64MiB", 2**26, "64 MiB"),
        ("1.5kB", 1500, "1500 B"),
        ("0", 0, "0 B"),
        ("12345B", 12_345, "12345 B"),
        ("1TiB", 2**40, "1 TiB"),
    ],
)
def test_sizes(text: str, size: int, shown: str) -> None:
    assert parse_size(text) == size
    assert format_size(size) == shown


@pytest.mark.parametrize("text", ["", "MB", "-1", "nan", "1e999", "1001TB", "5 potatoes", "256M", "1__0"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 256MB"):
        parse_size(text)


# --- values that are refused


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("api_url", "shop.example", "'shop.example' is not an http or https URL with a host, such as https://shop.example/api/"),
        ("api_url", "ftp://h/", "'ftp://h/' is not an http or https URL"),
        ("api_url", "http://", "'http://' is not"),
        ("api_url", "http:///x", "'http:///x' is not"),
        ("api_url", "http://h:99999/", "is not an http or https URL"),
        ("api_url", "http://h:x/", "is not an http or https URL"),
        ("api_url", "http://[::1/", "is not an http or https URL"),
        ("api_url", "http://a..b/", "is not an http or https URL"),
        ("api_url", f"http://{'a' * 64}.example/", "is not an http or https URL"),
        ("api_url", "http://a\\b/", "is not an http or https URL"),
        ("api_url", "http://h/a b", "is not an http or https URL"),
        ("api_url", "http://h/\x1b[31m", r"'http://h/\x1b[31m' is not"),
        ("api_url", f"http://ann:{TOKEN}@h/", "a user or password in the URL is not accepted (the value is not shown)"),
        ("api_url", f"http://{TOKEN}@h/", "a user or password in the URL"),
        ("api_url", f"http://ann:{TOKEN}＠h/", "the value (not shown: it may hold a password) is not an http"),
        ("api_url", f"http://ann:{TOKEN}%40h/", "the value (not shown"),
        ("api_url", f"ann:{TOKEN}@h", "the value (not shown"),
        ("api_url", f"http://h/?key={TOKEN}", "a query or fragment in the URL is not accepted"),
        ("api_url", "http://h/?", "a query or fragment"),
        ("api_url", f"http://h/#{TOKEN}", "a query or fragment"),
        ("api_token", f"{TOKEN} x", "made of visible ASCII characters, without spaces (the value is not shown)"),
        ("api_token", f"{TOKEN}\nx: y", "a token is made of"),
        ("api_token", f"{TOKEN}é", "a token is made of"),
        ("api_token", " ", "there is no token in it"),
        ("timeout", "0", "'0' is not " + DURATION + ", above 0 and up to 24h"),
        ("timeout", "25h", "'25h' is not a duration"),
        ("timeout", "soon", "'soon' is not a duration"),
        ("retries", "11", "'11' is not a whole number from 0 to 10"),
        ("retries", "-1", "'-1' is not a whole number"),
        ("retries", "1.0", "'1.0' is not a whole number"),
        ("retries", "٣", "is not a whole number"),
        ("concurrency", "0", "'0' is not a whole number from 1 to 128"),
        ("page_size", "1", "'1' is not a whole number from 2 to 10000"),
        pytest.param("page_size", "9" * 5000, "... is not a whole number", id="digits"),
        ("ttl", "-5m", "'-5m' is not " + DURATION + ", up to 100 years"),
        ("max_stale", "nan", "'nan' is not a duration"),
        ("offline", "maybe", "'maybe' is not one of true, false, 1, 0, yes, no, on, off"),
        ("cache_size_limit", "63 KiB", "'63 KiB' is not a size such as 256MB, 64MiB, or a number of bytes, from 64"),
        ("format", "xml", "'xml' is not one of table, json, ndjson, csv, tsv, markdown"),
        ("cache_dir", "a\0b", r"'a\x00b' is not a path"),
    ],
)  # fmt: skip
def test_bad_values_name_source_value_and_what_is_accepted(
    name: str, text: str, reason: str, tmp_path: Path, home: dict[str, str]
) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    message = refused({}, home | {setting.environment: text}).message
    assert message.startswith(f"{setting.environment}: ")
    assert reason in message
    if setting.option:
        assert refused({name: text}, home).message == message.replace(setting.environment, setting.option, 1)
    if str in setting.kinds:
        config = tmp_path / "c.toml"
        config.write_text(f"{name} = {json.dumps(text)}")
        at = f"{config}: {name}"
        assert refused({}, home | {"ACME_CONFIG": str(config)}).message == message.replace(setting.environment, at, 1)
    if not set(text) & set("\n\0#'"):
        env_file = tmp_path / "e.env"
        env_file.write_text(f"{setting.environment}='{text}'")
        assert refused({"env_file": str(env_file)}, home).message == f"{env_file}: {message}"


@pytest.mark.parametrize("option", ["api_url", "timeout", "retries", "cache_dir", "format", "offline"])
def test_an_empty_option_is_refused(option: str, home: dict[str, str]) -> None:
    assert "'' is not " in refused({option: ""}, home).message


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h", "http://h/"),
        ("HTTPS://Shop.Example:8443/Api//", "https://shop.example:8443/Api/"),
        (" http://127.0.0.1:8085/api/ ", "http://127.0.0.1:8085/api/"),
        ("http://[::1]:80/x", "http://[::1]:80/x/"),
        ("http://h/@v1", "http://h/@v1/"),
        ("http://bücher.example.", "http://bücher.example./"),
    ],
)
def test_api_url_ends_in_one_slash(text: str, url: str, home: dict[str, str]) -> None:
    assert resolve({"api_url": text}, home).api_url == url


@given(
    st.text(alphabet=string.ascii_letters + ":/@?#[]%\\ \t.＠", max_size=12),
    st.text(alphabet=string.ascii_letters + ":/@?#[]%\\ \t.＠", max_size=12),
)
def test_no_password_in_an_error(before: str, after: str) -> None:
    url = f"http://{before}u:{TOKEN}@{after}"
    try:
        api_url = resolve({"api_url": url}, {"ACME_CONFIG": os.devnull, "HOME": "/"}).api_url
    except UsageError as error:
        shown = str(error)
    else:
        assert api_url
        shown = "/".join(api_url.split("/", 3)[:3])  # in the path an @ means nothing
    assert TOKEN not in shown


# --- the token


def test_the_token_is_in_no_text(home: dict[str, str]) -> None:
    settings = resolve({}, home | {"ACME_API_TOKEN": TOKEN})
    assert settings.api_token == TOKEN
    shown = [str(settings), repr(settings), f"{settings}", pretty_repr(settings), str(public_view(settings))]
    shown += [config_json(settings).decode(), config_table(settings, 80, colour=True)]
    for text in shown:
        assert TOKEN not in text
        assert "api_token" in text
    assert "api_token='set'" in repr(settings)
    assert "api_token='not set'" in repr(resolve({}, home))


@pytest.mark.parametrize("content", [f"{TOKEN}", f"  {TOKEN}\r\n\n", f"\ufeff{TOKEN}\n"])
def test_token_file(content: str, tmp_path: Path, home: dict[str, str]) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    settings = resolve({}, home | {"ACME_API_TOKEN_FILE": str(file)})
    assert settings.api_token == TOKEN
    assert settings.origins["api_token"] == f"file {file} (environment ACME_API_TOKEN_FILE)"
    assert settings.origins["api_token_file"] == "environment ACME_API_TOKEN_FILE"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, " cannot be read: No such file or directory"),
        (b"", ": there is no token in it"),
        (b" \n", ": there is no token in it"),
        (f"{TOKEN}\n{TOKEN}".encode(), ": a token is made of visible ASCII characters, without spaces"),
        (b"\xff" + TOKEN.encode(), " cannot be read: not text in UTF-8"),
        pytest.param(TOKEN.encode() * 100_000, " cannot be read: larger than 1 MiB", id="large"),
    ],
)
def test_bad_token_file(content: bytes | None, reason: str, tmp_path: Path, home: dict[str, str]) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    message = refused({"api_token_file": str(file)}, home).message
    assert message.startswith(f"--api-token-file: {file}{reason}")


def test_token_and_token_file_the_higher_source_wins(tmp_path: Path, home: dict[str, str]) -> None:
    file, env_file = tmp_path / "token", tmp_path / ".env"
    file.write_text("from-file")
    env_file.write_text("ACME_API_TOKEN=from-env-file\nACME_API_TOKEN_FILE=missing\n")
    token, token_file = {"ACME_API_TOKEN": TOKEN}, {"ACME_API_TOKEN_FILE": str(file)}

    def used(options: dict[str, object], environ: dict[str, str]) -> str | None:
        return resolve({"env_file": str(env_file), **options}, home | environ).api_token

    assert used({"api_token_file": str(file)}, token) == "from-file"
    assert used({}, token | {"ACME_API_TOKEN_FILE": "/missing"}) == TOKEN
    assert used({}, token_file) == "from-file"
    assert used({}, {}) == "from-env-file"
    # What loses is not even read.
    assert used({"api_token_file": str(file)}, {"ACME_API_TOKEN": "bad token"}) == "from-file"


# --- files


def test_env_file_from_the_environment(tmp_path: Path, home: dict[str, str]) -> None:
    env_file = tmp_path / "x.env"
    env_file.write_text('\ufeff# comment\nACME_TTL = "5m"\r\nacme_timeout=9\nACME_FORMAT\nNAME=${HOME}\n')
    settings = resolve({}, home | {"ACME_ENV_FILE": str(env_file)})
    assert settings.ttl == 300
    assert settings.timeout == 10
    assert settings.format == "table"
    assert resolve({"env_file": os.devnull}, home | {"ACME_ENV_FILE": str(env_file)}).ttl == 600


def test_env_file_does_not_interpolate(tmp_path: Path, home: dict[str, str]) -> None:
    env_file = tmp_path / "x.env"
    env_file.write_text("ACME_API_TOKEN=a${HOME}b\n")
    assert resolve({"env_file": str(env_file)}, home).api_token == "a${HOME}b"


def test_env_file_may_name_the_config_file(tmp_path: Path, home: dict[str, str]) -> None:
    tmp_path.joinpath("my.toml").write_text("retries = 7")
    env_file = tmp_path / "x.env"
    env_file.write_text("ACME_CONFIG=my.toml\n")
    assert resolve({"env_file": str(env_file)}, home).retries == 7


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("ACME_TLL=5m", "unknown key 'ACME_TLL'", "Did you mean ACME_TTL?"),
        ("ACME_ZZZZZZZZZZZZZZZ=5m", "unknown key 'ACME_ZZZZZZZZZZZZZZZ'", "Known: ACME_API_URL, ACME_API_TOKEN,"),
        ("ACME_ENV_FILE=x", "ACME_ENV_FILE: an env file cannot name another one", None),
        (f"\n\nACME_TTL=1\nACME_API_TOKEN='{TOKEN}\n", "line 4 is not NAME=value", None),
        (b"A=\xff", " cannot be read: not text in UTF-8", None),
    ],
)
def test_bad_env_file(
    content: str | bytes, message: str, hint: str | None, tmp_path: Path, home: dict[str, str]
) -> None:
    env_file = tmp_path / "x.env"
    env_file.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refused({"env_file": str(env_file)}, home)
    assert f"{env_file}" in error.message
    assert error.message.endswith(message)
    assert (error.hint or "").startswith(hint or "")
    assert (error.hint is None) == (hint is None)


@pytest.mark.parametrize("name", ["ACME_ENV_FILE", "ACME_CONFIG", "ACME_API_TOKEN_FILE"])
def test_files_that_cannot_be_read(name: str, tmp_path: Path, home: dict[str, str]) -> None:
    missing = tmp_path / "missing"
    assert (
        refused({}, home | {name: str(missing)}).message
        == f"{name}: {missing} cannot be read: No such file or directory"
    )
    assert refused({}, home | {name: str(tmp_path)}).message == f"{name}: {tmp_path} cannot be read: Is a directory"
    assert "File name too long" in refused({}, home | {name: "x" * 300}).message


def test_unknown_variables_of_the_environment_are_ignored(home: dict[str, str]) -> None:
    assert resolve({}, home | {"ACME_TLL": "5m"}).ttl == 600


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("tll = 5", ": unknown key 'tll'", "Did you mean ttl?"),
        ('"api-url" = "http://h"', ": unknown key 'api-url'", "Did you mean api_url?"),
        ("ACME_TTL = 5", ": unknown key 'ACME_TTL'", "Did you mean ttl?"),
        ("[acme]\nttl = 5", ": unknown key 'acme'", "Known: api_url, api_token, api_token_file, timeout,"),
        ("demo = 'x'", ": unknown key 'demo'", "Known: "),
        ("ttl = [5]", ": ttl: [5] is not a string or a number", None),
        ("ttl = true", ": ttl: True is not a string or a number", None),
        ("ttl = nan", ": ttl: 'nan' is not a duration such as", None),
        ("ttl = 1e999", ": ttl: 'inf' is not a duration such as", None),
        ("retries = '2'", ": retries: '2' is not a whole number", None),
        ("retries = 2.0", ": retries: 2.0 is not a whole number", None),
        ("retries = true", ": retries: True is not a whole number", None),
        ("offline = 'yes'", ": offline: 'yes' is not true or false", None),
        ("offline = 1", ": offline: 1 is not true or false", None),
        ("api_token = 12345678", ": api_token: the value (not shown) is not a string", None),
        ("api_url = ''", ": api_url: '' is not an http", None),
        pytest.param(f"retries = 0x{'f' * 5000}", ": retries: 'a huge number' is not a whole number", None, id="huge"),
        ("ttl = ", ": not valid TOML: Invalid value (at ", None),
        (f"ttl = 5\napi_token = '{TOKEN}\n", ": not valid TOML: ", None),
        pytest.param("ttl = " + "[" * 5000, ": not valid TOML: nested too deeply", None, id="deep"),
        (b"ttl = '\xff'", " cannot be read: not text in UTF-8", None),
    ],
)
def test_bad_config_file(
    content: str | bytes, message: str, hint: str | None, tmp_path: Path, home: dict[str, str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refused({}, home | {"ACME_CONFIG": str(config)})
    assert f"{config}{message}" in error.message
    assert (error.hint or "").startswith(hint or "")
    assert (error.hint is None) == (hint is None)


def test_toml_errors_name_the_line(tmp_path: Path, home: dict[str, str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text("ttl = 5\n\nretries 3\n")
    assert "(at line 3, column 9)" in refused({}, home | {"ACME_CONFIG": str(config)}).message


def test_numbers_in_the_config_file(tmp_path: Path, home: dict[str, str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f"ttl = 90\ntimeout = 0.5\ncache_size_limit = 100000\noffline = true\napi_token = '{TOKEN}'\n")
    settings = resolve({}, home | {"ACME_CONFIG": str(config)})
    assert (settings.ttl, settings.timeout, settings.cache_size_limit) == (90, 0.5, 100_000)
    assert (settings.offline, settings.api_token) == (True, TOKEN)


def test_default_config_file_that_cannot_be_read(tmp_path: Path) -> None:
    tmp_path.joinpath("acme/config.toml").mkdir(parents=True)
    message = refused({}, {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/"}).message
    assert message == f"{tmp_path}/acme/config.toml cannot be read: Is a directory"


# --- folders


def test_relative_paths(tmp_path: Path, home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    # In a file they start from its folder, since cron runs anywhere; elsewhere from the working folder.
    monkeypatch.chdir("/")
    config = tmp_path / "c.toml"
    config.write_text("cache_dir = 'store'")
    assert resolve({}, home | {"ACME_CONFIG": str(config)}).cache_dir == f"{tmp_path}/store"
    assert resolve({"cache_dir": "store"}, home).cache_dir == "/store"
    assert resolve({"cache_dir": "~/store"}, home).cache_dir == f"{tmp_path}/store"
    assert resolve({"cache_dir": "~"}, home).cache_dir == str(tmp_path)


def test_the_working_folder_is_gone(tmp_path: Path, home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert resolve({}, home).ttl == 600
    assert refused({"cache_dir": "x"}, home).message == "--cache-dir: 'x': the working folder is gone"
    monkeypatch.undo()


def nobody(_uid: int) -> pwd.struct_passwd:
    raise KeyError("no such user")


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for environ in ({}, {"HOME": ""}, {"HOME": "relative"}, {"TMPDIR": ""}):
        settings = resolve({}, environ)
        assert settings.cache_dir == f"/tmp/acme-{os.getuid()}"
        assert settings.origins["cache_dir"] == "default (there is no home folder)"
    assert resolve({}, {"TMPDIR": "/scratch"}).cache_dir == f"/scratch/acme-{os.getuid()}"
    assert refused({"cache_dir": "~/x"}, {}).message == "--cache-dir: '~/x': there is no home folder"


def test_home_that_is_no_folder() -> None:
    assert resolve({}, {"HOME": os.devnull}).cache_dir == "/dev/null/.cache/acme"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs itself is asked")
@pytest.mark.parametrize("xdg", [None, "", "relative", "/xdg"])
@pytest.mark.parametrize("home_value", ["/home/ann", "/", None])
def test_folders_are_those_of_platformdirs(
    xdg: str | None, home_value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme_cli.settings import _user_folder

    for name, value in {"HOME": home_value, "XDG_CACHE_HOME": xdg, "XDG_CONFIG_HOME": xdg}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert str(_user_folder("cache", os.environ)) == platformdirs.user_cache_dir("acme")
    assert str(_user_folder("config", os.environ)) == platformdirs.user_config_dir("acme")


def test_folders_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from acme_cli.settings import _user_folder

    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_args, **_more: "/Library/Caches/acme")
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda *_args, **_more: "~/Library/acme")
    assert _user_folder("cache", {}) == Path("/Library/Caches/acme")
    assert _user_folder("config", {}) is None

    def no_home(*_args: str, **_more: Any) -> str:
        raise RuntimeError

    monkeypatch.setattr(platformdirs, "user_cache_dir", no_home)
    assert _user_folder("cache", {}) is None


def test_resolving_defaults_imports_nothing_slow(tmp_path: Path) -> None:
    code = (
        "import sys; before = {*sys.modules}; from acme_cli.settings import resolve;"
        "resolve({'ttl': '5m', 'api_url': 'http://h/'}, {'HOME': sys.argv[1], 'ACME_RETRIES': '1'});"
        "slow = {'platformdirs', 'tomllib', 'dotenv', 'difflib', 'rich', 'tempfile', 'json'};"
        "print(*(slow & {*sys.modules} - before))"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("\n", "")


# --- acme config


def test_config_json(home: dict[str, str]) -> None:
    settings = resolve({"ttl": "5m"}, home | {"ACME_API_TOKEN": TOKEN, "ACME_CACHE_DIR": "/c/\udcff\u202e"})
    encoded = config_json(settings)
    assert encoded.isascii()
    assert encoded.count(b"\n") == 1
    assert encoded.endswith(b"}\n")
    view = json.loads(encoded)
    assert list(view) == [setting.name for setting in SETTINGS]
    assert view["ttl"] == {"value": 300.0, "origin": "option --ttl"}
    assert view["api_token"] == {"value": "set", "origin": "environment ACME_API_TOKEN"}
    assert view["cache_size_limit"] == {"value": 256_000_000, "origin": "default"}
    assert view["offline"]["value"] is False
    assert view["format"]["value"] == "table"
    assert view["cache_dir"]["value"] == "/c/\udcff\u202e"
    assert json.loads(config_json(settings, indent=True)) == view


@pytest.mark.parametrize("width", [60, 80, 200])
def test_config_table(width: int, home: dict[str, str]) -> None:
    path = "/long/[bold]/" + "x" * 70 + "\x1b[31m\u202e"
    settings = resolve({"offline": True}, home | {"ACME_CACHE_DIR": path, "ACME_TTL": "90m"})
    text = config_table(settings, width, colour=False)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "\u202e" not in text
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["Setting", "Value", "From"]
    assert [line[0] for line in lines if line[0] in EXAMPLES] == list(EXAMPLES)
    assert ["retries", "2", "default"] in lines
    assert ["offline", "true", "option", "--offline"] in lines
    assert "256 MB" in text
    assert "90m" in text
    assert "not set" in text
    assert "[bold]" in text
    if width == 200:
        assert r"x\u001b[31m\u202e" in text
    assert "\x1b[" in config_table(settings, width, colour=True)


def test_settings_are_frozen(home: dict[str, str]) -> None:
    settings = resolve({}, home)
    with pytest.raises(AttributeError):
        settings.ttl = 1.0  # type: ignore[misc]  # the point
    assert msgspec.structs.replace(settings, ttl=1.0).ttl == 1
    assert FORMATS[0] == "table"
