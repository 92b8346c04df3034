"""Requirements files, as pip reads them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.find import find_requirements


def test_comments_and_line_continuations_are_parsed_like_pip_does(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "# comment\n\nnumpy==2.1 \\\n    --hash=sha256:abc  # why\nhttps://example.com/a.zip#egg=a\n"
    )
    assert find_requirements(tmp_path, ()).lines == (
        "numpy==2.1 --hash=sha256:abc",
        "https://example.com/a.zip#egg=a",
    )


def test_included_files_are_read_and_constraints_kept_separate(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "requirements.txt").write_text("-r deps/more.txt\n-c pins.txt\nnumpy\n")
    (tmp_path / "deps/more.txt").write_text("--requirement=most.txt\nscipy\n")
    (tmp_path / "deps/most.txt").write_text("pandas\n")
    (tmp_path / "pins.txt").write_text("numpy==2.1\n")
    requirements = find_requirements(tmp_path, ())
    assert requirements.lines == ("pandas", "scipy", "numpy")
    assert requirements.constraints == ("numpy==2.1",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-e .\n", "is sent with each run"),
        ("--find-links /wheels\n", "refers to files on this machine"),
        ("./dist/mine-1.0-py3-none-any.whl\n", "a file on this machine"),
        ("mine @ file:///tmp/mine\n", "a file on this machine"),
        ("../other\n", "a file on this machine"),
        ("--trusted-host example.com\n", "support only the pip options"),
        ("-r missing.txt\n", "Can't read missing.txt (included by requirements.txt)"),
        ("-r requirements.txt\n", "includes itself"),
        ("--extra-index-url https://me:hunter2@example.com/\n", "PIP_CONFIG_FILE"),
    ],
)
def test_an_unsupported_requirement_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_files_in_the_encoding_of_powershell_are_read(tmp_path: Path) -> None:
    text = codecs.BOM_UTF16_LE + "numpy  # für\r\n".encode("utf-16-le")
    (tmp_path / "requirements.txt").write_bytes(b"-r more.txt\n")
    (tmp_path / "more.txt").write_bytes(text)
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


@pytest.mark.parametrize(
    "data",
    [
        "numpy  # für\n".encode("latin-1"),
        b"# coding: no-such-encoding\nnumpy\n",
    ],
)
def test_a_file_with_an_unknown_encoding_is_an_error_with_the_comment_to_write(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "requirements.txt").write_bytes(data)
    with pytest.raises(SettingsError, match=r"(?s)Can't read requirements\.txt.*coding: latin-1"):
        find_requirements(tmp_path, ())


def test_a_cycle_through_another_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "requirements.txt").write_text("-r deps/more.txt\n")
    (tmp_path / "deps/more.txt").write_text("-r ../requirements.txt\n")
    with pytest.raises(SettingsError, match=r"requirements\.txt includes itself"):
        find_requirements(tmp_path, ())
