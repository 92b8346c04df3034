"""What a project needs, as one finds it in the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements import find_requirements


def test_the_setting_comes_first(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    found = find_requirements(tmp_path, ("scipy>=1,<2",))
    assert (found.lines, found.source) == (("scipy>=1,<2",), "the setting image_requirements")


def test_requirements_txt_comes_before_pyproject(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['scipy']\n")
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


def test_dependencies_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['scipy', 'pandas>=2']\n")
    found = find_requirements(tmp_path, ())
    assert (found.lines, found.source) == (
        ("scipy", "pandas>=2"),
        "dependencies in pyproject.toml",
    )


def test_a_project_without_either_needs_nothing(tmp_path: Path) -> None:
    found = find_requirements(tmp_path, ())
    assert found.lines == ()
    assert found.source.startswith("nothing: neither")


def test_comments_and_continued_lines_are_read_as_pip_does(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "# ours\n\nnumpy==2.1 \\\n    --hash=sha256:abc  # why\nhttps://example.com/a.zip#egg=a\n"
    )
    assert find_requirements(tmp_path, ()).lines == (
        "numpy==2.1 --hash=sha256:abc",
        "https://example.com/a.zip#egg=a",
    )


def test_included_files_are_read_and_constraints_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "requirements.txt").write_text("-r deps/more.txt\n-c pins.txt\nnumpy\n")
    (tmp_path / "deps/more.txt").write_text("--requirement=most.txt\nscipy\n")
    (tmp_path / "deps/most.txt").write_text("pandas\n")
    (tmp_path / "pins.txt").write_text("numpy==2.1\n")
    found = find_requirements(tmp_path, ())
    assert found.lines == ("pandas", "scipy", "numpy")
    assert found.constraints == ("numpy==2.1",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-e .\n", "travels with each run"),
        ("--find-links /wheels\n", "names what lies on this machine"),
        ("./dist/mine-1.0-py3-none-any.whl\n", "a file of this machine"),
        ("mine @ file:///tmp/mine\n", "a file of this machine"),
        ("../other\n", "a file of this machine"),
        ("--trusted-host example.com\n", "of pip's options"),
        ("-r missing.txt\n", "missing.txt, which requirements.txt includes, can't be read"),
        ("-r requirements.txt\n", "includes itself"),
        ("--extra-index-url https://me:hunter2@example.com/\n", "PIP_CONFIG_FILE"),
    ],
)
def test_what_can_t_go_into_an_image_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[project]\ndynamic = ['dependencies']\n", "declares them dynamic"),
        ("[project]\ndependencies = 'numpy'\n", "must be a list"),
        ("[project\n", "can't be read"),
    ],
)
def test_a_pyproject_that_does_not_tell_is_an_error(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert told in str(caught.value)
