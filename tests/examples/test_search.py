from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.cli.load import load_pipeline

pytestmark = pytest.mark.system


def test_the_example_finds_the_interval_with_the_best_rate(project: Path) -> None:
    result = load_pipeline("examples/search.py").run(progress=False)
    assert result["report"] == "best rate: 2.5"
    (outer,) = result.status.expansions
    assert outer.status is not None
    (inner,) = outer.status.expansions
    assert (outer.step, inner.step) == ("search", "search")
