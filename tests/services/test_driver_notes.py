"""Notes of detached runs on their drivers."""

from __future__ import annotations

from flowyml_aws.services.account import Account
from flowyml_aws.services.batch.service import BatchService
from flowyml_aws.settings.model import Settings
from tests.support.plans import a_job, a_plan

ON_DEMAND = a_plan(a_job("train"))


def test_a_limit_that_no_driver_counts_has_a_note() -> None:
    service = BatchService(Account(Settings(driver_queue="driver")))
    (note,) = service.driver_notes(ON_DEMAND.model_copy(update={"max_cost_usd": 5.0}))
    assert "only the time limits of its jobs enforce max_cost_usd" in note


def test_jobs_on_demand_without_a_limit_need_no_driver() -> None:
    service = BatchService(Account(Settings(driver_queue="driver")))
    assert service.driver_notes(ON_DEMAND) == ()


def test_notices_of_a_detached_run_need_a_driver() -> None:
    plan = ON_DEMAND.model_copy(update={"notify": ("events:default",)})
    (note,) = BatchService(Account(Settings())).driver_notes(plan)
    assert "the first client that checks the run" in note
