"""httpx without its command line, which it imports together with click and rich where click is installed: 60 ms."""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None is how an import is refused

import httpx  # noqa: E402, TID253  after the line above; only what is itself imported late imports this

__all__ = ["httpx"]
