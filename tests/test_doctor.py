"""`acme doctor`: what is found wrong, what is only different, the remedies, and both forms of the report."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import typer

from acme_cli.commands import doctor
from acme_cli.commands.options import CACHE, CONNECTION, JSON, STREAMS
from acme_cli.data_api.probe import CONTRACT, REACHABLE, Finding, Prober
from acme_cli.data_api.transport import Transport
from mock_server.app import create_app, serve
from mock_server.behaviour import Behaviour
from mock_server.dataset import Dataset, Product, User

BASE = "http://shop.example/api/"
CHECKS = ["configuration", REACHABLE, CONTRACT, "cache", "versions"]

Answer = tuple[int, dict[str, str], bytes]
Change = Callable[[str, Any], Any]


class Network(httpx.BaseTransport):
    """A server without a socket; unlike httpx's own it leaves the body unread."""

    def __init__(self, server: Callable[[httpx.Request], httpx.Response]) -> None:
        self._server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(raw_path=request.extensions["target"])
        response = self._server(request)
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(response.content))


def purchase(number: int, **other: Any) -> dict[str, Any]:
    date = f"2026-01-01T{23 - number // 60 % 24:02}:{59 - number % 60:02}:00Z"
    return {"id": number, "username": "ann", "product_id": 1, "date": date, **other}


