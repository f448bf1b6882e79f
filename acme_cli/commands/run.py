"""One run of a command: how it asks, answers, and speaks to people."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from acme_cli.errors import AcmeError, UsageError
from acme_cli.output.sanitise import visible
from acme_cli.output.write import check_reader, keep_secret, write_stderr, write_stdout
from acme_cli.settings import SETTINGS, Settings, resolve

if TYPE_CHECKING:
    from acme_cli.cache.store import Store
    from acme_cli.data_api.client import DataApi
    from acme_cli.data_api.transport import Response, Transport

DEMO = "demo:/"
"""What the bundled data is called where a base URL is expected."""


class Run:
    """One run of a command: its shared options, and the ways to ask and to answer that follow from them."""

    def __init__(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self.options = options
        self.environ = environ
        self.quiet: bool = options.get("quiet", False)
        self.verbose: bool = options.get("verbose", False) and not self.quiet
        self.demo: bool = options.get("demo", False)
        self._later: list[str] = []

    def settings(self, format: str | None = None) -> Settings:  # noqa: A002  the setting's name
        """Return the settings in force, with the command's own --format if it has one. Raises UsageError."""
        given = {**self.options, "format": format}
        names = [setting.name for setting in SETTINGS] + ["env_file"]
        settings = resolve({name: given.get(name) for name in names}, self.environ)
        if settings.api_token is not None:
            keep_secret(settings.api_token)
        return settings

    def note(self, text: str) -> None:
        """Say something on stderr, unless quiet."""
        if not self.quiet:
            write_stderr(f"acme: {visible(text)}\n")

    def warn(self, text: str) -> None:
        """Warn on stderr, unless quiet."""
        self.note(f"warning: {text}")

    def warn_later(self, text: str) -> None:
        """Warn once the API is no longer asked: until then the progress may be on stderr's last line."""
        self._later.append(text)

    def answer(self, data: bytes) -> None:
        """Write the answer to --output or stdout. Raises OutputError and BrokenPipeError."""
        output = self.options.get("output")
        if output is None:
            write_stdout(data)
        else:
            from acme_cli.output.files import write_file

            write_file(output, data)

    @contextmanager
    def writing(self, wait: float, *, at_once: bool) -> "Iterator[Callable[[bytes], None]]":
        """Give a function that writes parts of the answer to --output, which changes at the end, or to stdout.

        With `at_once` nothing reaches stdout before all has been written. Another run that writes the same file is
        waited for, `wait` seconds long. Raises OutputLocked, OutputError and BrokenPipeError.
        """
        output = self.options.get("output")
        if output is None:
            parts: list[bytes] = []
            yield parts.append if at_once else write_stdout
            for part in parts:
                write_stdout(part)
            return
        from acme_cli.output.files import locked, replaced

        with locked(output, wait), replaced(output) as write:
            yield write

    def not_found_hint(self, settings: Settings) -> str:
        """Return what a user who got "not found" may do next."""
        if self.demo:
            from mock_server.dataset import bundled

            return f"the made-up data knows, for one, {', '.join(bundled().example_usernames()[:3])}"
        return f"the data API at {settings.api_url} knows no such user; if that cannot be, `acme doctor` checks it"

    def on_terminal(self) -> bool:
        """Return whether a person reads the answer on a terminal."""
        return self.options.get("output") is None and _is_terminal(1)

    def width(self) -> int:
        """Return the columns of the terminal."""
        columns = self.environ.get("COLUMNS", "")
        if columns.isdecimal() and int(columns) > 0:
            return int(columns)
        try:
            return os.get_terminal_size(1).columns or 80
        except OSError:
            return 80

    def colour(self) -> bool:
        """Return whether the answer may be coloured: --color, then NO_COLOR, FORCE_COLOR, TERM, and a terminal."""
        choice = self.options.get("color", "auto")
        if choice != "auto":
            return bool(choice == "always")
        if self.environ.get("NO_COLOR") or self.options.get("output") is not None:
            return False
        if self.environ.get("FORCE_COLOR"):
            return True
        return self.on_terminal() and self.environ.get("TERM") not in {"dumb", "unknown"}

    @contextmanager
    def open_api(
        self, settings: Settings, says: Callable[[], str] | None = None, *, alone: bool = True
    ) -> "Iterator[DataApi]":
        """Give the data API, and afterwards say on stderr what is to be known about its answers.

        `says` tells how far things are; without it, the requests do. That is not shown unless it is `alone` on the
        terminal. Raises UsageError if no API is configured, or the options contradict each other.
        """
        from acme_cli.cache.freshness import Policy
        from acme_cli.cache.store import Guarded
        from acme_cli.data_api.client import DataApi
        from acme_cli.output.progress import progress

        policy = Policy(settings.ttl, settings.max_stale, self.options.get("refresh", False), settings.offline)
        other = next((name for name in ("refresh", "no_cache") if self.options.get(name)), None)
        if policy.offline and other:
            problem = f"--{other.replace('_', '-')} asks the API, and offline is set ({settings.origins['offline']})"
            raise UsageError(problem, "leave one of them out; --no-offline overrules a setting")
        base_url = self.base_url(settings)
        started = time.monotonic()
        api = DataApi(
            base_url=base_url,
            namespace=_namespace(base_url, settings.api_token),
            connect=lambda: self.connect(settings),
            store=Guarded(self._store(settings), self.warn_later),
            policy=policy,
            page_size=settings.page_size,
            concurrency=settings.concurrency,
            patience=settings.timeout * (settings.retries + 1),
            observe=print_request if self.verbose else None,
        )
        try:
            with progress(alone and not self.quiet and not self.verbose and _is_terminal(2)) as show, api:

                def tick(done: int, total: int) -> None:
                    if self.options.get("output") is None:
                        check_reader()
                    show(says or (lambda: f"{done} of {total} requests"))

                api.tick = tick
                yield api
        finally:
            for warning in self._later:
                self.warn(warning)
            if self.verbose:
                totals = f"{api.requests} requests, {api.cached} of {api.answered} answers from the cache"
                self.note(f"{totals}, {time.monotonic() - started:.2f} s")
        age = None if api.oldest is None else format_age(time.time() - api.oldest)
        if api.failure is not None:
            self.warn(f"{api.failure.message}; the answer is from stored data, fetched {age}")
        elif policy.offline and age is not None:
            self.note(f"offline: the answer is from stored data, fetched {age}")

    def base_url(self, settings: Settings) -> str:
        """Return the base URL of the data API, or DEMO, saying what that means. Raises UsageError if there is none."""
        if self.demo:
            if self.options.get("api_url") is not None:
                raise UsageError("--demo and --api-url exclude each other", "leave one of them out")
            self.note("--demo: the data is made up")
            return DEMO
        if settings.api_url is None:
            raise UsageError(
                "no data API is configured",
                "give --api-url URL, set ACME_API_URL, or try the made-up data with --demo",
            )
        return settings.api_url

    def _store(self, settings: Settings) -> "Store | None":
        if self.options.get("no_cache"):
            return None
        from acme_cli.cache.disk import DiskStore

        return DiskStore(settings.cache_dir, settings.cache_size_limit)

    def connect(self, settings: Settings) -> "Transport":
        """Return a connection to the data API; with --demo, to the bundled one, which is started for it."""
        from acme_cli.data_api.transport import Transport

        base_url, token = settings.api_url, settings.api_token
        if self.demo:
            from mock_server.app import create_app, serve
            from mock_server.behaviour import Behaviour
            from mock_server.dataset import bundled

            base_url, token = serve(create_app(bundled(), Behaviour())).url, None
        assert base_url is not None
        return Transport(base_url, token=token, timeout=settings.timeout, retries=settings.retries, direct=self.demo)


def format_age(seconds: float) -> str:
    """Return an age in words: ``just now``, ``42 s ago``, ``3 min ago``, ``5 h ago``, ``2 d ago``."""
    if seconds < 2:
        return "just now"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _is_terminal(stream: int) -> bool:
    try:
        return os.isatty(stream)
    except OSError:
        return False


def _namespace(base_url: str, token: str | None) -> str:
    """Return what separates stored responses: the base URL, and a digest in the token's place."""
    if token is None or base_url == DEMO:
        return f"{base_url}\n-"
    import hashlib  # costs a few ms

    digest = hashlib.sha256(f"{base_url}\n{token}".encode()).hexdigest()
    return f"{base_url}\n{digest[:32]}"


def print_request(path: str, outcome: "Response | AcmeError") -> None:
    """Print on stderr what was asked and what came of it, for --verbose."""
    if isinstance(outcome, AcmeError):
        says = f"failed: {outcome.message}"
    else:
        tries = f"  {outcome.attempts} attempts" if outcome.attempts > 1 else ""
        kind = "revalidated" if outcome.status == 304 else "miss"
        says = f"{outcome.status}  {1000 * outcome.seconds:.0f} ms  {kind}{tries}"
    write_stderr(f"GET {path}  {visible(says)}\n")
