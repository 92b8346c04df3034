from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.cli.load import load_pipeline

pytestmark = pytest.mark.system


def test_both_shops_run_the_steps_of_one_sub_pipeline(project: Path) -> None:
    result = load_pipeline("examples/shops.py").run(progress=False)
    assert result["share"] == {"DE": 40, "FR": 69, "IT": 0}
    assert result["store_sales"] == {"DE": 3010, "FR": 800, "IT": 440}
    assert {
        f"{shop}/{step}" for shop in ("online", "store") for step in ("parse", "check", "add")
    } <= {*result.step_results}
