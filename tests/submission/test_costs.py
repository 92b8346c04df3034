"""Predicted and counted costs of runs, and their sums."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from flowyml_aws.planning.plan import InstanceOffer
from flowyml_aws.runtime.result import NO_ATTEMPT
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.billing import BilledCost, family_of, reconcile
from flowyml_aws.submission.costs import (
    CostKey,
    JobCost,
    RunCost,
    job_costs,
    sum_costs,
    total_of,
)
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.status import JobView, RunStatus
from tests.support.plans import a_job

DAY, NEXT = date(2026, 11, 1), date(2026, 11, 2)
MIDNIGHT = 1793577600.0  # of NEXT


def a_cost(group: str = "train", **changes: Any) -> JobCost:
    members: dict[str, Any] = {
        "group": group,
        "instance_type": "m5.large",
        "day": DAY,
        "predicted_usd": 1.0,
        "counted_usd": 2.0,
    }
    return JobCost(**{**members, **changes})


def a_run(*jobs: JobCost, run_id: str = "r-1", **changes: Any) -> RunCost:
    members: dict[str, Any] = {"pipeline": "digits", "user": "ada", "day": DAY}
    return RunCost(run_id=run_id, jobs=jobs, **{**members, **changes})


def a_result(started_at: float, hours: float) -> JobSummary:
    return JobSummary(
        attempt=1,
        state="succeeded",
        started_at=started_at,
        ended_at=started_at + 3600 * hours,
        steps=(),
    )


def costs_of(*views: JobView, **facts: Any) -> tuple[JobCost, ...]:
    return job_costs(RunStatus("r-1", "digits", "batch", MIDNIGHT - 60, views, **facts), MIDNIGHT)


def test_a_job_costs_its_machine_for_its_time_and_its_lost_attempts() -> None:
    job = a_job("train", price_usd_hour=2.0, group="training", expected_cost_usd=1.0)
    view = JobView.of_result(job, a_result(MIDNIGHT, 0.5), None)
    lost = {"train": LostAttempts(count=1, cost_usd=0.25)}
    assert costs_of(view, lost=lost) == (JobCost("training", "m6i.large", NEXT, 1.0, 1.25),)


def test_a_job_costs_the_price_of_the_type_that_ran() -> None:
    ran_on = InstanceOffer(instance_type="m6i.xlarge", price_usd_hour=4.0)
    view = JobView.of_result(a_job("train", price_usd_hour=2.0), a_result(MIDNIGHT, 1.0), ran_on)
    (cost,) = costs_of(view)
    assert (cost.instance_type, cost.counted_usd) == ("m6i.xlarge", 4.0)


def test_the_cost_of_a_type_without_a_price_is_unknown() -> None:
    ran_on = InstanceOffer(instance_type="x9.large", price_usd_hour=None)
    view = JobView.of_result(a_job("train"), a_result(MIDNIGHT, 1.0), ran_on)
    assert costs_of(view)[0].counted_usd is None


def test_a_job_that_ended_without_a_result_costs_its_last_attempt() -> None:
    view = JobView(a_job("train"), JobState.FAILED, 1)
    (cost,) = costs_of(view, ended={"train": LostAttempts(count=1, cost_usd=0.5)})
    assert (cost.counted_usd, cost.day) == (0.5, DAY)


def test_a_job_that_never_ran_costs_nothing() -> None:
    assert costs_of(JobView(a_job("train"), JobState.BLOCKED))[0].counted_usd == 0.0


def test_a_skipped_job_has_no_predicted_cost() -> None:
    skipped = a_result(MIDNIGHT, 0.0).model_copy(update={"attempt": NO_ATTEMPT})
    view = JobView.of_result(a_job("train", expected_cost_usd=1.0), skipped, None)
    assert costs_of(view) == ()


RUNS = [
    a_run(a_cost(), a_cost("score", counted_usd=0.5, day=NEXT)),
    a_run(a_cost(), run_id="r-2", user=None, driver_usd=0.1),
    a_run(a_cost(counted_usd=9.0), run_id="r-3", pipeline="words", day=NEXT),
]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (CostKey.PIPELINE, {"words": (1, 9.0), "digits": (2, 4.6)}),
        (
            CostKey.GROUP,
            {
                "words: train": (1, 9.0),
                "digits: train": (2, 4.0),
                "digits: score": (1, 0.5),
                "digits: driver": (1, 0.1),
            },
        ),
        (CostKey.USER, {"ada": (2, 11.5), "unknown": (1, 2.1)}),
        (CostKey.DAY, {"2026-11-01": (3, 13.1), "2026-11-02": (1, 0.5)}),
    ],
)
def test_costs_are_added_up_by_key(by: CostKey, rows: dict[str, tuple[int, float]]) -> None:
    found = {row.key: (row.runs, round(row.counted_usd, 9)) for row in sum_costs(RUNS, by)}
    assert found == rows
    assert list(found) == list(rows)  # the highest first, or days in their order


def test_the_total_is_the_same_for_every_key() -> None:
    totals = [total_of(sum_costs(RUNS, by), len(RUNS)).counted_usd for by in CostKey]
    assert totals == [pytest.approx(13.6)] * 4


def test_a_difference_needs_complete_costs() -> None:
    (row,) = sum_costs([a_run(a_cost())], CostKey.PIPELINE)
    assert row.difference == 1.0
    gaps: list[dict[str, Any]] = [{"predicted_usd": None}, {"counted_usd": None}]
    for gap in gaps:
        (row,) = sum_costs([a_run(a_cost(), a_cost(**gap))], CostKey.PIPELINE)
        assert row.difference is None


@pytest.mark.parametrize(
    ("usage_type", "family"),
    [
        ("BoxUsage:m5.large", "m5"),
        ("USE1-BoxUsage:g4dn.xlarge", "g4dn"),
        ("EUC1-SpotUsage:u-6tb1.56xlarge", "u-6tb1"),
        ("USE1-Train:ml.p4d.24xlarge", "ml.p4d"),
        ("m5.large", "m5"),
        ("EBS:VolumeUsage.gp3", "other"),
        ("USE1-Fargate-vCPU-Hours:perCPU", "other"),
        ("NoUsageType", "other"),
        ("", "other"),
    ],
)
def test_a_usage_type_names_the_instance_family(usage_type: str, family: str) -> None:
    assert family_of(usage_type) == family


def test_costs_are_reconciled_by_day_and_family() -> None:
    runs = [a_run(a_cost(counted_usd=1.0), a_cost(counted_usd=1.0, instance_type="m5.xlarge"))]
    bills = [
        BilledCost(DAY, "m5", 2.0),
        BilledCost(DAY, "m5", 0.5),
        BilledCost(NEXT, "other", 0.1),
    ]
    first, second = reconcile(runs, bills)
    assert (first.day, first.family) == (DAY, "m5")
    assert (first.predicted_usd, first.counted_usd, first.billed_usd) == (2.0, 2.0, 2.5)
    assert first.difference == 0.25
    assert (second.counted_usd, second.billed_usd, second.difference) == (0, 0.1, None)


def test_a_cost_that_is_not_billed_is_reconciled_too() -> None:
    (row,) = reconcile([a_run(a_cost())], [])
    assert (row.billed_usd, row.difference) == (0.0, -1.0)
