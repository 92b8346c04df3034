"""Requirements of a project's image, from the settings or the project's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements import find_requirements


def test_the_setting_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    requirements = find_requirements(tmp_path, ("scipy>=1,<2",))
    assert (requirements.lines, requirements.source) == (
        ("scipy>=1,<2",),
        "the setting image_requirements",
    )


def test_requirements_txt_takes_precedence_over_pyproject(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['scipy']\n")
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


def test_dependencies_are_read_from_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['scipy', 'pandas>=2']\n")
    requirements = find_requirements(tmp_path, ())
    assert (requirements.lines, requirements.source) == (
        ("scipy", "pandas>=2"),
        "dependencies in pyproject.toml",
    )


def test_a_project_without_either_has_no_requirements(tmp_path: Path) -> None:
    requirements = find_requirements(tmp_path, ())
    assert requirements.lines == ()
    assert requirements.source.startswith("nothing: neither")


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project]\ndynamic = ['dependencies']\n", "declares them as dynamic"),
        ("[project]\ndependencies = 'numpy'\n", "must be a list"),
        ("[project\n", "Can't read"),
    ],
)
def test_a_pyproject_without_readable_dependencies_is_an_error(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert message in str(caught.value)
