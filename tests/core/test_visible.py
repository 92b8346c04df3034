from __future__ import annotations

import pytest

from flowyml_aws.core.errors import UserError
from flowyml_aws.core.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("a\rb\x08c\x00d\x7f", r"a\x0db\x08c\x00d\x7f"),
        ("größe\t✓\n", "größe\t✓\n"),
    ],
)
def test_control_characters_are_visible_and_others_are_unchanged(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_the_text_of_an_error_controls_no_terminal() -> None:
    error = UserError(what="a\x1b[2J", why="b\x9b", fix="c\r")
    assert str(error) == "a\\x1b[2J\n  why: b\\x9b\n  fix: c\\x0d"
    assert error.what == "a\x1b[2J"
