from __future__ import annotations

import json

import pytest

from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.nodes.identity import NodeIdentity, identity_of, own_address


def config(current: str, *hosts: str) -> str:
    return json.dumps({"current_host": current, "hosts": hosts, "network_interface_name": "eth0"})


def test_a_process_of_this_machine_has_its_index_in_a_variable() -> None:
    assert identity_of({"FLOWYML_NODE": "1/4"}, None) == NodeIdentity(1, 4)


def test_batch_sets_the_index_of_a_node() -> None:
    variables = {"AWS_BATCH_JOB_NODE_INDEX": "0", "AWS_BATCH_JOB_NUM_NODES": "2"}
    identity = identity_of(variables, None)
    assert identity == NodeIdentity(0, 2)
    assert identity.is_main


def test_the_first_host_of_sagemaker_is_the_main_node() -> None:
    hosts = ("algo-1", "algo-10", "algo-2")
    assert identity_of({}, config("algo-1", *hosts)) == NodeIdentity(0, 3, "algo-1")
    assert identity_of({}, config("algo-2", *hosts)) == NodeIdentity(2, 3, "algo-2")


@pytest.mark.parametrize("resource_config", [None, config("algo-1", "algo-1")])
def test_a_platform_with_a_single_node_has_no_identity(resource_config: str | None) -> None:
    assert identity_of({"AWS_BATCH_JOB_ID": "id"}, resource_config) is None


@pytest.mark.parametrize("pair", ["4/4", "1", "-1/2", "a/2", "1/"])
def test_an_index_outside_of_the_nodes_is_an_error_that_names_the_variable(pair: str) -> None:
    with pytest.raises(DamagedArtifactError, match="FLOWYML_NODE"):
        identity_of({"FLOWYML_NODE": pair}, None)


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", config("algo-3", "algo-1", "algo-2")])
def test_an_unreadable_list_of_hosts_is_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(DamagedArtifactError, match=r"resourceconfig\.json"):
        identity_of({}, text)


def test_the_address_of_a_node_can_be_set() -> None:
    assert own_address(NodeIdentity(1, 2), {"FLOWYML_NODE_ADDRESS": "127.0.0.3"}) == "127.0.0.3"


def test_a_host_with_a_name_has_its_address() -> None:
    assert own_address(NodeIdentity(0, 2, "localhost"), {}) == "127.0.0.1"