def shop(
    change: Change = lambda _path, content: content, *, rows: int = 120, cap: int = 10**9, skips: bool = True
) -> Callable[[httpx.Request], httpx.Response]:
    """A data API as the contract has it, but for `change`, which is told path and content (None: 404)."""
    lists: dict[str, list[dict[str, Any]]] = {
        "users": [{"username": name, "email": "a@example.com"} for name in ("ann", "bob", "a/b")],
        "products": [{"id": number, "face": "(o)", "price": 1, "size": 2} for number in (1, 2)],
        "purchases": [purchase(number) for number in range(rows)],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        kind, *rest = (unquote(part) for part in request.url.raw_path.decode().split("?")[0].split("/")[2:])
        skip = int(request.url.params.get("skip", 0)) if skips else 0
        limit = min(int(request.url.params.get("limit", 10)), cap)
        content: Any
        if kind != "purchases" and rest:
            key = "username" if kind == "users" else "id"
            found = [row for row in lists[kind] if str(row[key]) == rest[0]]
            content = {kind[:-1]: found[0]} if found else None
        else:
            those = [] if rest and rest[-1] in {"bob", "a/b", "2"} else lists[kind]
            content = {kind: those[skip : skip + limit]}
        content = change("/".join([kind, *rest]), content)
        if isinstance(content, httpx.Response):
            return content
        if isinstance(content, Exception):
            raise content
        return httpx.Response(404) if content is None else httpx.Response(200, json=content)

    return answer


def examined(server: Callable[[httpx.Request], httpx.Response], page_size: int = 100) -> list[Finding]:
    """What is found about a server that was reached."""
    asked: list[str] = []
    transport = Transport(BASE, token=None, timeout=5, retries=0, network=Network(server))
    prober = Prober(transport, BASE, page_size=page_size, concurrency=4, observe=lambda path, _: asked.append(path))
    assert prober.reach(lambda _: transport)
    prober.examine()
    transport.close()
    again = any(finding.text.startswith("ETag") for finding in prober.findings)
    assert len(asked) == len(set(asked)) + again or page_size < 4  # none twice, but for that of the ETag
    assert len(asked) <= 25
    assert prober.findings[0].check == REACHABLE
    assert {finding.check for finding in prober.findings[1:]} == {CONTRACT}
    assert all(finding.remedy and finding.exit for finding in prober.findings if finding.status == "failed")
    return prober.findings


def texts(findings: list[Finding], status: str = "ok") -> list[str]:
    return [finding.text for finding in findings if finding.status == status]


def test_a_server_after_the_contract_has_no_departures() -> None:
    findings = examined(shop())
    assert texts(findings)[1:] == [
        "3 users, 2 products and 100 purchases looked at, all readable",
        "no ETags: what is no longer fresh is sent whole again",
        "skip is honoured",
        "limit is honoured up to 100, the page size",
    ]
    assert {finding.status for finding in findings} == {"ok"}


def altered(kind: str, **fields: Any) -> Change:
    """Every row of a kind gets these fields; those that are `...` go."""

    def change(_path: str, content: Any) -> Any:
        for row in (content or {}).get(kind, []):
            row.update(fields)
            for name in [name for name, value in fields.items() if value is ...]:
                del row[name]
        return content

    return change


def bare(path: str, content: Any) -> Any:
    return content and next(iter(content.values())) if re.match(r"(users|products)/", path) else content


def oldest_first(path: str, content: Any) -> Any:
    return {"purchases": content["purchases"][::-1]} if "by_user" in path else content


def repeated_ids(_path: str, content: Any) -> Any:
    for row in (content or {}).get("purchases", []):
        row["id"] //= 2
    return content


def beside(_path: str, content: Any) -> Any:
    return content and {**content, "total": 3}


@pytest.mark.parametrize(
    ("change", "departure"),
    [
        (altered("purchases", product_id=..., productId=1), "camelCase keys (productId): read like snake_case"),
        (bare, "users or products without envelope (user, product): read all the same"),
        (lambda _, content: {} if content is None else content, "200 with {} for what is missing (user, product): "),
        (lambda path, content: None if path.endswith("by_user/bob") else content, "404 for a user without purchases"),
        (oldest_first, "a user's purchases are not newest first (purchases/by_user): the API's order"),
        (altered("purchases", product_id=7), "purchases of products that are gone (product 7): shown without"),
        (repeated_ids, "repeated purchase ids (0, 1, 2, …): not used"),
        (altered("purchases", note="x"), "unknown fields (purchase.note): ignored"),
        (beside, "unknown fields (total): ignored"),
        (altered("products", face=..., price=None), "missing fields (product.face, product.price): null"),
        (altered("purchases", date=...), "missing fields (purchase.date): null"),
        (altered("purchases", date="2026-01-01T00:00"), "dates without a time zone (2026-01-01T00:00): read as UTC"),
        (altered("purchases", date="yesterday"), "unreadable dates (yesterday): such"),
        (altered("purchases", date=1767225600), "unreadable dates (1767225600): such"),
    ],
)
def test_departures_are_named_and_no_failures(change: Change, departure: str) -> None:
    findings = examined(shop(change))
    assert any(text.startswith(departure) for text in texts(findings)), findings
    assert {finding.status for finding in findings} == {"ok"}


@pytest.mark.parametrize(
    ("server", "page_size", "told"),
    [
        (shop(cap=50), 100, "capped limit (100 asked for, 50 sent): lists of that length are asked for more"),
        (shop(rows=30), 100, "whether limit=100 is honoured could not be told: no list is long enough"),
        (shop(rows=1, change=altered("users", extra=1)), 2, "limit is honoured up to 2, the page size"),
        (shop(cap=50), 50, "limit is honoured up to 50, the page size"),
    ],
)
def test_limit(server: Callable[[httpx.Request], httpx.Response], page_size: int, told: str) -> None:
    assert told in texts(examined(server, page_size))


def test_a_server_that_ignores_limit_sends_what_there_is() -> None:
    whole = {"purchases": [purchase(number) for number in range(120)]}

    def change(path: str, content: Any) -> Any:
        return whole if path.startswith("purchases") and content["purchases"] else content

    findings = examined(shop(change))
    assert any(text.startswith("limit is ignored (3 asked for, 120 sent)") for text in texts(findings))


def test_a_cap_that_would_cut_lists_short_is_a_failure() -> None:
    (failure,) = (finding for finding in examined(shop(cap=5)) if finding.status == "failed")
    assert failure.text == "limit=100 gives 5 rows of a longer list, which would be cut short"
    assert failure.remedy is not None
    assert "--page-size 5" in failure.remedy
    assert failure.exit == 4


def test_skip_that_is_ignored_is_a_failure() -> None:
    (failure,) = (finding for finding in examined(shop(skips=False)) if finding.status == "failed")
    assert failure.text.startswith("skip is ignored: purchases/by_product/1 sends its first page again")
    assert failure.exit == 4


def test_where_there_is_nothing_the_rest_cannot_be_told() -> None:
    def change(path: str, content: Any) -> Any:
        return {path: []} if path in {"users", "products"} else content

    findings = examined(shop(change))
    assert texts(findings, "warning") == ["there are no users, so that not everything could be checked"]
    assert texts(findings)[-2:] == [
        "what skip does could not be told: no list has two rows",
        "whether limit=100 is honoured could not be told: no list is long enough",
    ]


def test_names_that_cannot_be_one_segment_are_not_asked_for() -> None:
    findings = examined(shop(altered("users", username="..")))
    assert {finding.status for finding in findings} == {"ok"}


def test_a_proxy_that_decodes_slashes_is_a_warning() -> None:
    (warning,) = (
        finding
        for finding in examined(shop(lambda path, content: None if path == "users/a/b" else content))
        if finding.status == "warning"
    )
    assert warning.text == "the list has the user 'a/b', but alone it is not found"
    assert warning.remedy is not None


@pytest.mark.parametrize(
    ("etag", "again", "says"),
    [
        ("1", 304, "ETags: what did not change is not sent again"),
        ("1", 200, "ETags are sent, but 304 is not"),
        (None, None, "no ETags: what is no longer fresh is sent whole again"),
    ],
)
def test_etags(etag: str | None, again: int | None, says: str) -> None:
    plain = shop()

    def server(request: httpx.Request) -> httpx.Response:
        response = plain(request)
        if etag is not None:
            response.headers["etag"] = etag
        if again is not None and request.headers.get("if-none-match") == etag:
            response.status_code = again
        return response

    assert says in texts(examined(server))


def only(wanted: str, instead: Any) -> Change:
    """Answer paths that match with something else."""
    return lambda path, content: instead if re.fullmatch(wanted, path) else content


def raw(body: bytes) -> httpx.Response:
    return httpx.Response(200, content=body)


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (only("users", {"people": []}), "GET http://shop.example/api/users?skip=0&limit=100: $.users is missing"),
        (only("users", []), "GET http://shop.example/api/users?skip=0&limit=100: $: expected object, got array"),
        (
            only("users", {"users": 1}),
            "GET http://shop.example/api/users?skip=0&limit=100: $.users: expected array, got int",
        ),
        (only("users", {"users": [{"username": 7}]}), ": $.users[0].username: expected str, got int"),
        (only("products", {"products": [{"id": "x"}]}), ": $.products[0].id: expected int, got str"),
        (only("products", None), ": it is 404, but the contract has this list"),
        (only("users/ann", None), "users/ann: the list has this user, but alone it is not found"),
        (only("users/nobody.*", {"user": {"username": "x"}}), ": there is no such user, yet the answer is one"),
        (only(".*by_user/ann", {"purchases": [{"id": 1}]}), "ann?limit=100: $.purchases[0].username is missing"),
        (only(".*by_product/1", {"purchases": 7}), "?skip=0&limit=100: $.purchases: expected array, got int"),
        (only(".*by_product/1", httpx.Response(500)), "limit=100 answered 500 Internal Server Error"),
        (only("products/2.*", raw(b"\xff")), ": the body is not JSON: "),
        (only("users/ann", raw(b"[" * 100_000)), "users/ann: "),
        (only("users", raw(b'{"users":[' + b"[" * 100_000)), ": $.users[0]: expected object, got array"),
        (only("users/ann", httpx.ReadTimeout("")), "users/ann: no whole answer within 5 s"),
    ],
)
def test_what_cannot_be_read_is_a_failure_with_its_place(change: Change, failure: str) -> None:
    (found,) = (finding for finding in examined(shop(change)) if finding.status == "failed")
    assert failure in found.text
    assert found.exit == (5 if "no whole answer" in failure else 4)


