from __future__ import annotations

from pathlib import Path

import pytest

from tests.integrations.flowyml.cannot_pass import cannot_pass

PAGE = Path(__file__).parents[3] / "docs" / "flowyml.md"


@pytest.mark.parametrize("test", cannot_pass())
def test_the_documentation_has_each_test_that_cannot_pass_with_its_reason(test: str) -> None:
    page, name = PAGE.read_text("utf-8"), test.rpartition("::")[2]
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {cannot_pass()[test]}"))
    assert f"`{name}`" in row or f"all of `{Path(test.partition('::')[0]).name}`" in row
