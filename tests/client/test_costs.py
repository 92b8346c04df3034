"""Costs of runs from the documents in a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.client.costs import account_costs, read_costs
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.submission.costs import CostKey
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.origin import RunOrigin
from flowyml_aws.submission.package import write_record
from flowyml_aws.submission.record import DriverRecord, RunOutcome, RunState, SpecPlace
from tests.support.plans import a_job, a_plan

STARTED = 1793620800.0  # 2026-11-02 12:00 UTC
HOUR = 3600.0
PLAN = a_plan(
    a_job("train", price_usd_hour=2.0, expected_cost_usd=1.0),
    a_job("score", price_usd_hour=1.0, after=["train"]),
)


class Store:
    """A store with runs, as drivers have written them."""

    def __init__(self, folder: Path) -> None:
        self.store = DirectoryArtifactStore(folder)

    def add(self, run_id: str, plan: ExecutionPlan = PLAN) -> RunLayout:
        place = SpecPlace(pack=0, offset=0, size_bytes=1, sha256="0" * 64)
        write_record(self.store, plan, {job.name: place for job in plan.jobs}, run_id, STARTED)
        return RunLayout(run_id)

    def commit(self, layout: RunLayout, job: str, hours: float) -> None:
        result = JobResult(
            run_id=layout.run_id,
            job=job,
            attempt=1,
            state="succeeded",
            started_at=STARTED,
            ended_at=STARTED + hours * HOUR,
            steps=(),
            assets={},
            skipped={},
        )
        self.store.put(layout.result(job), result.to_json())

    def end(self, layout: RunLayout, **facts: object) -> None:
        outcome = RunOutcome(
            state=RunState.FAILED,
            ended_at=STARTED + 4 * HOUR,
            **facts,  # type: ignore[arg-type]
        )
        self.store.put(layout.outcome, outcome.to_json())


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


RUN = "digits-20261102-120000-abcdef"


def test_a_run_costs_its_results_its_lost_attempts_and_those_without_a_result(
    kept: Store,
) -> None:
    layout = kept.add(RUN)
    kept.commit(layout, "train", hours=0.5)
    kept.end(
        layout,
        lost={"train": LostAttempts(count=1, cost_usd=0.25)},
        ended={"score": LostAttempts(count=1, cost_usd=0.125)},
    )
    (run,) = read_costs([kept.store]).runs
    assert [job.counted_usd for job in run.jobs] == [1.25, 0.125]
    assert [job.predicted_usd for job in run.jobs] == [1.0, None]


def test_the_outcome_of_an_earlier_version_is_read(kept: Store) -> None:
    layout = kept.add(RUN)
    kept.commit(layout, "train", hours=1)
    kept.end(layout)
    new = {"ended", "counted_usd", "cost_limit"}
    stored = json.loads(kept.store.get(layout.outcome))
    assert stored.keys() >= new
    earlier = {name: value for name, value in stored.items() if name not in new}
    kept.store.put(layout.outcome, json.dumps(earlier).encode())
    assert read_costs([kept.store]).total.counted_usd == 2.0


def test_the_driver_of_a_run_costs_its_price_for_the_time_of_the_run(kept: Store) -> None:
    layout = kept.add(RUN)
    driver = DriverRecord(queue="driver", price_usd_hour=0.05)
    kept.store.put(layout.driver, driver.to_json())
    kept.end(layout)
    costs = read_costs([kept.store])
    assert costs.total.counted_usd == pytest.approx(0.2)


def test_the_price_of_an_earlier_driver_is_unknown(kept: Store) -> None:
    layout = kept.add(RUN)
    kept.store.put(layout.driver, b'{"version": 1, "queue": "driver"}')
    kept.end(layout)
    assert read_costs([kept.store]).total.uncounted == 1


def test_runs_on_this_machine_are_only_counted(kept: Store) -> None:
    kept.add(RUN, PLAN.model_copy(update={"prices_of": None}))
    costs = read_costs([kept.store])
    assert (costs.runs, costs.free, costs.unknown) == ((), 1, ())


def test_a_run_whose_end_is_unknown_is_named(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)  # a project without an account: its services can't be asked
    kept.add(RUN)
    assert read_costs([kept.store]).unknown == (RUN,)


def test_only_runs_since_a_time_are_read(kept: Store) -> None:
    kept.end(kept.add(RUN))
    assert len(read_costs([kept.store], since=STARTED).runs) == 1
    assert read_costs([kept.store], since=STARTED + 1).runs == ()


def test_users_are_those_of_the_origin(kept: Store) -> None:
    layout = kept.add(RUN)
    kept.end(layout)
    origin = RunOrigin(user="ada", client="laptop", python="3.12")
    kept.store.put(layout.origin, origin.to_json())
    assert [row.key for row in read_costs([kept.store]).by(CostKey.USER)] == ["ada"]


def test_the_costs_of_a_project_are_those_of_its_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    layout = Store(tmp_path / ".flowyml/aws").add(RUN)
    Store(tmp_path / ".flowyml/aws").end(layout)
    (run,) = account_costs("9999w").runs
    assert run.run_id == RUN
    with pytest.raises(SettingsError, match="since='often'"):
        account_costs("often")


def test_a_run_without_a_record_is_left_out(kept: Store) -> None:
    kept.store.put(RunLayout(RUN).plan, b"{}")
    assert read_costs([kept.store]).runs == ()
