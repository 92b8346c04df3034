"""Versions of packages in cache keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.core import distributions
from flowyml_aws.core.distributions import Difference, VersionReader

CACHES = (
    distributions._owners_of,
    distributions._owners_of_top,
    distributions._index,
    distributions._distribution,
    distributions._record,
    distributions._installed,
    distributions._requirements,
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for installed packages, before all others."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for cache in CACHES:
        cache.cache_clear()
    yield tmp_path
    for cache in CACHES:
        cache.cache_clear()


def install(site: Path, name: str, version: str, *files: str, requires: str = "") -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n\n")
    (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))


def test_a_package_has_the_version_of_its_distribution(site: Path) -> None:
    install(site, "abacus", "1.2", "abacus/__init__.py")
    install(site, "py-soroban", "3.4", "soroban/__init__.py")
    install(site, "single", "5.6", "single.py")
    reader = VersionReader()
    assert reader.read(["abacus.core.count", "soroban", "single.f"]) == {
        "abacus": "1.2",
        "py-soroban": "3.4",
        "single": "5.6",
    }


def test_the_standard_library_and_this_package_have_no_version(site: Path) -> None:
    names = ["json.dumps", "builtins.list", "flowyml_aws.core.step.step", "nowhere.f"]
    assert VersionReader("all").read(names) == {}


def test_a_shared_name_belongs_to_the_distribution_that_contains_the_module(site: Path) -> None:
    install(site, "cloud-storage", "1", "cloud/storage/__init__.py")
    install(site, "cloud-queue", "2", "cloud/queue.py")
    reader = VersionReader()
    assert reader.read(["cloud.storage.client.Client"]) == {"cloud-storage": "1"}
    assert reader.read(["cloud.queue.Queue"]) == {"cloud-queue": "2"}
    assert reader.read(["cloud"]) == {"cloud-storage": "1", "cloud-queue": "2"}


def test_the_rule_decides_which_versions_count(site: Path) -> None:
    install(site, "abacus", "1", "abacus/__init__.py", requires="beads (>=1)")
    install(site, "beads", "2", "beads/__init__.py", requires='paint; extra == "color"')
    install(site, "paint", "3", "paint/__init__.py")
    counted = {rule: VersionReader(rule).read(["abacus"]) for rule in distributions.CACHE_VERSIONS}
    assert counted == {
        "none": {},
        "direct": {"abacus": "1"},
        "all": {"abacus": "1", "beads": "2"},
    }


def test_jobs_elsewhere_have_the_versions_that_the_project_requires(site: Path) -> None:
    install(site, "abacus", "1", "abacus/__init__.py")
    pinned = {"abacus": "2", "only-there": "3", "unused": "4"}
    names = ["abacus", "only_there.f"]
    elsewhere = VersionReader(pinned=pinned, is_here=False)
    assert elsewhere.read(names) == {"abacus": "2", "only-there": "3"}
    assert VersionReader(pinned=pinned).read(names) == {"abacus": "1", "only-there": "3"}
    assert elsewhere.differences(["abacus"]) == (Difference("abacus", "1", "2"),)


def test_a_version_that_a_platform_decides_is_no_difference(site: Path) -> None:
    install(site, "abacus", "1", "abacus/__init__.py")
    assert VersionReader(pinned={"abacus": "1 or 2"}).differences(["abacus"]) == ()


def test_installed_packages_are_found() -> None:
    assert VersionReader().read(["yaml.safe_load", "pydantic.BaseModel"]).keys() >= {"pydantic"}
