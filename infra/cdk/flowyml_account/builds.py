"""The project of CodeBuild that builds images, for `flowyml-aws image build --remote`."""

from __future__ import annotations

from aws_cdk import aws_codebuild as codebuild
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.shared import BUILDSPEC

__all__ = ["make_builds"]


def make_builds(scope: Construct, names: Names, role_arn: str) -> None:
    """Create the project.

    Clients choose the context and the commands of a build, which can do only what the role `builds`
    allows.
    """
    codebuild.CfnProject(
        scope,
        "BuildProject",
        name=names.build_project,
        description="Builds images of flowyml-aws",
        service_role=role_arn,
        timeout_in_minutes=60,
        queued_timeout_in_minutes=60,
        source=codebuild.CfnProject.SourceProperty(
            type="S3",
            location=f"{names.bucket}/flowyml/code/contexts/",
            build_spec=BUILDSPEC,
        ),
        artifacts=codebuild.CfnProject.ArtifactsProperty(type="NO_ARTIFACTS"),
        environment=codebuild.CfnProject.EnvironmentProperty(
            type="LINUX_CONTAINER",
            image="aws/codebuild/amazonlinux-x86_64-standard:5.0",
            compute_type="BUILD_GENERAL1_MEDIUM",
            privileged_mode=True,
        ),
        logs_config=codebuild.CfnProject.LogsConfigProperty(
            cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                status="ENABLED", group_name=names.log_group, stream_name="image-builds"
            )
        ),
        tags=names.cfn_tags(),
    )
