"""What may reach a terminal: control and bidi characters become visible escapes, all other text stays as it is."""

import io
import re
from collections.abc import Iterator

# C1, the bidi controls, the two line separators that are not C0, and lone surrogates. U+200C and U+200D (joiners)
# are wanted: emoji and several scripts need them.
_BEYOND_ASCII = r"\x80-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_FORBIDDEN = re.compile(rf"[\x00-\x1f\x7f{_BEYOND_ASCII}]")
# The same in UTF-8, but for what JSON has escaped already, and surrogates, which UTF-8 cannot hold.
_FORBIDDEN_IN_JSON = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2(?:\x80[\x8e\x8f\xa8-\xae]|\x81[\xa6-\xa9])")
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def visible(text: str) -> str:
    r"""Return text with every control, bidi and surrogate character as an escape: ``\n``, ``\u001b``, ``\u202e``.

    Backslashes stay single, so the escape is for the eye; JSON is the form that loses nothing.
    """
    return _FORBIDDEN.sub(_escape, text)


def visible_json(encoded: bytes) -> bytes:
    """Return a JSON document in UTF-8 with the same characters as JSON escapes; it decodes to the same value.

    JSON has already escaped what is below U+0020 in its strings, so newlines are layout and stay.
    """
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    if _FORBIDDEN_IN_JSON.search(encoded) is None:
        return encoded
    # Piece by piece: all matches of a long text at once would take many times its memory.
    shown = io.BytesIO()
    for piece in _pieces(encoded):
        shown.write(_FORBIDDEN_IN_JSON.sub(_escape_encoded, piece))
    return shown.getvalue()


def _pieces(encoded: bytes) -> Iterator[bytes]:
    """Yield UTF-8 in pieces of at most 64 KiB that end where a character does."""
    start = 0
    while start < len(encoded):
        end = start + 2**16
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:
            end -= 1
        yield encoded[start:end]
        start = end


def _escape_encoded(match: re.Match[bytes]) -> bytes:
    return f"\\u{ord(match[0].decode()):04x}".encode()


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"
