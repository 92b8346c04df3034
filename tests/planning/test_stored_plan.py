from __future__ import annotations

import json

import pytest

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.tables import SharedValues
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.causes import Cause
from tests.support.plans import a_job, a_plan

SHARED = {"needs", "offers", "highest", "moves", "environment", "secrets", "notes"}
LARGER = InstanceOffer(instance_type="m6i.xlarge", price_usd_hour=0.2)
PLAN = a_plan(
    a_job("a", environment={"LEVEL": "1"}, notes=("slow",)),
    a_job("b", environment={"LEVEL": "1"}, notes=("slow",)),
    a_job(
        "c",
        after=["a", "b"],
        memory_mib=4096,
        highest=LARGER,
        moves={Cause.OUT_OF_MEMORY: 0},
        secrets={"TOKEN": "arn:aws:ssm:eu-west-1:123456789012:parameter/token"},
    ),
)


def read(data: bytes) -> ExecutionPlan:
    return read_document(StoredPlan, data, "plan.json").plan


def test_a_stored_plan_is_read_as_it_was_written() -> None:
    assert read(StoredPlan.of(PLAN).to_json()) == PLAN
    assert read(StoredPlan.of(PLAN).to_json(indent=None)) == PLAN


def test_a_plan_without_jobs_can_be_stored() -> None:
    assert read(StoredPlan.of(a_plan()).to_json()) == a_plan()


def test_values_that_jobs_have_in_common_are_stored_once() -> None:
    document = json.loads(StoredPlan.of(PLAN).to_json())
    first, second, third = document["plan"]["jobs"]
    shared = {"needs": 0, "offers": 0, "environment": 0, "notes": 0}
    assert {name: first[name] for name in first.keys() & SHARED} == shared
    assert {name: second[name] for name in second.keys() & SHARED} == shared
    changed = {"needs": 1, "highest": 1, "moves": 1, "secrets": 1, "notes": 1}
    assert {name: third[name] for name in third.keys() & SHARED} == {**changed, "offers": 0}
    assert [len(document["tables"][name]) for name in ("needs", "offers", "notes")] == [2, 1, 2]


def test_default_values_are_not_stored() -> None:
    (job,) = json.loads(StoredPlan.of(a_plan(a_job("a"))).to_json())["plan"]["jobs"]
    assert not {"moved", "capacity", "secrets", "highest"} & job.keys()


def test_a_plan_of_a_version_without_options_of_jobs_can_be_read() -> None:
    document = json.loads(StoredPlan.of(PLAN).to_json())
    del document["tables"]["options"]
    assert read(json.dumps(document).encode()) == PLAN


def test_jobs_that_are_read_share_their_common_values() -> None:
    first, second, _ = read(StoredPlan.of(PLAN).to_json()).jobs
    for field in ("needs", "offers", "environment", "notes"):
        assert getattr(first, field) is getattr(second, field)


def test_a_plan_that_is_printed_has_all_values_in_its_jobs() -> None:
    assert json.loads(PLAN.to_json())["jobs"][2]["highest"]["instance_type"] == "m6i.xlarge"


@pytest.mark.parametrize("position", [-1, 2, "0", None, 0.5])
def test_a_position_that_is_not_in_the_table_is_an_error(position: object) -> None:
    document = json.loads(StoredPlan.of(PLAN).to_json())
    document["plan"]["jobs"][0]["needs"] = position
    with pytest.raises(DamagedArtifactError, match=r"plan\.json"):
        read(json.dumps(document).encode())


def test_a_plan_of_another_version_is_an_error_that_names_the_version() -> None:
    document = json.loads(StoredPlan.of(PLAN).to_json())
    with pytest.raises(DamagedArtifactError, match="version"):
        read(json.dumps({**document, "version": 1}).encode())


def test_jobs_of_a_plan_can_share_their_equal_values_before_it_is_stored() -> None:
    shared = SharedValues()
    first, second, third = (shared.shared_by(job) for job in PLAN.jobs)
    assert (first, second, third) == PLAN.jobs
    assert first.environment is second.environment and first.offers is third.offers
    assert first.repetitions is second.repetitions == {}
    assert third.secrets != first.secrets == {}
