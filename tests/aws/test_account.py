from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from flowyml_aws.aws.account import offered_types, read_account
from flowyml_aws.core.errors import AwsRefusedError, SettingsError


@pytest.fixture
def stubs() -> Iterator[dict[str, Stubber]]:
    session = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    stubbers = {name: Stubber(session.client(name)) for name in ("ec2", "ssm")}
    for stub in stubbers.values():
        stub.activate()
    yield stubbers
    for stub in stubbers.values():
        stub.assert_no_pending_responses()


def client_of(stub: Stubber) -> Any:
    return stub.client


def test_the_value_of_the_account_s_parameter_is_returned_unchanged(
    stubs: dict[str, Stubber],
) -> None:
    answer = {"Parameter": {"Name": "/flowyml-aws/x", "Value": "{}"}}
    stubs["ssm"].add_response("get_parameter", answer, {"Name": "/flowyml-aws/x"})
    assert read_account(client_of(stubs["ssm"]), "/flowyml-aws/x") == "{}"


def test_an_account_name_refers_to_the_parameter_that_infra_writes(
    stubs: dict[str, Stubber],
) -> None:
    answer = {"Parameter": {"Name": "/flowyml-aws/prod", "Value": "{}"}}
    stubs["ssm"].add_response("get_parameter", answer, {"Name": "/flowyml-aws/prod"})
    assert read_account(client_of(stubs["ssm"]), "prod") == "{}"


def test_a_missing_parameter_is_a_settings_error(stubs: dict[str, Stubber]) -> None:
    stubs["ssm"].add_client_error("get_parameter", "ParameterNotFound")
    with pytest.raises(SettingsError, match="no parameter '/flowyml-aws/x'"):
        read_account(client_of(stubs["ssm"]), "/flowyml-aws/x")


def test_a_denied_parameter_names_the_permission(stubs: dict[str, Stubber]) -> None:
    stubs["ssm"].add_client_error("get_parameter", "AccessDeniedException")
    with pytest.raises(AwsRefusedError, match="GetParameter"):
        read_account(client_of(stubs["ssm"]), "/flowyml-aws/x")


def test_all_pages_of_the_region_s_offerings_are_read(stubs: dict[str, Stubber]) -> None:
    for name, more in (("m5.large", {"NextToken": "2"}), ("p4d.24xlarge", {})):
        page = {"InstanceTypeOfferings": [{"InstanceType": name}], **more}
        stubs["ec2"].add_response("describe_instance_type_offerings", page)
    assert offered_types(client_of(stubs["ec2"])) == {"m5.large", "p4d.24xlarge"}


def test_offerings_are_unknown_if_listing_is_denied(stubs: dict[str, Stubber]) -> None:
    stubs["ec2"].add_client_error("describe_instance_type_offerings", "UnauthorizedOperation")
    assert offered_types(client_of(stubs["ec2"])) is None


def test_any_other_failure_is_an_error(stubs: dict[str, Stubber]) -> None:
    stubs["ec2"].add_client_error("describe_instance_type_offerings", "ExpiredToken")
    with pytest.raises(AwsRefusedError):
        offered_types(client_of(stubs["ec2"]))