def test_the_same_failure_is_told_once() -> None:
    failed = texts(examined(shop(altered("purchases", id="x"))), "failed")
    assert len(failed) == 1


def test_numbers_that_python_cannot_hold_are_read_as_the_client_reads_them() -> None:
    body = b'{"user": {"username": "ann", "extra": 1e999}}'
    assert {finding.status for finding in examined(shop(only("users/ann", raw(body))))} == {"ok"}


@contextmanager
def answering(answer: Callable[[str, str | None], Answer]) -> Iterator[str]:
    """A real server; `answer` is told the path and the credential."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = answer(self.path, self.headers["authorization"])
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in the base class
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run the command in this process with options; return the exit code and the findings, a list for each check."""
    for name in os.environ:
        if name.startswith("ACME_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    defaults = {name: value[1] for group in (JSON, STREAMS, CONNECTION, CACHE) for name, value in group.items()}

    def run(**options: Any) -> tuple[int, dict[str, Any]]:
        code = 0
        try:
            doctor.doctor(**{**defaults, "retries": "0", "as_json": True, **options})
        except typer.Exit as stop:
            code = stop.exit_code
        report = json.loads(capfd.readouterr().out)
        assert list(report) == ["checks", "exit"]
        assert report["exit"] == code
        assert all(finding["remedy"] for finding in report["checks"] if finding["status"] == "failed")
        assert list(dict.fromkeys(finding["check"] for finding in report["checks"])) == CHECKS
        return code, {name: [one for one in report["checks"] if one["check"] == name] for name in CHECKS}

    return run


Ask = Callable[..., tuple[int, dict[str, Any]]]


def small() -> Dataset:
    """`busy` purchased one product 120 times, `idle` nothing."""
    rows = [(number, "busy", 1, number * 10**9) for number in range(120)]
    return Dataset([User("busy", "b@x.y"), User("idle", "i@x.y")], [Product(1, "[:o]", 5, 2)], rows)


@pytest.mark.parametrize(
    ("style", "departure"),
    [
        ("snake", "limit is honoured up to 100"),
        ("camel", "camelCase keys"),
        ("bare", "users or products without envelope"),
        ("empty", "200 with {} for what is missing"),
        ("exclusive", "exclusive limit (3 asked for, 2 sent)"),
        ("capped", "capped limit (100 asked for, 50 sent)"),
        ("no-purchases-404", "404 for a user without purchases"),
    ],
)
def test_every_style_of_the_mock_server(ask: Ask, style: str, departure: str) -> None:
    with serve(create_app(small(), Behaviour((0, 0), styles=[style]))) as server:
        code, report = ask(api_url=server.url)
    assert code == 0
    assert any(finding["finding"].startswith(departure) for finding in report[CONTRACT])
    assert any(finding["finding"].startswith("ETags: what") for finding in report[CONTRACT])
    others = "exclusive", "capped", "camelCase", "200 with", "404 for", "users or"
    named = [finding["finding"] for finding in report[CONTRACT] if finding["finding"].startswith(others)]
    assert len(named) == (style != "snake")


def test_nothing_configured(ask: Ask) -> None:
    code, report = ask()
    assert code == 2
    assert report["configuration"][0]["finding"] == "no data API is configured"
    assert re.search(r"--api-url.*ACME_API_URL.*--demo", report["configuration"][0]["remedy"])
    assert [report[name][0]["status"] for name in CHECKS] == ["failed", "skipped", "skipped", "ok", "ok"]


def test_a_bad_setting(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TIMEOUT", "soon")
    code, report = ask()
    assert code == 2
    assert "ACME_TIMEOUT: 'soon' is not" in report["configuration"][0]["finding"]
    assert [report[name][0]["status"] for name in CHECKS] == ["failed", "skipped", "skipped", "skipped", "ok"]


def test_demo_and_a_url(ask: Ask) -> None:
    code, report = ask(demo=True, api_url=BASE)
    assert code == 2
    assert "exclude each other" in report["configuration"][0]["finding"]


def test_offline_asks_nothing(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_OFFLINE", "true")
    code, report = ask(api_url="http://127.0.0.1:9/")
    assert code == 0
    assert report[REACHABLE][0] == report[CONTRACT][0] | {"check": REACHABLE}
    assert report[REACHABLE][0]["finding"] == "offline is set (environment ACME_OFFLINE)"


def test_a_connection_that_cannot_be_prepared(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    code, report = ask(api_url="https://shop.example/")
    assert code == 2
    assert "SSL_CERT_FILE" in report[REACHABLE][0]["remedy"]
    assert report[CONTRACT][0]["status"] == "skipped"


def html(_path: str, _credential: str | None) -> Answer:
    return 200, {"content-type": "text/html"}, b"<html>hello</html>"


@pytest.mark.parametrize(
    ("answer", "code", "finding", "remedy"),
    [
        (lambda *_: (401, {}, b""), 4, "answered 401 Unauthorized", "check the token: ACME_API_TOKEN"),
        (lambda *_: (403, {}, b""), 4, "answered 403 Forbidden", "check the token: ACME_API_TOKEN"),
        (
            lambda *_: (302, {"location": "/login"}, b""),
            4,
            "302 Found, a redirect to /login",
            "redirects are not followed",
        ),
        (lambda *_: (500, {}, b""), 4, "answered 500", "the log of the data API"),
        (lambda *_: (404, {}, b""), 4, "/users?skip=0&limit=2 answered 404", "check the path of the base URL"),
        (html, 4, "answers, but is no data API", "check the path of the base URL"),
        (lambda *_: (200, {}, b"9" * (9 * 2**20)), 4, "is larger than", "check that the base URL"),
    ],
    ids=["401", "403", "redirect", "500", "404", "html", "huge"],
)
def test_unfit_answers(
    ask: Ask, answer: Callable[[str, str | None], Answer], code: int, finding: str, remedy: str
) -> None:
    with answering(answer) as url:
        ended, report = ask(api_url=url)
    assert ended == code
    assert report[REACHABLE][0]["status"] == "failed"
    assert finding in report[REACHABLE][0]["finding"]
    assert report[REACHABLE][0]["remedy"].startswith(remedy)
    assert report[CONTRACT][0]["status"] == "skipped"
    assert report["cache"][0]["status"] == "ok"


@pytest.mark.parametrize("wrong", ["", "api/users/", "api/v2/"])
def test_a_wrong_path_with_the_right_one_next_to_it(ask: Ask, wrong: str) -> None:
    with serve(create_app(small(), Behaviour((0, 0)))) as server:
        code, report = ask(api_url=server.url.removesuffix("api/") + wrong)
        assert code == 4
        assert report[REACHABLE][0]["remedy"] == f"a data API answers at {server.url}: make that the base URL"


def test_a_superfluous_api(ask: Ask) -> None:
    def at_the_root(path: str, _credential: str | None) -> Answer:
        return (200, {}, b'{"users": []}') if path.startswith("/users") else (404, {}, b"")

    with answering(at_the_root) as url:
        code, report = ask(api_url=f"{url}api/")
    assert code == 4
    assert report[REACHABLE][0]["remedy"].startswith(f"a data API answers at {url}:")


def test_a_path_whose_neighbours_refuse(ask: Ask) -> None:
    with answering(lambda path, _: (404 if path.startswith("/x/users") else 400, {}, b"")) as url:
        _, report = ask(api_url=f"{url}x/")
    assert report[REACHABLE][0]["remedy"].startswith("check the path")


def test_a_token_is_said_to_be_set_and_never_shown(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_TOKEN", "hush-hush")
    with answering(lambda _, credential: (200 if credential else 401, {}, b'{"users": []}')) as url:
        _, report = ask(api_url=url)
    assert report[REACHABLE][0]["status"] == "ok"
    assert report["configuration"][0]["finding"].endswith("token set (environment ACME_API_TOKEN)")
    assert "hush-hush" not in json.dumps(report)


def test_a_file_where_the_cache_should_be(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with serve(create_app(small(), Behaviour((0, 0)))) as server:
        code, report = ask(api_url=server.url, cache_dir=str(tmp_path / "file"))
    assert code == 2
    assert "is not a folder" in report["cache"][0]["finding"]
    assert "acme cache clear" in report["cache"][0]["remedy"]


def test_the_first_failure_decides_the_exit_code(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with answering(lambda *_: (401, {}, b"")) as url:
        code, _ = ask(api_url=url, cache_dir=str(tmp_path / "file"))
    assert code == 4


def test_a_package_without_metadata(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def version(package: str) -> str:
        if package == "typer":
            raise metadata.PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr(metadata, "version", version)
    _, report = ask()
    assert report["versions"][0]["finding"].startswith(
        "acme 1.2, httpx 1.2, diskcache 1.2, typer of unknown version, msgspec 1.2, Python 3."
    )


FINDINGS = [
    Finding("configuration", "ok", "as it should be"),
    Finding(REACHABLE, "warning", "slow " * 20, "faster " * 20),
    Finding(CONTRACT, "failed", "evil \x1b[31m\u202e name", "http://shop.example/" + "x" * 80, 4),
    Finding(CONTRACT, "ok", "second line"),
    Finding("cache", "skipped", "not now"),
]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_report_fits_the_terminal(width: int) -> None:
    plain = doctor.render(FINDINGS, width, colour=False)
    assert max(map(len, plain.splitlines())) <= width
    colourful = doctor.render(FINDINGS, width, colour=True)
    assert re.sub(r"\x1b\[\d+m", "", colourful) == plain
    assert colourful.count("\x1b") == 2 * len(FINDINGS)


def test_the_report_in_a_pipe_is_a_line_for_each_finding_and_remedy() -> None:
    assert doctor.render(FINDINGS, None, colour=False).splitlines() == [
        "✓ configuration  as it should be",
        "! API reachable  " + ("slow " * 20).strip(),
        "                 → " + ("faster " * 20).strip(),
        r"✗ API contract   evil \u001b[31m\u202e name",
        "                 → http://shop.example/" + "x" * 80,
        "✓                second line",
        "– cache          not now",
    ]


def front_door(tmp_path: Path, *options: str) -> tuple[int, str, str]:
    """Run the command as its users do; return exit code, stdout, stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ACME_", "XDG_"))}
    environment |= {"HOME": str(tmp_path), "LC_ALL": "C", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "acme_cli", "doctor", *options]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_front_door_on_a_sound_server(tmp_path: Path) -> None:
    with serve(create_app(small(), Behaviour((0, 0), styles=["camel"]))) as server:
        code, report, errors = front_door(tmp_path, "--api-url", server.url, "-v")
    assert code == 0
    assert f"✓ configuration  {server.url} (option --api-url), no token\n" in report
    assert "\n✓                camelCase keys (productId): read like snake_case\n" in report
    assert re.search(r"\n✓ cache .*: 0 stored responses, 0\.\d MB of at most 256 MB\n", report)
    lines = errors.splitlines()
    assert len(lines) <= 25
    assert all(re.fullmatch(r"GET \S+  (200|304|404)  \d+ ms  \w+", line) for line in lines)


def test_front_door_on_a_refused_port(tmp_path: Path) -> None:
    with answering(html) as url:
        pass
    code, report, errors = front_door(tmp_path, "--api-url", url, "--json", "--retries", "0")
    assert (code, errors) == (5, "")
    assert report.count("\n") == 1
    checks = json.loads(report)["checks"]
    assert [one["status"] for one in checks] == ["ok", "failed", "skipped", "ok", "ok"]
    assert checks[1] == {
        "check": "API reachable",
        "status": "failed",
        "finding": f"GET {url}users?skip=0&limit=2: [Errno 111] Connection refused",
        "remedy": "check that the data API runs, and host and port of its URL; if it is slow, give a longer --timeout",
        "exit": 5,
    }


def test_the_made_up_data(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mock_server.behaviour.Behaviour", lambda: Behaviour((0, 0)))
    code, report = ask(demo=True)
    assert code == 0
    assert report["configuration"][0]["finding"] == "the made-up data (--demo)"
    assert any(one["finding"].startswith("purchases of products that are gone") for one in report[CONTRACT])
