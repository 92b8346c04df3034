"""Planted deviations of the emulator."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.deviations import DEVIATIONS, Deviations

pytestmark = pytest.mark.contract


def test_an_unknown_deviation_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match="did you mean 'no-retry'") as caught:
        Emulator(deviations=["no-retries"])
    assert all(name in caught.value.why for name in DEVIATIONS)


def test_deviations_need_the_resources_of_infra() -> None:
    with pytest.raises(SettingsError, match="in an empty account: price"):
        Emulator(empty=True, deviations=["price"])


def test_the_banner_names_planted_deviations_only() -> None:
    with Emulator(deviations=["price"]) as aws:
        (line,) = (line for line in aws.describe() if line.startswith("planted deviations: "))
    assert "price (all prices are 20 % higher" in line
    assert "no-retry" not in line
    with Emulator() as aws:
        assert not any("planted" in line for line in aws.describe())


def test_jobs_do_not_see_which_deviations_are_planted(batch: Any) -> None:
    with_names = "import os; print(sorted(os.environ))"
    job = batch.submit(with_names)
    batch.ended(job)
    assert "DEVIAT" not in batch.log(job)[0].upper()


def test_the_larger_type_is_of_the_same_family_and_service() -> None:
    larger_type = Deviations.of(["larger-type"]).instance_type
    assert larger_type("ml.m5.large") == "ml.m5.24xlarge"
    assert larger_type("g4dn.xlarge").startswith("g4dn.")
    assert larger_type("unknown.large") == "unknown.large"
