from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.testing import Capacity
from flowyml_aws.testing.capacity import needs, resource_requirements
from tests.support.queues import make_queue
from tests.support.rigs import raised_emulator
from tests.testing.programs import WAIT_FOR_FILE

SLEEP = "import time; time.sleep(60)"


def requirements(**values: str) -> dict[str, object]:
    entries = [{"type": kind.upper(), "value": value} for kind, value in values.items()]
    return {"resourceRequirements": entries}


@pytest.mark.parametrize("resource", ["vcpus", "memory_mib", "gpus"])
def test_every_resource_must_fit(resource: str) -> None:
    request = {"vcpus": 2, "memory_mib": 1024, "gpus": 1}
    assert Capacity(**request).covers(Capacity(**request))
    assert not Capacity(**{**request, resource: request[resource] - 1}).covers(Capacity(**request))


def test_a_negative_capacity_is_an_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        Capacity(vcpus=-1, memory_mib=0)


def test_an_override_replaces_the_definitions_requirement_of_its_type() -> None:
    merged = resource_requirements(
        requirements(vcpu="1", memory="512"), requirements(vcpu="4", gpu="2")
    )
    assert needs(merged) == Capacity(vcpus=4, memory_mib=512, gpus=2)


def test_deprecated_members_count_as_requirements() -> None:
    assert needs(resource_requirements({"vcpus": 2, "memory": 64}, {})) == Capacity(2, 64)


@pytest.mark.contract
class TestScheduling:
    @pytest.mark.parametrize(
        ("queue", "capacity", "overrides"),
        [
            ("flowyml-emulator-cpu", Capacity(vcpus=4, memory_mib=1024), requirements(vcpu="3")),
            (
                "flowyml-emulator-cpu",
                Capacity(vcpus=8, memory_mib=1024),
                requirements(memory="600"),
            ),
            (
                "flowyml-emulator-l4",
                Capacity(vcpus=8, memory_mib=4096, gpus=1),
                requirements(gpu="1"),
            ),
        ],
        ids=["vcpus", "memory", "gpus"],
    )
    def test_a_job_stays_runnable_until_its_requirements_are_free(
        self, connect: Any, queue: str, capacity: Any, overrides: Any
    ) -> None:
        with raised_emulator(capacity=capacity) as aws:
            batch = connect(aws)
            first = batch.submit(SLEEP, jobQueue=queue, containerOverrides=overrides)
            batch.wait_for_status(first, "RUNNING")
            second = batch.submit(jobQueue=queue, containerOverrides=overrides)
            batch.wait_for_status(second, "RUNNABLE")
            third = batch.submit(
                jobQueue="flowyml-emulator-t4", containerOverrides=requirements(memory="4")
            )
            batch.ended(third)  # jobs that fit continue to start
            assert batch.status(second) == "RUNNABLE"
            aws.client("batch").terminate_job(jobId=first, reason="make room")
            assert batch.ended(second)["status"] == "SUCCEEDED"

    def test_a_job_that_never_fits_blocks_only_its_own_queue(self, connect: Any) -> None:
        with raised_emulator(capacity=Capacity(vcpus=2, memory_mib=2048)) as aws:
            batch = connect(aws)
            blocking = batch.submit(containerOverrides=requirements(vcpu="3"))
            blocked, unblocked = batch.submit(), batch.submit(jobQueue="flowyml-emulator-t4")
            batch.ended(unblocked)
            assert batch.status(blocking) == batch.status(blocked) == "RUNNABLE"
            aws.client("batch").cancel_job(jobId=blocking, reason="too large")
            assert batch.ended(blocked)["status"] == "SUCCEEDED"

    def test_a_queue_with_a_higher_priority_is_placed_first(
        self, connect: Any, tmp_path: Path
    ) -> None:
        with raised_emulator(capacity=Capacity(vcpus=1, memory_mib=512)) as aws:
            batch = connect(aws)
            running = batch.submit(WAIT_FOR_FILE.format(str(tmp_path / "go")))
            batch.wait_for_line(running, "ready")
            job = batch.submit()
            driver = batch.submit(jobQueue="flowyml-emulator-driver")
            (tmp_path / "go").touch()
            assert batch.ended(driver)["startedAt"] < batch.ended(job)["startedAt"]

    def test_a_job_of_a_fair_share_queue_with_a_higher_priority_is_placed_first(
        self, connect: Any, tmp_path: Path
    ) -> None:
        with raised_emulator(capacity=Capacity(vcpus=1, memory_mib=512), propagation_s=0) as aws:
            batch = connect(aws)
            policy = batch.api.create_scheduling_policy(name="shares", fairsharePolicy={})["arn"]
            queue = make_queue(batch.api, "shared", ["m6i.large"], policy=policy)
            running = batch.submit(WAIT_FOR_FILE.format(str(tmp_path / "go")))
            batch.wait_for_line(running, "ready")
            low, high = (
                batch.submit(
                    jobQueue=queue, shareIdentifier="a", schedulingPriorityOverride=priority
                )
                for priority in (0, 9)
            )
            (tmp_path / "go").touch()
            assert batch.ended(high)["startedAt"] < batch.ended(low)["startedAt"]

    def test_overrides_are_returned_by_describe_jobs(self, batch: Any) -> None:
        job_id = batch.submit(
            jobQueue="flowyml-emulator-t4", containerOverrides=requirements(vcpu="8", gpu="1")
        )
        described = batch.job(job_id)["container"]["resourceRequirements"]
        assert {entry["type"]: entry["value"] for entry in described} == {
            "VCPU": "8",
            "MEMORY": "512",
            "GPU": "1",
        }

    @pytest.mark.parametrize("jobs", [60, pytest.param(300, marks=pytest.mark.thorough)])
    def test_many_concurrent_jobs_all_run(self, connect: Any, jobs: int) -> None:
        with raised_emulator(capacity=Capacity(vcpus=8, memory_mib=8 * 512)) as aws:
            batch = connect(aws)
            # Not Python: its startup would take ten seconds of CPU time in this test.
            command = {"command": ["true"]}
            ids = [batch.submit(containerOverrides=command) for _ in range(jobs)]
            assert batch.ended(batch.submit(after=ids[-1:]))["status"] == "SUCCEEDED"
            described = [
                job
                for start in range(0, jobs, 100)
                for job in aws.client("batch").describe_jobs(jobs=ids[start : start + 100])["jobs"]
            ]
            assert len(described) == jobs
            for job_id in ids:
                assert batch.ended(job_id)["status"] == "SUCCEEDED"
