"""`python -m mock_server` as a process: the URL line, signals, and one line for everything that is wrong."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from mock_server import command
from mock_server.errors import MockServerError

COMMAND = [sys.executable, "-m", "mock_server"]


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--latency", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code", "options", "holds"),
    [
        (signal.SIGTERM, 143, "--users 3", "3 users, 60 products, 2000 purchases"),
        (signal.SIGINT, 130, "--data x.json", "1 users, 0 products, 0 purchases"),
        (signal.SIGTERM, 143, "--style bare,camel --style capped", "40 users, 60 products, 1561 purchases"),
    ],
)
def test_url_first_then_a_prompt_end(
    number: signal.Signals, code: int, options: str, holds: str, tmp_path: Path
) -> None:
    data = tmp_path / "x.json"
    data.write_text('{"users": [{"username": "ann", "email": ""}], "products": [], "purchases": []}')
    with started(*options.replace("x.json", str(data)).split()) as (process, url):
        users = httpx.get(f"{url}users").json()["users"]
        assert len(users) == min(10, int(holds.partition(" ")[0]))
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == ""
    assert err == f"Serving {holds}; latency 0. Ctrl-C stops it.\n"


def refused(*options: str) -> str:
    """What the command says, in this process, as `python -m` would print it."""
    result = CliRunner().invoke(app_of_command(), list(options))
    assert isinstance(result.exception, MockServerError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def app_of_command() -> typer.Typer:
    app = typer.Typer()
    app.command()(command.mock)
    return app


def test_errors_are_one_line_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, message in [
            (
                ["--port", port],
                f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another --port",
            ),
            (["--port", "x"], "Invalid value for '--port': 'x' is not a valid"),
        ]:
            result = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=30, check=False)
            assert (result.returncode, result.stdout) == (2, "")
            assert result.stderr.startswith(f"mock_server: {message}")
            assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_stdout_that_takes_nothing_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "--port", "0"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert (result.returncode, result.stderr) == (
        2,
        "mock_server: cannot write the URL to stdout: No space left on device\n",
    )


def test_help_opens_with_examples() -> None:
    result = subprocess.run([*COMMAND, "-h"], capture_output=True, text=True, timeout=30, check=True)
    opening = result.stdout.partition("Options:")[0]
    assert "python -m mock_server --port 0 --latency 0\n" in opening
    assert "acme" not in result.stdout
    assert "Raises" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "none.json"], "none.json: No such file or directory; "),
        (["--data", "x.json", "--purchases", "3"], "--data and --purchases exclude each other; leave one out"),
        (["--users", "-1"], "--users -1: give a number from 0 to 10000000"),
        (["--seed", "-1"], "--seed -1: give a number from 0 up"),
        (["--port", "65536"], "--port 65536: give a number from 1 to 65535, or 0 for a free one"),
        (["--host", "a..b"], "--host 'a..b' is not a name or address of this machine; try 127.0.0.1"),
        (["--latency", "soon"], "--latency 'soon': give a duration or a range, "),
        (["--error-rate", "2"], "--error-rate 2: give a number from 0 (never) to 1 (always)"),
        (
            ["--style", "camel", "--style", "bare,kebab"],
            "--style 'kebab' is not known; choose from snake, camel, bare,",
        ),
        (["--style", ""], "--style '' is not known; choose from snake, camel, bare,"),
    ],
)
def test_bad_options_are_refused(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(*options).startswith(message)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupt_and_a_broken_stdout_pass_through_and_stop_the_server(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = []

    def echo(text: str) -> None:
        urls.append(text)
        assert httpx.get(f"{text}users").status_code == 200
        raise error

    monkeypatch.setattr(typer, "echo", echo)
    with pytest.raises(error):
        command.mock(port=0, latency="0")
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[0])


def test_completion_knows_the_styles() -> None:
    assert command._complete_style("ca") == [
        ("camel", "productId for product_id"),
        ("capped", "never more than 50 rows"),
    ]


def test_importing_the_command_loads_nothing_heavy() -> None:
    code = "import sys, mock_server.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    heavy = {"flask", "waitress", "werkzeug", "jinja2", "msgspec", "rich", "acme_cli"}
    assert not heavy & set(loaded.stdout.split())
