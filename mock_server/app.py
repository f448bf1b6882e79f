"""The data API as a Flask application, and a running server of it."""

import hashlib
import logging
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec
import waitress  # noqa: TID253  this is the room of flask and waitress: import it late
from flask import Blueprint, Flask, Response, g, render_template, request  # noqa: TID253  the same
from waitress.wasyncore import close_all  # noqa: TID253  the same
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.routing import BaseConverter

from mock_server.behaviour import Behaviour
from mock_server.dataset import Dataset, Purchase
from mock_server.errors import MockServerError

THREADS = 64
"""Requests that a server works on, or sleeps on, at the same time."""

_DEFAULT_LIMIT = 10
_CAP = 50
_STOPPING = "mock_server.stopping"


def create_app(dataset: Dataset, behaviour: Behaviour) -> Flask:
    """The application that serves a data set under /api/, and a page about itself at /."""
    app = Flask(__name__, static_folder=None, template_folder=".")
    app.url_map.merge_slashes = False
    app.url_map.converters["text"] = _AnyText
    app.extensions[_STOPPING] = stopping = threading.Event()
    api = _api(dataset, behaviour)
    api.before_request(lambda: _misbehave(behaviour, stopping))
    api.after_request(lambda response: _spoil(response, stopping))
    app.register_blueprint(api)
    app.register_error_handler(HTTPException, _failed)

    @app.get("/")
    @app.get("/api/")
    def index() -> str:
        names = _links("/api/users", dataset.example_usernames())
        return render_template(
            "index.html", dataset=dataset, behaviour=behaviour, names=names, endpoints=_endpoints(dataset)
        )

    return app


def _api(dataset: Dataset, behaviour: Behaviour) -> Blueprint:
    api = Blueprint("api", __name__, url_prefix="/api")
    styles = behaviour.styles

    def one(kind: str, thing: object) -> Response:
        return _answer(thing if "bare" in styles else {kind: thing})

    def missing(what: str, instead: object) -> Response:
        return _answer(instead) if "empty" in styles else _answer({"error": f"{what} was not found"}, 404)

    def purchases(rows: list[Purchase]) -> Response:
        if "camel" not in styles:
            return _answer({"purchases": rows})
        camel = [
            {"id": row.id, "username": row.username, "productId": row.product_id, "date": row.date} for row in rows
        ]
        return _answer({"purchases": camel})

    @api.get("/users")
    def users() -> Response:
        skip, limit = _page(styles)
        return _answer({"users": dataset.users[skip : skip + limit]})

    @api.get("/users/<text:username>")
    def user(username: str) -> Response:
        found = dataset.user(username)
        return one("user", found) if found else missing(f"user {username!r}", {})

    @api.get("/products")
    def products() -> Response:
        skip, limit = _page(styles)
        return _answer({"products": dataset.products[skip : skip + limit]})

    @api.get("/products/<int:product_id>")
    def product(product_id: int) -> Response:
        found = dataset.product(product_id)
        return one("product", found) if found else missing(f"product {product_id}", {})

    @api.get("/purchases/by_user/<text:username>")
    def by_user(username: str) -> Response:
        skip, limit = _page(styles)
        if not dataset.user(username):
            return missing(f"user {username!r}", {"purchases": []})
        if "no-purchases-404" in styles and not dataset.by_user(username, limit=1):
            return _answer({"error": f"user {username!r} has no purchases"}, 404)
        return purchases(dataset.by_user(username, skip, limit))

    @api.get("/purchases/by_product/<int:product_id>")
    def by_product(product_id: int) -> Response:
        skip, limit = _page(styles)
        if not dataset.knows_product(product_id):
            return missing(f"product {product_id}", {"purchases": []})
        return purchases(dataset.by_product(product_id, skip, limit))

    return api


class _AnyText(BaseConverter):
    # One percent-encoded segment; WSGI has decoded it, so it may hold slashes and line breaks by now.
    regex = "(?s:.+)"
    part_isolating = False


def _misbehave(behaviour: Behaviour, stopping: threading.Event) -> Response | None:
    if stopping.wait(behaviour.delay()):
        return _answer({"error": "the server is stopping"}, 503)
    says = {"error": "a made-up failure, see --error-rate"}
    g.fault = behaviour.fault()
    if g.fault in {"500", "503"}:
        return _answer(says, int(g.fault))
    if g.fault == "busy":
        response = _answer(says, 429)
        response.headers["Retry-After"] = "1"
        return response
    return None


