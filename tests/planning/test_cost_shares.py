"""Shares of a run's cost limit."""

from __future__ import annotations

import pytest

from flowyml_aws.core.branches import Branch
from flowyml_aws.planning.cost_shares import attempt_limit_s, ends_at_share, with_shares
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer
from flowyml_aws.planning.services import service_traits
from tests.support.plans import a_job, a_plan

START_S = service_traits("batch").startup_s


def limited(plan: ExecutionPlan, limit_usd: float | None) -> ExecutionPlan:
    return with_shares(plan.model_copy(update={"max_cost_usd": limit_usd}))


def test_the_limit_is_divided_in_proportion_to_the_highest_costs() -> None:
    short = a_job("short", price_usd_hour=1.0, expected_s=900.0)
    long = a_job("long", price_usd_hour=3.0, expected_s=900.0)
    plan = limited(a_plan(short, long), 8.0)
    assert [job.share_usd for job in plan.jobs] == [2.0, 6.0]


def test_jobs_that_never_run_together_have_the_same_part_of_the_limit() -> None:
    then, otherwise = (Branch("d", "then"),), (Branch("d", "else"),)
    first = a_job("first", price_usd_hour=1.0, expected_s=3600.0)
    deploy = a_job("deploy", price_usd_hour=1.0, expected_s=1800.0, cases=then)
    retrain = a_job("retrain", price_usd_hour=1.0, expected_s=3600.0, cases=otherwise)
    plan = limited(a_plan(first, deploy, retrain), 8.0)
    assert [job.share_usd for job in plan.jobs] == [4.0, 2.0, 4.0]


def test_all_jobs_at_their_limits_with_their_starts_cost_at_most_the_limit() -> None:
    highest = InstanceOffer(instance_type="m6i.2xlarge", price_usd_hour=4.0)
    jobs = [
        a_job("train", price_usd_hour=1.0, expected_s=1800.0, highest=highest),
        a_job("score", price_usd_hour=0.7, expected_s=333.0),
        a_job("report", price_usd_hour=2.0, expected_s=7200.0),
    ]
    plan = limited(a_plan(*jobs), 9.0)
    most_usd = 0.0
    for job in plan.jobs:
        limit_s, price = attempt_limit_s(job), job.highest_price_usd_hour
        assert limit_s is not None and price is not None
        most_usd += price * (START_S + limit_s) / 3600
    assert 8.99 < most_usd <= 9.0


def test_a_shorter_timeout_ends_a_job_before_its_share() -> None:
    plan = limited(a_plan(a_job("train", price_usd_hour=1.0, timeout_s=600)), 5.0)
    (job,) = plan.jobs
    assert (attempt_limit_s(job), ends_at_share(job)) == (600, False)


def test_a_share_ends_a_job_before_a_longer_timeout() -> None:
    job = a_job("train", price_usd_hour=1.0, expected_s=1800.0, timeout_s=86_400)
    (job,) = limited(a_plan(job), 1.0).jobs
    assert (attempt_limit_s(job), ends_at_share(job)) == (3600 - START_S, True)


def test_a_job_has_at_least_the_minute_that_batch_accepts() -> None:
    (job,) = limited(
        a_plan(a_job("tiny", price_usd_hour=1.0, expected_s=START_S + 1.0)), 0.051
    ).jobs
    assert attempt_limit_s(job) == 60


@pytest.mark.parametrize(
    "plan",
    [
        a_plan(a_job("train", expected_s=60.0, price_usd_hour=None)),
        a_plan(a_job("train")),
        a_plan(a_job("train", price_usd_hour=0.0, expected_s=60.0)),
    ],
    ids=["no price", "no time", "no cost"],
)
def test_a_job_of_unknown_cost_has_no_share(plan: ExecutionPlan) -> None:
    assert attempt_limit_s(limited(plan, 1.0).jobs[0]) is None


def test_without_a_limit_there_are_no_shares_and_no_note() -> None:
    plan = limited(a_plan(a_job("train", expected_s=600.0)), 1.0)
    again = limited(plan, None)
    assert (again.jobs[0].share_usd, again.notes) == (None, ())


def test_a_note_says_who_enforces_the_limit() -> None:
    (note,) = limited(a_plan(a_job("train", expected_s=600.0)), 1.0).notes
    assert note.startswith("max_cost_usd $1.00 is enforced by the time limit of each job")


def test_on_this_machine_a_note_says_that_the_limit_has_no_effect() -> None:
    plan = a_plan(a_job("train", expected_s=60.0)).model_copy(update={"prices_of": None})
    assert limited(plan, 1.0).notes == (
        "max_cost_usd has no effect: jobs on this machine cost nothing",
    )
