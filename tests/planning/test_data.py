"""Folders that jobs download, or that their services mount."""

from __future__ import annotations

import pytest

from flowyml_aws import ResourceRequirements, step
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.data import PlannedData, channel_names, with_data
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import offline_targets

GIB = 2**30


def test_the_disk_of_a_job_is_at_least_as_large_as_its_data() -> None:
    needs, (note,) = with_data(Needs(storage_gib=10), 40 * GIB + 1)
    assert needs.storage_gib == 41
    assert note == (
        "needs 41Gi storage, because it downloads 40.0 GiB of inputs (the steps request 10Gi)"
    )


@pytest.mark.parametrize(("declared", "data_bytes"), [(0, GIB - 1), (50, 50 * GIB), (0, 0)])
def test_data_that_has_room_changes_nothing(declared: int, data_bytes: int) -> None:
    needs = Needs(storage_gib=declared)
    assert with_data(needs, data_bytes) == (needs, ())


def plan_of(backend: str, data: PlannedData) -> ExecutionPlan:
    @step(inputs=["data"], outputs=["n"], resources=ResourceRequirements(cpu="2"))
    def count(data: object) -> int:
        return 1

    graph, problems = read_graph([count], ["data"])
    assert graph is not None and not problems
    catalog = load_catalog()
    groups = group_steps(graph.steps)
    targets = () if backend == "local" else offline_targets(catalog, backend)
    placement = Placement(backend)
    return make_plan("p", placement, graph, groups, targets, catalog, data={"data": data})


def test_a_training_job_gets_a_volume_for_its_data() -> None:
    (job,) = plan_of("sagemaker", PlannedData(200 * GIB)).jobs
    assert job.volume_gib == 200
    assert any("downloads 200.0 GiB" in note for note in job.notes)


def test_data_that_is_larger_than_the_disks_of_a_queue_is_found_by_the_plan() -> None:
    with pytest.raises(InvalidPipelineError, match="storage"):
        plan_of("batch", PlannedData(100 * 2**40))


@pytest.mark.parametrize("must_mount", [False, True])
def test_a_service_that_can_mount_a_prefix_needs_no_disk_for_it(must_mount: bool) -> None:
    (job,) = plan_of("sagemaker", PlannedData(10**18, "s3://bucket/data/", must_mount)).jobs
    assert job.mounts == {"data": "s3://bucket/data/"}
    assert job.needs.storage_gib == 0


def test_a_prefix_that_may_be_mounted_is_downloaded_on_another_service() -> None:
    (job,) = plan_of("local", PlannedData(3 * GIB, "s3://bucket/data/")).jobs
    assert job.mounts == {}
    assert job.needs.storage_gib == 3


@pytest.mark.parametrize("backend", ["local", "batch"])
def test_a_prefix_that_must_be_mounted_is_refused_on_another_service(backend: str) -> None:
    with pytest.raises(InvalidPipelineError) as caught:
        plan_of(backend, PlannedData(1, "s3://bucket/data/", must_mount=True))
    (problem,) = caught.value.problems
    assert problem.what.endswith("Input 'data' can't be mounted: s3://bucket/data/")
    assert problem.fix == 'omit mode="mount" to download it, or run the step on sagemaker'


def test_mounts_have_names_that_do_not_depend_on_the_order_of_assets() -> None:
    assert channel_names(["b/with path", "a"]) == {"a": "data-0", "b/with path": "data-1"}
