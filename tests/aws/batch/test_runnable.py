from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.aws.batch.queues import Environment, Queue
from flowyml_aws.aws.batch.runnable import (
    CERTAIN_S,
    LIKELY_S,
    PATIENCE_S,
    Persistence,
    WaitingJob,
    diagnose,
)
from flowyml_aws.aws.ec2.quotas import QUOTAS, quota_of
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.needs import Needs

CATALOG = load_catalog()
OLD_S = 3600
G_QUOTA = "L-DB2E81BA"


def an_environment(name: str = "gpu", **changes: Any) -> Environment:
    members: dict[str, Any] = {
        "state": "ENABLED",
        "status": "VALID",
        "status_reason": "",
        "kind": "EC2",
        "types": ("g4dn",),
        "max_vcpus": 256,
        "desired_vcpus": 0,
    }
    return Environment(name=name, **{**members, **changes})


def a_queue(*environments: Environment, **changes: Any) -> Queue:
    members: dict[str, Any] = {"state": "ENABLED", "status": "VALID", "status_reason": ""}
    return Queue(
        name="gpu-t4",
        arn="arn",
        environments=environments or (an_environment(),),
        **{**members, **changes},
    )


def waiting(queue: Queue | None = None, age_s: float = OLD_S, **changes: Any) -> WaitingJob:
    job = WaitingJob(
        name="train",
        needs=Needs(vcpus=4, memory_mib=12_000, gpu_model="t4", gpu_count=1),
        queue_name="gpu-t4",
        queue=queue or a_queue(),
        age_s=age_s,
        catalog=CATALOG,
    )
    return replace(job, **changes)


def findings_of(job: WaitingJob) -> list[tuple[str, str]]:
    return [(finding.code, finding.level) for finding in diagnose(job)]


PERMANENT = [
    (waiting(a_queue(state="DISABLED")), "queue-disabled", ["gpu-t4", "update-job-queue"]),
    (
        waiting(a_queue(status="INVALID", status_reason="no role")),
        "queue-invalid",
        ["is INVALID", "no role"],
    ),
    (
        waiting(a_queue(an_environment(state="DISABLED"))),
        "environment-disabled",
        ["'gpu'", "DISABLED", "update-compute-environment"],
    ),
    (
        waiting(a_queue(an_environment(status="INVALID", status_reason="CLIENT_ERROR - subnet"))),
        "environment-invalid",
        ["is INVALID", "CLIENT_ERROR - subnet"],
    ),
    (
        waiting(a_queue(an_environment(kind="FARGATE"))),
        "environment-not-ec2",
        ["not on EC2", "FARGATE"],
    ),
    (waiting(replace(a_queue(), environments=())), "queue-empty", ["no compute environment"]),
    (replace(waiting(), queue=None), "queue-missing", ["gpu-t4", "no longer exists"]),
    (
        waiting(needs=Needs(vcpus=4, memory_mib=12_000, gpu_model="t4", gpu_count=16)),
        "no-type-fits",
        ["16 x t4", "8 GPUs"],
    ),
    (
        waiting(a_queue(an_environment(types=("m6i.large",)))),
        "no-type-fits",
        ["m6i.large, has 2 vCPUs", "0 GPUs"],
    ),
    (
        waiting(a_queue(an_environment(max_vcpus=2))),
        "max-vcpus-too-low",
        ["limited to 2 vCPUs", "g4dn.xlarge, has 4", "maxvCpus=4"],
    ),
    (
        waiting(limits={G_QUOTA: 0}),
        "quota-too-low",
        ["is 0 vCPUs", "g4dn.xlarge has 4", f"--quota-code {G_QUOTA} --desired-value 4"],
    ),
    (waiting(offered=("m6i.large",)), "no-type-fits", ["the region offers none of its types"]),
]


@pytest.mark.parametrize(
    ("job", "code", "excerpts"), PERMANENT, ids=[case[1] for case in PERMANENT]
)
def test_a_permanent_problem_is_an_error_with_a_fix(
    job: WaitingJob, code: str, excerpts: list[str]
) -> None:
    (finding,) = diagnose(job)
    assert (finding.code, finding.level) == (code, "error")
    assert finding.why and finding.fix
    for excerpt in excerpts:
        assert excerpt in str(finding)


