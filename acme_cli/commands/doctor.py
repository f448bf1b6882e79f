"""`acme doctor`: is everything as it should be, and if not, what mends it."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import typer

from acme_cli.errors import AcmeError, ExitCode, UsageError
from acme_cli.output.encode import to_json
from acme_cli.output.sanitise import visible
from acme_cli.settings import Settings
from acme_cli.values import format_size

from .options import CACHE, CONNECTION, JSON, STREAMS, shared
from .run import DEMO, Run, print_request

if TYPE_CHECKING:
    from acme_cli.data_api.probe import Finding

_MARKS = {"ok": ("✓", 32), "warning": ("!", 33), "failed": ("✗", 31), "skipped": ("–", 2)}
"""For each status its mark, and the SGR code that the mark is drawn in."""

_INDENT = 17
"""Columns before a finding: mark, name of the check, gap."""


@shared(JSON, STREAMS, CONNECTION, CACHE)
def doctor(run: Run) -> None:
    """Check configuration, API and cache.

    Says what is wrong and what mends it, and which departures from its contract the data API has.
    The report is the answer: it is on stdout also when a check fails. The exit code is that of the first failure.

    \b
    Examples:
      acme doctor
      acme doctor --api-url http://127.0.0.1:8085/api/ -v
      acme doctor --json | jq '.checks[] | select(.status == "failed")'
    """
    findings = list(_findings(run))
    code = next((finding.exit for finding in findings if finding.status == "failed"), ExitCode.OK)
    if run.options["as_json"]:
        run.answer(to_json({"checks": findings, "exit": code}, indent=run.on_terminal()))
    else:
        report = render(findings, run.width() if run.on_terminal() else None, colour=run.colour())
        run.answer(report.encode("utf-8"))
    if code:
        raise typer.Exit(code)


def render(findings: Iterable["Finding"], width: int | None, *, colour: bool) -> str:
    """Return the report for people, its texts wrapped to `width` columns (None: not at all); ends in a newline."""
    import textwrap

    def wrapped(text: str, first: str, other: str) -> str:
        return textwrap.fill(
            visible(text), width or 10**6, initial_indent=first, subsequent_indent=other, break_on_hyphens=False
        )

    lines = []
    check = ""
    for finding in findings:
        name = "" if finding.check == check else finding.check
        check = finding.check
        mark, code = _MARKS[finding.status]
        line = wrapped(finding.text, f"{mark} {name:<{_INDENT - 2}}", " " * _INDENT)
        lines.append(f"\x1b[{code}m{mark}\x1b[0m{line.removeprefix(mark)}" if colour else line)
        if finding.remedy:
            lines.append(wrapped(finding.remedy, f"{'':{_INDENT}}→ ", f"{'':{_INDENT}}  "))
    return "".join(f"{line}\n" for line in lines)


def _findings(run: Run) -> Iterator["Finding"]:
    from acme_cli.data_api.probe import CONTRACT, REACHABLE, Finding

    try:
        settings = run.settings()
    except UsageError as error:
        remedy = error.hint or "correct it there; `acme config --help` lists the settings"
        yield Finding("configuration", "failed", error.message, remedy, error.exit)
        why = "the settings must be right first"
        for check in (REACHABLE, CONTRACT, "cache"):
            yield Finding(check, "skipped", why)
    else:
        yield (configured := _configuration(run, settings))
        if configured.status == "failed":
            yield from (Finding(check, "skipped", "there is no data API to ask") for check in (REACHABLE, CONTRACT))
        elif settings.offline:
            why = f"offline is set ({settings.origins['offline']})"
            yield from (Finding(check, "skipped", why) for check in (REACHABLE, CONTRACT))
        else:
            yield from _api(run, settings)
        yield _cache(settings)
    yield Finding("versions", "ok", _versions())


def _configuration(run: Run, settings: Settings) -> "Finding":
    from acme_cli.data_api.probe import Finding

    name = "configuration"
    try:
        base_url = run.base_url(settings)
    except UsageError as error:
        return Finding(name, "failed", error.message, error.hint, error.exit)
    if run.demo:
        return Finding(name, "ok", "the made-up data (--demo)")
    token = "no token" if settings.api_token is None else f"token set ({settings.origins['api_token']})"
    return Finding(name, "ok", f"{base_url} ({settings.origins['api_url']}), {token}")


def _api(run: Run, settings: Settings) -> Iterator["Finding"]:
    from acme_cli.data_api.probe import CONTRACT, REACHABLE, Finding, Prober

    try:
        transport = run.connect(settings)
    except AcmeError as error:
        yield Finding(REACHABLE, "failed", error.message, error.hint or "check the URL", error.exit)
        yield Finding(CONTRACT, "skipped", "no connection could be prepared")
        return
    with closing(transport):
        prober = Prober(
            transport,
            DEMO if run.demo else settings.api_url or "",
            page_size=settings.page_size,
            concurrency=settings.concurrency,
            observe=print_request if run.verbose else None,
        )
        if prober.reach(lambda url: run.connect(msgspec.structs.replace(settings, api_url=url))):
            prober.examine()
        else:
            prober.findings.append(Finding(CONTRACT, "skipped", "the API must be reachable first"))
    yield from prober.findings


def _cache(settings: Settings) -> "Finding":
    from acme_cli.cache.disk import DiskStore
    from acme_cli.data_api.probe import Finding

    folder = settings.cache_dir
    store = DiskStore(folder, settings.cache_size_limit)
    try:
        store.check()
        stats = store.stats()
    except Exception as error:  # noqa: BLE001  whatever a damaged cache does is what is to be reported
        remedy = (
            "`acme cache clear` empties it, --cache-dir names another folder; without a cache acme works, but slowly"
        )
        return Finding("cache", "failed", f"{folder} cannot be used: {error}", remedy, ExitCode.USAGE)
    finally:
        store.close()
    size = f"{stats.size / 10**6:.1f} MB of at most {format_size(settings.cache_size_limit)}"
    return Finding("cache", "ok", f"{folder}: {stats.entries:,} stored responses, {size}")


def _versions() -> str:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    named = []
    for package in ("acme-cli", "httpx", "diskcache", "typer", "msgspec"):
        try:
            named.append(f"{package.removesuffix('-cli')} {version(package)}")
        except PackageNotFoundError:  # run from a source tree, or bundled without its metadata
            named.append(f"{package.removesuffix('-cli')} of unknown version")
    return ", ".join([*named, f"Python {platform.python_version()}", platform.platform()])
