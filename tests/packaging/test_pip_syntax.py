"""Encodings of requirements files, as pip finds them."""

from __future__ import annotations

import codecs

import pytest

from flowyml_aws.packaging.pip_syntax import decode, logical_lines

TEXT = "numpy  # für\n"
ENCODED = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a byte order mark": codecs.BOM_UTF8 + TEXT.encode(),
    "UTF-16, as PowerShell writes it": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "UTF-16, big-endian": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "UTF-32": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "UTF-32, big-endian": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    "PEP 263": f"# -*- coding: latin-1 -*-\n{TEXT}".encode("latin-1"),
    "PEP 263 on the second line": f"\n# vim: set fileencoding=cp1252 :\n{TEXT}".encode("cp1252"),
}


@pytest.mark.parametrize("data", ENCODED.values(), ids=ENCODED)
def test_the_encoding_of_a_requirements_file_is_detected_like_pip_does(data: bytes) -> None:
    text = decode(data)
    assert text.endswith(TEXT)
    assert list(logical_lines(text)) == ["numpy"]


def test_a_comment_on_the_third_line_does_not_change_the_encoding() -> None:
    assert decode(f"\n\n# coding: latin-1\n{TEXT}".encode()).endswith(TEXT)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (TEXT.encode("latin-1"), UnicodeDecodeError),
        (codecs.BOM_UTF16_LE + b"n", UnicodeDecodeError),
        (b"# coding: no-such-encoding\nnumpy\n", LookupError),
    ],
)
def test_a_file_that_can_not_be_decoded_is_an_error(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(data)
