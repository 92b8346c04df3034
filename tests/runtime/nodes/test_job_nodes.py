from __future__ import annotations

import pytest

from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.job.nodes import JobNodes
from flowyml_aws.runtime.nodes.identity import NodeIdentity
from tests.runtime.nodes.calls import job_spec

BATCH = {"AWS_BATCH_JOB_NODE_INDEX": "1", "AWS_BATCH_JOB_NUM_NODES": "4"}


def test_the_main_node_starts_the_others_on_the_machine_of_its_client() -> None:
    nodes = JobNodes.of(job_spec(nodes=3), {}, is_local=True)
    assert (nodes.identity, nodes.starts_others) == (NodeIdentity(0, 3), True)


def test_a_service_starts_all_nodes() -> None:
    nodes = JobNodes.of(job_spec(nodes=4), BATCH, is_local=False)
    assert (nodes.identity, nodes.starts_others) == (NodeIdentity(1, 4), False)


@pytest.mark.parametrize("is_local", [True, False])
def test_a_job_on_one_machine_is_its_main_node(is_local: bool) -> None:
    assert JobNodes.of(job_spec(nodes=1), {}, is_local).identity == NodeIdentity(0, 1)


@pytest.mark.parametrize(("variables", "started"), [({}, 1), (BATCH, 4)])
def test_a_job_on_fewer_nodes_than_its_steps_need_is_an_error_with_both_numbers(
    variables: dict[str, str], started: int
) -> None:
    with pytest.raises(DamagedArtifactError, match=f"needs 5 nodes, but was started on {started}"):
        JobNodes.of(job_spec(nodes=5), variables, is_local=False)
