"""Schedules before they are created, and in lists; `tests/testing` creates one."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws import Pipeline, step
from flowyml_aws.client.schedules import ListedSchedule, NewSchedule
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.schedule_times import cron_times
from flowyml_aws.planning.plan import Estimate
from flowyml_aws.services.account import Account
from flowyml_aws.services.drivers import DriverJob
from flowyml_aws.services.schedules import schedule_problems
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.schedules import Firing
from flowyml_aws.view.schedules import schedule_lines
from tests.support.plans import a_job, a_plan

DAILY = cron_times("0 6 * * ? *", "Europe/Berlin")


@step(outputs=["a"])
def one() -> int:
    return 1


def planned(price_usd_hour: float | None = 0.05, **changes: Any) -> NewSchedule:
    plan = a_plan(a_job("a")).model_copy(update=changes)
    account: Any = Account(Settings(driver_queue="driver"))
    driver = DriverJob(account, None, Settings(), {}, 600, price_usd_hour)  # type: ignore[arg-type]
    return NewSchedule("nightly", plan, DAILY, 30, driver, None)  # type: ignore[arg-type]


def an_estimate(cost_usd: float | None, wall_s: float | None) -> Estimate:
    return Estimate(
        runs=3, startup_s=120, cost_usd=cost_usd, wall_s=wall_s, unknown=(), variants=()
    )


def test_the_cost_of_a_month_is_that_of_all_runs_with_their_drivers() -> None:
    schedule = planned(estimate=an_estimate(0.95, 3600), max_cost_usd=2.0)
    assert schedule.run_usd == 1.0
    assert schedule.month_usd == 30.0
    lines = list(schedule_lines(schedule))
    assert "cost: about $1.00 per run, $30.00 for 30 runs in 30 days" in lines
    assert "limit: $2.00 per run (max_cost_usd), $60.00 in 30 days, without drivers" in lines


@pytest.mark.parametrize("estimate", [None, an_estimate(None, 5.0), an_estimate(1.0, None)])
def test_an_unknown_cost_is_shown_as_unknown(estimate: Estimate | None) -> None:
    schedule = planned(estimate=estimate)
    assert schedule.month_usd is None
    assert any("cost: unknown" in line for line in schedule_lines(schedule))


def test_a_schedule_of_runs_on_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Pipeline("p").add_step(one)
    with pytest.raises(SettingsError, match="needs runs on AWS"):
        pipeline.schedule(rate="1 day", backend="local")


def test_a_schedule_has_either_a_cron_expression_or_a_rate() -> None:
    pipeline = Pipeline("p").add_step(one)
    for cron, rate in ((None, None), ("0 6 * * ? *", "1 day")):
        with pytest.raises(SettingsError, match="either a cron expression or a rate"):
            pipeline.schedule(cron=cron, rate=rate)


def test_an_invalid_name_is_an_error() -> None:
    with pytest.raises(SettingsError, match="Invalid name of a schedule: 'a b'"):
        Pipeline("p").add_step(one).schedule(rate="1 day", name="a b", backend="batch")


def test_missing_settings_name_the_option_of_infra() -> None:
    problems = schedule_problems(Settings())
    assert [problem.what for problem in problems] == [
        f"Setting `{name}` is missing"
        for name in ("schedule_group", "schedule_role", "driver_queue")
    ]
    assert "`schedules` of infra/" in problems[0].fix


def test_skipped_times_are_those_after_the_last_run() -> None:
    firings = [
        Firing(time="3", job="j", unended="r1"),
        Firing(time="2", job="j", unended="r1"),
        Firing(time="1", job="j", run_id="r1"),
        Firing(time="0", job="j", unended="r0"),
    ]
    listed = ListedSchedule("nightly", DAILY, True, None, firings)
    assert (listed.last_run, listed.skipped) == ("r1", 2)
    assert ListedSchedule("nightly", DAILY, True, None).last_run is None
