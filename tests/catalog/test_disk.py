"""Disks of a queue's instances, as limits of the jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowyml_aws.catalog.disk import Disk
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Target
from tests.planning.selection_inputs import BATCH, REAL, make_needs, no_fit_error, queue

CPU = replace(queue("cpu", "m6i.large", "m5d.large", labels={"family": "cpu"}), disk=Disk(80))
LOCAL = Disk(80, local_data_root=True)


def on(disk: Disk, *types: str) -> Target:
    return replace(queue("q", *types, labels={"family": "t4"}), disk=disk)


@pytest.mark.parametrize(
    ("disk", "name", "gib"),
    [
        (Disk(80), "m6i.large", 80),
        (Disk(80), "g4dn.xlarge", 80),  # its local disk of 125 GB is not mounted
        (LOCAL, "m6i.large", 80),
        (LOCAL, "g4dn.xlarge", 96),  # 125 GB are 116 GiB, minus 20
        (LOCAL, "p4d.24xlarge", 7430),
        (Disk(), "m6i.large", 10),  # ECS's default volume of 30 GiB, minus 20
    ],
)
def test_a_job_gets_the_volume_or_the_local_disks_without_the_reserve(
    disk: Disk, name: str, gib: int
) -> None:
    instance = REAL.get(name)
    assert instance is not None
    assert disk.free_on(instance) == gib


def test_a_job_with_more_storage_than_the_volume_is_an_error_that_names_the_family() -> None:
    error = no_fit_error(make_needs("1", "2Gi", storage="200Gi"), [CPU])
    assert "no type has more than 80Gi storage" in error.why
    assert "target 'cpu': a volume has 100 GiB, of which 20 GiB are for the system" in error.why
    assert "request at most 80Gi storage" in error.fix
    assert "raise volume_gib of the family 'cpu' (infra/) to 220" in error.fix
    assert "or use a family with local NVMe disks" in error.fix


def test_a_job_that_needs_the_whole_free_disk_fits() -> None:
    assert select(make_needs("1", "2Gi", storage="80Gi"), [CPU], REAL).instance_type == "m6i.large"


def test_local_disks_count_if_containers_are_on_them() -> None:
    needs = make_needs("2", "4Gi", "t4", storage="90Gi")
    assert select(needs, [on(LOCAL, "g4dn.xlarge")], REAL).instance_type == "g4dn.xlarge"
    assert "raise volume_gib" in no_fit_error(needs, [on(Disk(80), "g4dn.xlarge")]).fix


def test_the_error_suggests_a_type_with_large_local_disks_if_they_would_be_used() -> None:
    needs = make_needs("2", "2Gi", storage="200Gi")
    fix = no_fit_error(needs, [replace(CPU, instance_types=("m6i.large",), disk=LOCAL)]).fix
    suggested = fix.partition("or add ")[2].partition(" ")[0]
    assert any(t.name == suggested and t.nvme_gb > 230 for t in REAL.types)
    unused = no_fit_error(needs, [replace(CPU, instance_types=("m6i.large",))]).fix
    assert "or add " not in unused


def test_a_queue_is_refused_if_batch_could_use_a_type_of_it_with_a_smaller_disk() -> None:
    needs = make_needs("4", "12Gi", "t4", storage="150Gi")
    error = no_fit_error(needs, [on(LOCAL, "g4dn.xlarge", "g4dn.2xlarge")])
    assert "Batch could place the job on g4dn.xlarge of the same queue" in error.why
    assert "it gets at most 96Gi storage" in error.why
    assert "request more vCPUs or memory than g4dn.xlarge has" in error.fix
    larger = replace(needs, vcpus=8)
    targets = [on(LOCAL, "g4dn.xlarge", "g4dn.2xlarge")]
    assert select(larger, targets, REAL).instance_type == "g4dn.2xlarge"


def test_a_queue_without_the_tag_is_assumed_to_have_ecs_s_default_volume() -> None:
    assumed = on(Disk(is_assumed=True), "m6i.large")
    error = no_fit_error(make_needs("1", "2Gi", storage="11Gi"), [assumed])
    assert "a volume is assumed to have 30 GiB" in error.why
    assert "set the queue's tag flowyml-aws:disk-gib" in error.fix
    (note,) = select(make_needs("1", "2Gi", storage="10Gi"), [assumed], REAL).notes
    assert note.startswith("queue 'q' has no tag flowyml-aws:disk-gib: a volume of 30 GiB")
    assert select(make_needs("1", "2Gi"), [assumed], REAL).notes == ()


def test_without_an_account_a_volume_of_any_size_is_assumed() -> None:
    needs = make_needs("1", "2Gi", storage="2Ti")
    assert select(needs, BATCH, REAL).best.gives.storage_gib == 65536
