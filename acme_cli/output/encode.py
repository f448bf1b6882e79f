"""JSON for people and programs: UTF-8, in which nothing can move a cursor or hide text, and which always succeeds."""

import msgspec

from .sanitise import visible_json


def to_json(value: object, *, indent: bool = False) -> bytes:
    """Return the value as JSON, on one line unless `indent`, ending in a newline."""
    try:
        encoded = msgspec.json.encode(value)
        if indent:
            encoded = msgspec.json.format(encoded, indent=2)
    except UnicodeEncodeError:  # a lone surrogate, of a path or an argument that is no UTF-8
        import json  # slow, and needed only where msgspec gives up

        separators = (",", ": " if indent else ":")
        encoded = json.dumps(msgspec.to_builtins(value), indent=2 if indent else None, separators=separators).encode()
    encoded += b"\n"
    return visible_json(encoded)
