"""`acme mock`: the bundled data API, run from here."""

from functools import wraps
from typing import Any

from acme_cli.errors import UsageError
from mock_server import command
from mock_server.errors import MockServerError


@wraps(command.mock)
def mock(**options: Any) -> None:
    """Run it. Raises UsageError for what its user can put right."""
    try:
        command.mock(**options)
    except MockServerError as error:
        raise UsageError(str(error)) from error
