from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.contract


def test_a_definition_is_found_by_name_and_revision(batch: Any) -> None:
    batch.define("found")
    second = batch.define("found")
    (found,) = batch.api.describe_job_definitions(jobDefinitions=["found:2"])["jobDefinitions"]
    assert found["jobDefinitionArn"] == second


def test_a_revision_takes_nothing_over_from_the_one_before(batch: Any) -> None:
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
def test_a_definition_that_is_missing_or_inactive_is_refused(batch: Any, definition: str) -> None:
    batch.api.deregister_job_definition(jobDefinition=batch.definition)
    with pytest.raises(ClientError) as refused:
        batch.submit(jobDefinition=definition)
    assert refused.value.response["Error"]["Code"] == "ClientException"


def test_a_refused_registration_is_a_client_exception(batch: Any) -> None:
    with pytest.raises(ClientError) as refused:
        batch.define("no spaces")
    assert refused.value.response["Error"]["Code"] == "ClientException"


def test_a_refused_submission_is_a_client_exception(batch: Any) -> None:
    with pytest.raises(ClientError, match="Job name") as refused:
        batch.submit(jobName="no spaces")
    assert refused.value.response["Error"]["Code"] == "ClientException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_disabled_or_missing_queue_takes_no_jobs(batch: Any) -> None:
    batch.api.update_job_queue(jobQueue="cpu", state="DISABLED")
    for queue in ("cpu", "no-such-queue"):
        with pytest.raises(ClientError) as refused:
            batch.submit(jobQueue=queue)
        assert refused.value.response["Error"]["Code"] == "ClientException"


def test_tags_of_a_job_are_told(batch: Any) -> None:
    job = batch.job(batch.submit(tags={"run": "r1"}))
    assert job["tags"] == {"run": "r1"}
    assert batch.api.list_tags_for_resource(resourceArn=job["jobArn"])["tags"] == {"run": "r1"}
