"""The check of the project that builds images."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.aws.checks.builds import check_build_project

GOOD = {"type": "LINUX_CONTAINER", "privilegedMode": True}


class CodeBuild:
    """A client of CodeBuild with one project."""

    def __init__(self, environment: dict[str, Any]) -> None:
        self.environment = environment

    def batch_get_projects(self, names: list[str]) -> dict[str, Any]:
        return {"projects": [{"name": names[0], "environment": self.environment}]}


def test_a_project_as_infra_creates_it_is_fine() -> None:
    (finding,) = check_build_project(CodeBuild(GOOD), "flowyml-main-images")
    assert finding.level == "ok"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"privilegedMode": False}, "can't use Docker"), ({"type": "ARM_CONTAINER"}, "ARM_CONTAINER")],
)
def test_a_project_that_can_not_build_images_for_jobs_is_a_warning(
    change: dict[str, Any], reason: str
) -> None:
    (finding,) = check_build_project(CodeBuild({**GOOD, **change}), "flowyml-main-images")
    assert finding.level == "warning"
    assert reason in (finding.why or "")