def _spoil(response: Response, stopping: threading.Event) -> Response:
    """Spoil the body of a request that is to have such a fault."""
    if g.get("fault") not in {"slow", "cut"}:
        return response
    body = response.get_data()
    pieces = [body[len(body) * part // 20 : len(body) * (part + 1) // 20] for part in range(20)]
    response.automatically_set_content_length = False
    response.headers["Content-Length"] = str(len(body))
    response.response = pieces[:10] if g.fault == "cut" else (piece for piece in pieces if not stopping.wait(0.5))
    return response


def _failed(error: HTTPException) -> Response:
    text = "no such endpoint; the page at / lists them" if error.code == 404 else error.description
    response = error.get_response(request.environ)
    return Response(msgspec.json.encode({"error": text}), response.status_code, response.headers, "application/json")


def _answer(payload: object, status: int = 200) -> Response:
    body = msgspec.json.encode(payload)
    response = Response(body, status, mimetype="application/json")
    if status == 200:
        response.set_etag(hashlib.blake2b(body, digest_size=16).hexdigest())
        response.make_conditional(request)
    return response


def _page(styles: frozenset[str]) -> tuple[int, int]:
    """The rows to skip, and the most to send."""
    limit = _number("limit", _DEFAULT_LIMIT) or _DEFAULT_LIMIT
    if "exclusive" in styles:
        limit -= 1
    if "capped" in styles:
        limit = min(limit, _CAP)
    return _number("skip", 0), limit


def _number(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadRequest(f"{name} must be a whole number, 0 or more")
    return int(text)


Links = list[tuple[str, str]]
"""Links as (href, text)."""


def _links(prefix: str, values: Sequence[object]) -> Links:
    return [(f"{prefix}/{quote(str(value), safe='')}", str(value)) for value in values]


def _endpoints(dataset: Dataset) -> list[tuple[str, str, Links]]:
    """For each endpoint its path, what it gives, and links to try it with."""
    names = dataset.example_usernames()
    bought = [purchase.product_id for name in names for purchase in dataset.by_user(name, limit=1)]
    ids = list(dict.fromkeys(bought or [product.id for product in dataset.products[:1]]))
    exist = [product_id for product_id in ids if dataset.product(product_id)]

    def lists(kind: str) -> Links:
        return [(f"/api/{kind}", "first ten"), (f"/api/{kind}?skip=10&limit=10", "next ten")]

    return [
        ("users?skip=&limit=", "all users", lists("users")),
        ("users/{username}", "one user", _links("/api/users", names)),
        ("products?skip=&limit=", "all products", lists("products")),
        ("products/{id}", "one product", _links("/api/products", exist)),
        ("purchases/by_user/{username}?skip=&limit=", "newest first", _links("/api/purchases/by_user", names)),
        ("purchases/by_product/{id}?skip=&limit=", "newest first", _links("/api/purchases/by_product", ids)),
    ]


class Server:
    """An application being served from threads of this process until `close`; `url` ends in /api/."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        # A full queue is what a slow stand-in is for, not worth a warning on the user's terminal.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._stopping: threading.Event = app.extensions[_STOPPING]
        self._stopping.clear()
        listener = _listen(host, port)
        self.url = _url(*listener.getsockname()[:2])
        self._sockets: dict[int, Any] = {}
        self._server: Any = waitress.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=THREADS,
            connection_limit=10_000,
            backlog=1024,
            asyncore_use_poll=True,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=True,
        )
        self._thread = threading.Thread(target=self._server.run, name="mock-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and drop every connection; requests that sleep are not waited for."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        # Threads first: one that finishes late writes to the trigger's file descriptor, by then perhaps another's.
        self._server.task_dispatcher.shutdown()
        with suppress(OSError):  # the trigger itself may be closed between taking the order and being pulled
            self._server.trigger.pull_trigger(lambda: close_all(self._sockets))
        self._thread.join()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(app: Flask, host: str = "127.0.0.1", port: int = 0) -> Server:
    """A running server, answering when this returns; port 0 picks a free one.

    Raises MockServerError when it cannot listen there.
    """
    return Server(app, host, port)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise MockServerError(f"--port {port}: give a number from 1 to 65535, or 0 for a free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise MockServerError(f"--host {host!r} is not a name or address of this machine; try 127.0.0.1") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise MockServerError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another --port, or 0 for a free one"
        ) from error
    return listener


def _url(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  read here, not bound to
    return f"http://[{host}]:{port}/api/" if ":" in host else f"http://{host}:{port}/api/"
