"""The age of the packaged catalog when a version is released."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
MAX_DAYS = 30
"""Maximum age of the packaged figures on the day of a release."""

RELEASED = "## [Unreleased]\n\n## [1.2.0] - 2026-12-31\n\n### Added\n\n## [1.1.0] - 2026-06-30\n"


def release_day(changelog: str) -> date | None:
    """Return the day of the newest release, or None if there is none yet."""
    match = re.search(r"^## \[\d[^]]*\] - (\S+)$", changelog, re.MULTILINE)
    return date.fromisoformat(match[1]) if match else None


def too_old(catalog: Catalog, released: date | None) -> list[str]:
    """Return the figures that are too old for a release on this day."""
    days = {"specifications": catalog.specifications_date, "prices": catalog.prices_date}
    return [
        f"{figures} of {day}"
        for figures, day in days.items()
        if released is not None and (released - day).days > MAX_DAYS
    ]


def catalog_of(specifications: str, prices: str) -> Catalog:
    return Catalog("r", date.fromisoformat(specifications), date.fromisoformat(prices), ())


def test_the_catalog_of_the_newest_release_was_current_on_that_day() -> None:
    # CONTRIBUTING.md, "Release", says how to refresh the files.
    released = release_day(CHANGELOG.read_text("utf-8"))
    assert too_old(load_catalog(), released) == []


def test_the_changelog_has_the_day_of_the_newest_release() -> None:
    assert release_day(RELEASED) == date(2026, 12, 31)
    assert release_day("## [Unreleased]\n\n### Added\n") is None


@pytest.mark.parametrize(
    ("catalog", "old"),
    [
        (catalog_of("2026-12-01", "2026-12-30"), []),
        (catalog_of("2026-11-30", "2026-12-30"), ["specifications of 2026-11-30"]),
        (catalog_of("2026-12-30", "2026-07-20"), ["prices of 2026-07-20"]),
    ],
)
def test_figures_of_more_than_a_month_before_the_release_are_too_old(
    catalog: Catalog, old: list[str]
) -> None:
    assert too_old(catalog, date(2026, 12, 31)) == old


def test_before_the_release_figures_may_have_any_age() -> None:
    assert too_old(catalog_of("2020-01-01", "2020-01-01"), None) == []