@pytest.mark.parametrize(
    ("job", "code", "excerpts"), PERMANENT, ids=[case[1] for case in PERMANENT]
)
def test_permanent_problems_are_reported_after_a_minute(
    job: WaitingJob, code: str, excerpts: list[str]
) -> None:
    assert not diagnose(replace(job, age_s=CERTAIN_S - 1))
    assert diagnose(replace(job, age_s=CERTAIN_S))


TEMPORARY = [
    (waiting(a_queue(an_environment(desired_vcpus=254))), "max-vcpus-in-use", "warning", "254"),
    (
        waiting(limits={G_QUOTA: 8}, used={G_QUOTA: 6}),
        "quota-in-use",
        "warning",
        "6 of the 8 vCPUs",
    ),
    (
        waiting(a_queue(an_environment(images=("ECS_AL2",)))),
        "no-gpu-image",
        "warning",
        "has no GPU driver",
    ),
    (waiting(ahead=1), "behind-others", "note", "1 job is ahead of it"),
    (waiting(ahead=7), "behind-others", "note", "7 jobs are ahead of it"),
    (waiting(is_beyond_front=True), "behind-others", "note", "first 100 jobs"),
    (
        waiting(status_reason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - [p4d.24xlarge]"),
        "no-capacity",
        "warning",
        "[p4d.24xlarge]",
    ),
    (
        waiting(status_reason="MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s)"),
        "max-vcpus-too-low",
        "error",
        "CE(s)",
    ),
    (
        waiting(status_reason="MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job"),
        "no-type-fits",
        "error",
        "The job",
    ),
    (
        waiting(status_reason="MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS"),
        "service-role-denied",
        "error",
        "AWSBatchServiceRole",
    ),
    (waiting(status_reason="UNDETERMINED"), "batch-says", "warning", "UNDETERMINED"),
]


@pytest.mark.parametrize(
    ("job", "code", "level", "excerpt"), TEMPORARY, ids=[c[3] for c in TEMPORARY]
)
def test_temporary_problems_are_reported_after_five_minutes(
    job: WaitingJob, code: str, level: str, excerpt: str
) -> None:
    (finding,) = diagnose(job)
    assert (finding.code, finding.level) == (code, level)
    assert excerpt in str(finding)
    assert not diagnose(replace(job, age_s=LIKELY_S - 1))
    assert diagnose(replace(job, age_s=LIKELY_S))


def test_a_long_wait_without_a_visible_reason_is_reported() -> None:
    assert not diagnose(waiting(age_s=PATIENCE_S - 1))
    (finding,) = diagnose(waiting(age_s=PATIENCE_S))
    assert (finding.code, finding.level) == ("unexplained", "warning")
    assert "route to the internet" in finding.why


def test_a_broken_environment_is_only_a_warning_if_another_one_works() -> None:
    queue = a_queue(an_environment("first", state="DISABLED"), an_environment("second"))
    assert findings_of(waiting(queue, age_s=CERTAIN_S)) == [("environment-disabled", "warning")]


def test_one_environment_that_fits_is_enough() -> None:
    small = an_environment("small", types=("m6i.large",))
    low = an_environment("low", max_vcpus=2)
    assert not diagnose(waiting(a_queue(small, low, an_environment()), age_s=CERTAIN_S))
    assert findings_of(waiting(a_queue(small, low))) == [("max-vcpus-too-low", "error")]


def test_a_low_quota_of_one_capacity_type_does_not_block_the_other() -> None:
    spot = an_environment("spot", kind="SPOT")
    both = waiting(a_queue(an_environment(), spot), limits={G_QUOTA: 0, "L-3819A6DF": 64})
    assert not diagnose(replace(both, age_s=CERTAIN_S))
    neither = replace(both, limits={G_QUOTA: 0, "L-3819A6DF": 0})
    assert findings_of(neither) == [("quota-too-low", "error")] * 2


def test_a_low_quota_of_several_environments_is_reported_once_for_the_smallest_type() -> None:
    larger = an_environment("larger", types=("g4dn.2xlarge",))
    smaller = an_environment("smaller", types=("g4dn.xlarge",))
    job = waiting(a_queue(larger, smaller), limits={G_QUOTA: 0}, age_s=CERTAIN_S)
    (finding,) = diagnose(job)
    assert "g4dn.xlarge has 4" in str(finding)


def test_types_that_the_catalog_does_not_know_may_fit() -> None:
    queue = a_queue(an_environment(types=("g99.xlarge",)))
    assert not diagnose(waiting(queue, age_s=LIKELY_S))


def test_a_gpu_image_or_no_named_image_is_not_reported() -> None:
    for images in ((), ("ECS_AL2023_NVIDIA",), ("ECS_AL2", "ECS_AL2_NVIDIA")):
        assert not diagnose(waiting(a_queue(an_environment(images=images)), age_s=LIKELY_S))
    without_gpus = waiting(
        a_queue(an_environment(images=("ECS_AL2",), types=("m6i",))), needs=Needs(), age_s=LIKELY_S
    )
    assert not diagnose(without_gpus)


def test_unknown_facts_are_not_reported() -> None:
    assert not diagnose(waiting(limits={}, used=None, ahead=None, age_s=LIKELY_S))


FAMILIES = sorted({instance.family for instance in CATALOG.types})


@pytest.mark.parametrize("capacity", ["on-demand", "spot"])
def test_every_family_counts_towards_at_most_one_quota(capacity: str) -> None:
    for family in FAMILIES:
        covering = [q for q in QUOTAS if q.capacity == capacity and q.covers(family)]
        assert len(covering) <= 1, family


@pytest.mark.parametrize(
    ("family", "on_demand", "spot"),
    [
        ("m6i", "L-1216C47A", "L-34B43A08"),
        ("im4gn", "L-1216C47A", "L-34B43A08"),
        ("g4dn", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d", "L-417A185B", "L-7212CCBC"),
        ("p5", "L-417A185B", "L-C4BD4855"),
        ("trn1", "L-2C3B7624", "L-6B0D517C"),
        ("inf2", "L-1945791B", "L-B5D1601B"),
    ],
)
def test_each_family_has_the_quotas_of_its_class(family: str, on_demand: str, spot: str) -> None:
    quotas = [quota_of(family, capacity) for capacity in ("on-demand", "spot")]
    assert [quota.code for quota in quotas if quota] == [on_demand, spot]


@given(
    age_s=st.floats(0, 10_000),
    state=st.sampled_from(["ENABLED", "DISABLED"]),
    status=st.sampled_from(["VALID", "INVALID", "UPDATING"]),
    max_vcpus=st.integers(0, 300),
    desired=st.integers(0, 300),
    limit=st.none() | st.integers(0, 300),
    ahead=st.none() | st.integers(0, 99),
    reason=st.sampled_from(["", "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "other"]),
)
def test_waiting_longer_never_removes_an_error(
    age_s: float,
    state: str,
    status: str,
    max_vcpus: int,
    desired: int,
    limit: int | None,
    ahead: int | None,
    reason: str,
) -> None:
    environment = an_environment(
        state=state, status=status, max_vcpus=max_vcpus, desired_vcpus=desired
    )
    limits = {} if limit is None else {G_QUOTA: limit}
    job = waiting(a_queue(environment), age_s, limits=limits, ahead=ahead, status_reason=reason)
    errors = {finding.code for finding in diagnose(job) if finding.level == "error"}
    later = {finding.code for finding in diagnose(replace(job, age_s=age_s + 10_000))}
    assert errors <= later
    assert later, "after hours, there is always a finding"
    assert all(finding.what and finding.why and finding.fix for finding in diagnose(job))


def test_only_findings_of_two_consecutive_checks_last() -> None:
    persistence = Persistence()
    passing = Finding("no-type-fits", "error", "passing")
    lasting = Finding("queue-disabled", "error", "lasting")
    assert persistence.lasting({"a": (passing, lasting), "b": ()}) == {"a": (), "b": ()}
    assert persistence.lasting({"a": (lasting,), "b": (passing,)}) == {"a": (lasting,), "b": ()}
    assert persistence.lasting({"b": (passing,)}) == {"b": (passing,)}
    assert persistence.lasting({"a": (lasting,)}) == {"a": ()}
