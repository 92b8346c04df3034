"""This machine as a service: the folders that replace mounts."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.core.job_options import JobOptions
from flowyml_aws.core.mounts import Mount
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.services.local.service import LocalHost, LocalService
from tests.support.plans import a_job, a_plan, a_record


def problems(tmp_path: Path, at: Path) -> list[str]:
    mount = Mount("efs", "fs-0123456789abcdef0", "/", str(at))
    plan = a_plan(a_job("train", options=JobOptions(mounts=(mount,))), backend="local")
    service = LocalService(LocalHost(DirectoryArtifactStore(tmp_path / "store")))
    return [problem.what for problem in service.plan_problems(plan, a_record(plan))]


def test_a_folder_of_this_machine_replaces_a_mount(tmp_path: Path) -> None:
    assert problems(tmp_path, tmp_path) == []


def test_a_mount_without_such_a_folder_is_an_error_before_the_run(tmp_path: Path) -> None:
    assert problems(tmp_path, tmp_path / "data") == [f"Folder not found: {tmp_path / 'data'}"]
