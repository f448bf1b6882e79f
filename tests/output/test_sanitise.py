"""What `visible` and `visible_json` escape, and what they leave alone."""

import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.output.sanitise import visible, visible_json

PATIENT = settings(deadline=None)  # a busy machine is no failure
BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
FORBIDDEN = {*range(0x20), *range(0x7F, 0xA0), *BIDI, 0x2028, 0x2029}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold] [/] :smile: \\", "plain [bold] [/] :smile: \\"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b]8;;x\x07\x7f\x9b31m", r"\u001b]8;;x\u0007\u007f\u009b31m"),
        ("\u202eevil\u2066\u061c", r"\u202eevil\u2066\u061c"),
        ("\u2028\u2029\ud800", r"\u2028\u2029\ud800"),
        ("👩\u200d👧 ✌\ufe0f e\u0301 n\u200cm \ufeff", "👩\u200d👧 ✌\ufe0f e\u0301 n\u200cm \ufeff"),
    ],
)
def test_only_control_and_bidi_characters_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_every_character_of_unicode() -> None:
    for code in range(0x110000):
        character = chr(code)
        escaped = code in FORBIDDEN or unicodedata.category(character) == "Cs"
        assert (visible(character) != character) is escaped, hex(code)


@PATIENT
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_keeps_its_value_and_its_layout(text: str) -> None:
    document = msgspec.json.format(msgspec.json.encode([text]), indent=2)
    shown = visible_json(document)
    assert msgspec.json.decode(shown) == [text]
    assert not {ord(character) for character in shown.decode()} & (FORBIDDEN - {0x0A})
    assert shown.count(b"\n") == document.count(b"\n")
