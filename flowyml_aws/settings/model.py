"""Settings of a project: store, image, targets, limits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from flowyml_aws.core.distributions import VersionRule
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.written import shortened
from flowyml_aws.settings.targets import TargetSettings

__all__ = ["PREFIX", "Settings", "as_environment"]

PREFIX = "FLOWYML_AWS_"
"""Prefix of the environment variables that contain settings."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a project.

    Attributes:
        backend: Default service of runs and plans, or that of each group; `local` if not set.
        store: `s3://bucket/prefix` for runs on AWS.
        account: Name of an account that infra/ has set up, or of an SSM parameter with settings,
            which all other sources override.
        queues: Batch queues that jobs may use; empty for every enabled queue of the account.
        targets: Descriptions of queues and of other targets.
        image: URI of the container image; by default, the project's own image in `repository`.
        repository: URI of the ECR repository that images are pushed to.
        base_image: Image with Python that the project's image is built on; `gpu` for an image
            with the CUDA runtime.
        ca_certificates: File with certificates in PEM format, relative to the project, that the
            project's image trusts in addition: those of a company's own certificate authority.
        image_requirements: Packages of the project's image, in pip's syntax, with `-r FILE` and
            `--group NAME`; by default those that the project declares.
        requirements: Packages that jobs install as wheels when they start, in addition to the
            image.
        job_role: ARN of the role of the job's code.
        execution_role: ARN of the role that pulls the image.
        log_group: CloudWatch log group of Batch jobs.
        driver_queue: Batch queue of the small jobs that drive detached runs on SageMaker.
        driver_role: ARN of the role of these jobs.
        build_project: Project of CodeBuild that builds images: `image build --remote`.
        schedule_group: Group of EventBridge Scheduler that contains the schedules.
        schedule_role: ARN of the role with which EventBridge Scheduler submits their jobs.
        tags: Tags of the jobs, in addition to those that name the run.
        env: Environment variables of the jobs.
        sagemaker_role: ARN of the role of training jobs.
        sagemaker_image: URI of the image of training jobs; by default `image`.
        sagemaker_subnets: Ids of the subnets of training jobs; empty for no VPC.
        sagemaker_security_groups: Ids of the security groups of training jobs; empty for no VPC.
        sagemaker_volume_kms_key: Id or ARN of the KMS key of the volumes of training jobs.
        sagemaker_output_kms_key: Id or ARN of the KMS key of the outputs of training jobs.
        sagemaker_volume_gib: Minimum size of a training job's volume, in GiB.
        sagemaker_spot: Whether spot capacity is preferred.
        sagemaker_keep_alive_s: Time that an instance waits for the next job of its type, in
            seconds.
        sagemaker_max_runtime_s: Time limit of jobs whose steps have none, in seconds.
        sagemaker_max_wait_s: Time limit of jobs on spot capacity including the wait for it, in
            seconds.
        cache_versions: Versions of packages that count in cache keys: `none`, `direct` for those
            that the steps' code uses, or `all` for those that these require in turn, too.
        region: AWS region; by default that of boto3.
        load_timeout_s: Time limit for loading the program on the client as jobs load it.
        store_wait_s: Time for which a job waits for a store that does not answer, in seconds.
        max_bundle_mib: Maximum total size of the project's files in a bundle, in MiB.
        include: Files and folders that are bundled with the code although git ignores them.
        capacity_wait_s: Time without capacity after which jobs move to another target, in seconds.
        poll_s: Interval between two polls of AWS, in seconds.
        local_store: Folder of local runs, relative to the project.
        max_price_usd_hour: Maximum price of a job on every type that it may start on, of all its
            nodes together, in USD per hour.
        max_cost_usd: Maximum cost of a run, in USD.
        stop_idle_gpu: Seconds without use of the GPUs of its job after which a step is stopped;
            written as `30m`. None for never.
        notify: Recipients of a notice when a run has ended.
        allow_pickle: Whether values whose format can execute code (pickle) may be loaded on this
            machine; None if only those of runs that this user started here.
        debug_shell: Whether jobs on AWS are submitted so that `flowyml-aws shell` can open a shell
            in them.
        warm_starts: Whether jobs on this machine are forks of a process that has imported the
            project's packages; only on Linux.
    """

    backend: str | Mapping[str, str] | None = None
    store: str | None = None
    account: str | None = None
    queues: tuple[str, ...] = ()
    targets: tuple[TargetSettings, ...] = ()
    image: str | None = None
    repository: str | None = None
    base_image: str | None = None
    ca_certificates: str | None = None
    image_requirements: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    job_role: str | None = None
    execution_role: str | None = None
    log_group: str = "/aws/batch/job"
    driver_queue: str | None = None
    driver_role: str | None = None
    build_project: str | None = None
    schedule_group: str | None = None
    schedule_role: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    sagemaker_role: str | None = None
    sagemaker_image: str | None = None
    sagemaker_subnets: tuple[str, ...] = ()
    sagemaker_security_groups: tuple[str, ...] = ()
    sagemaker_volume_kms_key: str | None = None
    sagemaker_output_kms_key: str | None = None
    sagemaker_volume_gib: int | None = None
    sagemaker_spot: bool = False
    sagemaker_keep_alive_s: int | None = None
    sagemaker_max_runtime_s: int | None = None
    sagemaker_max_wait_s: int | None = None
    cache_versions: VersionRule = "direct"
    region: str | None = None
    max_bundle_mib: int = 50
    load_timeout_s: float = 60.0
    store_wait_s: float = 600.0
    include: tuple[str, ...] = ()
    capacity_wait_s: float = 600.0
    poll_s: float = 3.0
    local_store: str = ".flowyml/aws"  # FlowyML's own files are in .flowyml
    max_price_usd_hour: float | None = None
    max_cost_usd: float | None = None
    stop_idle_gpu: float | None = None
    notify: tuple[str, ...] = ()
    allow_pickle: bool | None = None
    debug_shell: bool = False
    warm_starts: bool = True

    def __post_init__(self) -> None:
        if self.store is not None and not re.match("s3://[^/]", self.store):
            raise SettingsError(
                what=f"Invalid setting store={shortened(self.store)}: expected an S3 location",
                why="runs on AWS need a bucket that both jobs and this machine can reach",
                fix="write s3://BUCKET/PREFIX",
            )


def as_environment(settings: Settings) -> dict[str, str]:
    """Return environment variables that give another process the same settings.

    Defaults are omitted, and so are settings that matter only before a run starts: targets,
    limits, bundled files.
    """
    defaults = Settings()
    variables: dict[str, str] = {}
    for name in (f.name for f in fields(Settings) if f.name not in _BEFORE_A_RUN):
        value = getattr(settings, name)
        if value is None or value == getattr(defaults, name):
            continue
        if isinstance(value, Mapping):
            value = json.dumps(dict(value))
        elif isinstance(value, tuple):
            value = ",".join(value)
        variables[f"{PREFIX}{name.upper()}"] = str(value)
    return variables


_BEFORE_A_RUN = {
    "account",
    "backend",
    "base_image",
    "build_project",
    "ca_certificates",
    "cache_versions",
    "debug_shell",
    "driver_queue",
    "driver_role",
    "env",
    "image_requirements",
    "include",
    "local_store",
    "load_timeout_s",
    "max_bundle_mib",
    "max_cost_usd",
    "max_price_usd_hour",
    "notify",
    "queues",
    "repository",
    "requirements",
    "schedule_group",
    "schedule_role",
    "stop_idle_gpu",
    "store_wait_s",
    "targets",
    "warm_starts",
}
