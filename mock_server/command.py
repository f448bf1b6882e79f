"""The command: options in, a running server out."""

import threading
from pathlib import Path
from typing import Annotated

import typer

from mock_server.behaviour import FAULTS, STYLES, Behaviour, parse_latency
from mock_server.errors import MockServerError

_STYLES_HELP = "How the API departs from its contract; repeat it or separate with commas. " + "; ".join(
    f"{name}: {meaning}" for name, meaning in STYLES.items()
)


_FAULTS_HELP = "Which faults, in equal parts; repeat it or separate with commas. " + "; ".join(
    f"{name}: {meaning}" for name, meaning in FAULTS.items()
)


def _names(given: list[str] | None) -> list[str]:
    return [name.strip() for names in given or () for name in names.split(",")]


def _complete_fault(incomplete: str) -> list[tuple[str, str]]:
    return [fault for fault in FAULTS.items() if fault[0].startswith(incomplete)]


def _complete_style(incomplete: str) -> list[tuple[str, str]]:
    return [style for style in STYLES.items() if style[0].startswith(incomplete)]


def mock(  # noqa: PLR0917  Typer calls it by keyword
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8085,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    latency: Annotated[
        str,
        typer.Option(metavar="TIME", help="Delay of each request: 200ms, 2s, a range for a random one, or 0."),
    ] = "500ms-1s",
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Serve this JSON file: {"users": […], "products": […], "purchases": […]}.'),
    ] = None,
    users: Annotated[int | None, typer.Option(metavar="N", help="Make up a data set: so many users (else 40).")] = None,
    products: Annotated[int | None, typer.Option(metavar="N", help="… so many products (else 60).")] = None,
    purchases: Annotated[int | None, typer.Option(metavar="N", help="… so many purchases (else 2000).")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Same seed: same made-up data, same latencies and failures.")
    ] = None,
    error_rate: Annotated[
        float, typer.Option(metavar="RATE", help="Share of requests that have a fault, from 0 to 1.")
    ] = 0.0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help=_FAULTS_HELP, autocompletion=_complete_fault)
    ] = None,
    style: Annotated[
        list[str] | None, typer.Option(metavar="STYLE", help=_STYLES_HELP, autocompletion=_complete_style)
    ] = None,
) -> None:
    """Run a data API on this machine, to try things on.

    \b
    Examples:
      acme mock
      acme mock --port 0 --latency 0
      acme mock --users 50000 --products 5000 --purchases 1000000 --seed 1
      acme mock --data shop.json --style camel,bare
      acme mock --error-rate 0.1 --fault error,busy,slow,cut

    The base URL is the first line on stdout, printed once the server answers, so that scripts can wait for it.
    Ctrl-C stops the server.
    \f
    Raises MockServerError for what its user can put right, and OSError when stdout cannot be written; lets
    KeyboardInterrupt through.
    """
    from mock_server import app, dataset  # heavy

    sizes = {"users": users, "products": products, "purchases": purchases}
    given = {name: size for name, size in sizes.items() if size is not None}
    if data is not None and given:
        raise MockServerError(f"--data and --{next(iter(given))} exclude each other; leave one out")
    if seed is not None and seed < 0:
        raise MockServerError(f"--seed {seed}: give a number from 0 up")
    behaviour = Behaviour(parse_latency(latency), error_rate, _names(style), seed, _names(fault))
    if data is not None:
        served = dataset.load(data)
    elif given:
        served = dataset.generate(**given, seed=seed or 0)
    else:
        served = dataset.bundled()
    with app.serve(app.create_app(served, behaviour), host, port) as server:
        typer.echo(server.url)
        typer.echo(
            f"Serving {len(served.users)} users, {len(served.products)} products, {served.purchase_count} purchases; "
            f"latency {latency}. Ctrl-C stops it.",
            err=True,
        )
        threading.Event().wait()
