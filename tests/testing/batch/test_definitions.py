from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.contract


def test_a_definition_is_found_by_name_and_revision(batch: Any) -> None:
    batch.define("mine")
    second = batch.define("mine")
    (described,) = batch.api.describe_job_definitions(jobDefinitions=["mine:2"])["jobDefinitions"]
    assert described["jobDefinitionArn"] == second


def test_a_revision_inherits_nothing_from_the_previous_one(batch: Any) -> None:
    batch.define("changed", retryStrategy={"attempts": 5}, parameters={"a": "1"})
    batch.define("changed")
    (second,) = batch.api.describe_job_definitions(jobDefinitions=["changed:2"])["jobDefinitions"]
    assert (second["retryStrategy"], second["parameters"]) == ({"attempts": 1}, {})


def test_a_name_alone_means_the_latest_active_revision(batch: Any) -> None:
    first, second, third = (batch.define("revised") for _ in range(3))
    batch.api.deregister_job_definition(jobDefinition=third)
    assert batch.job(batch.submit(jobDefinition="revised"))["jobDefinition"] == second
    assert batch.job(batch.submit(jobDefinition="revised:1"))["jobDefinition"] == first


@pytest.mark.parametrize("definition", ["no-such-definition", "definition:9", "definition:1"])
def test_a_missing_or_inactive_definition_is_rejected(batch: Any, definition: str) -> None:
    batch.api.deregister_job_definition(jobDefinition=batch.definition)
    with pytest.raises(ClientError) as rejected:
        batch.submit(jobDefinition=definition)
    assert rejected.value.response["Error"]["Code"] == "ClientException"


def test_a_rejected_registration_is_a_client_exception(batch: Any) -> None:
    with pytest.raises(ClientError) as rejected:
        batch.define("no spaces")
    assert rejected.value.response["Error"]["Code"] == "ClientException"


def test_a_rejected_submission_is_a_client_exception(batch: Any) -> None:
    with pytest.raises(ClientError, match="Job name") as rejected:
        batch.submit(jobName="no spaces")
    assert rejected.value.response["Error"]["Code"] == "ClientException"
    assert rejected.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_disabled_or_missing_queue_rejects_jobs(batch: Any) -> None:
    batch.api.update_job_queue(jobQueue="flowyml-emulator-cpu", state="DISABLED")
    for queue in ("flowyml-emulator-cpu", "no-such-queue"):
        with pytest.raises(ClientError) as rejected:
            batch.submit(jobQueue=queue)
        assert rejected.value.response["Error"]["Code"] == "ClientException"


def test_the_tags_of_a_job_are_returned(batch: Any) -> None:
    job = batch.job(batch.submit(tags={"run": "r1"}))
    assert job["tags"] == {"run": "r1"}
    assert batch.api.list_tags_for_resource(resourceArn=job["jobArn"])["tags"] == {"run": "r1"}


@pytest.mark.parametrize(("own_tags", "status"), [(49, "SUCCEEDED"), (50, "FAILED")])
def test_a_job_fails_if_it_has_more_than_fifty_tags_with_those_of_its_definition(
    batch: Any, own_tags: int, status: str
) -> None:
    definition = batch.define("tagged", tags={"kept-by": "definition"})
    tags = {f"own-{number}": "" for number in range(own_tags)}
    submission = {"jobDefinition": definition, "tags": tags, "propagateTags": True}
    assert batch.ended(batch.submit(**submission))["status"] == status
    alone = batch.submit(**submission | {"propagateTags": False})
    assert batch.ended(alone)["status"] == "SUCCEEDED"
