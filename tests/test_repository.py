"""Rules for every file in the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]

# Split strings, so that this file does not match its own patterns.
REGISTRIES = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "yarn" + "pkg.com",
    "deb." + "debian.org",
    "security." + "debian.org",
    "archive." + "ubuntu.com",
    "repo.maven" + ".apache.org",
    "conda" + ".anaconda.org",
    "crates" + ".io",
    "proxy." + "golang.org",
)
REGISTRY = re.compile("|".join(map(re.escape, REGISTRIES)), re.IGNORECASE)

# Home and working directories of one machine; s3://bucket/work/ is a key, not such a path.
MACHINE_PATH = re.compile(r"(?<![\w.})>-])/(?:root|work|home|Users)/")

SECRETS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)(?![A-Z0-9]*EXAMPLE)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE" + " KEY"),
    "an access token": re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-)\w{16,}"),
    "an e-mail address": re.compile(
        r"(?<![\w.+-])(?!git@)[\w.+-]+@(?!(?:[\w-]+\.)*example\.(?:com|org|net)\b)(?:[a-z][\w-]*\.)+[a-z]{2,}\b"
    ),
}


@pytest.fixture(scope="module")
def files() -> tuple[Path, ...]:
    """The text files that git tracks or would track."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git work tree")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.is_file() and b"\0" not in path.read_bytes())


def matches(pattern: re.Pattern[str], files: tuple[Path, ...]) -> Iterator[str]:
    for path in files:
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        ):
            if match := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {match.group()}"


@pytest.mark.contract
def test_no_file_contains_the_host_of_a_package_registry(files: tuple[Path, ...]) -> None:
    assert list(matches(REGISTRY, files)) == []


@pytest.mark.contract
def test_no_file_contains_a_path_of_one_machine(files: tuple[Path, ...]) -> None:
    assert list(matches(MACHINE_PATH, files)) == []


@pytest.mark.contract
@pytest.mark.parametrize("secret", SECRETS)
def test_no_file_contains_a_secret_or_a_private_address(
    secret: str, files: tuple[Path, ...]
) -> None:
    assert list(matches(SECRETS[secret], files)) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY, "index-url = https://" + "pypi" + ".org/simple"),
        (MACHINE_PATH, 'open("/' + 'root/data.csv")'),
        (MACHINE_PATH, "cd /" + "home/ana/project"),
        (SECRETS["an AWS access key"], "AKIA" + "Q2W3E4R5T6Y7U8I9"),
        (SECRETS["a private key"], "-----BEGIN RSA PRIVATE" + " KEY-----"),
        (SECRETS["an access token"], "ghp_" + "0123456789abcdefABCD"),
        (SECRETS["an e-mail address"], "ana.lopez" + "@corp.co.uk"),
    ],
)
def test_forbidden_content_is_detected(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (MACHINE_PATH, "s3://bucket/work/runs"),
        (SECRETS["an AWS access key"], "AKIAIOSFODNN7EXAMPLE"),
        (SECRETS["an e-mail address"], "ana@example.com"),
        (SECRETS["an e-mail address"], "    @pytest.fixture"),
    ],
)
def test_allowed_content_is_not_reported(pattern: re.Pattern[str], line: str) -> None:
    assert not pattern.search(line)


def test_every_folder_of_the_package_is_a_package() -> None:
    # The import rules ignore modules in a folder without __init__.py.
    folders = {path.parent for path in (ROOT / "flowyml_aws").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_constraint_is_an_exact_version_without_a_url() -> None:
    pin = re.compile(r"[a-z0-9][a-z0-9-]*==[0-9][\w.]*(?: ; .+)?")
    files = (ROOT / "constraints.txt", ROOT / "infra/constraints.txt")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if not line.startswith("#") and not pin.fullmatch(line)] == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    required = {Requirement(line).name for line in chain(project["dependencies"], *extras)} - {
        project["name"]
    }
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert required - set(re.findall(r"^([a-z0-9-]+)==", constraints, re.MULTILINE)) == set()
