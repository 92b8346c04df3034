"""The checks of an AWS account."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flowyml_aws.artifacts.layout import probe_key
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.examination import Check
from flowyml_aws.services.batch.service import queue_names
from flowyml_aws.settings.model import Settings

if TYPE_CHECKING:
    from flowyml_aws.aws.batch.queues import Queue
    from flowyml_aws.aws.checks.probe import Probe

__all__ = ["AccountCheckup"]

_TASKS, _TRAINING = "ecs-tasks.amazonaws.com", "sagemaker.amazonaws.com"
_ROLES: Mapping[str, tuple[Callable[[Settings], str | None], str]] = {
    "job_role": (lambda s: s.job_role, _TASKS),
    "execution_role": (lambda s: s.execution_role, _TASKS),
    "driver_role": (lambda s: s.driver_role, _TASKS),
    "sagemaker_role": (lambda s: s.sagemaker_role, _TRAINING),
}


@dataclass
class AccountCheckup:
    """Checks of one account. Later checks use the results of earlier ones.

    Attributes:
        settings: Settings of the project; the account's settings are added when they are read.
        probe: Access to the account.
        region: Returns the region, or None.
        load: Returns the settings with the account's settings, from the value of its parameter.
        catalog: Returns the catalog of the region.
        image: Returns the URI of the project's image for some settings, or None.
        python: Minor version on this machine, such as `3.11`.
        clock: Returns the time in seconds since the epoch.
    """

    settings: Settings
    probe: Probe
    region: Callable[[], str | None]
    load: Callable[[str], Settings]
    catalog: Callable[[], Catalog]
    image: Callable[[Settings], str | None]
    python: str
    clock: Callable[[], float]
    _used_queues: Sequence[Queue] = ()

    def checks(self) -> list[Check]:
        """Return the checks in dependency order."""
        return [
            Check("region", self._region),
            Check("clock", self._clock, ("region",), severity="not checked"),
            Check("credentials", self._credentials, ("region",)),
            *([Check("account", self._account, ("credentials",))] if self.settings.account else []),
            Check("bucket", self._bucket, ("credentials", "account")),
            Check("storage", self._storage, ("bucket",)),
            Check("queues", self._queues, ("credentials", "account")),
            Check("compute environments", self._environments, ("queues",)),
            Check("driver", self._driver, ("queues",), severity="warning"),
            Check("quotas", self._quotas, ("queues",), severity="warning"),
            Check(
                "training quotas",
                self._training_quotas,
                ("credentials", "account"),
                severity="warning",
            ),
            Check("roles", self._roles, ("credentials", "account"), severity="warning"),
            Check("image", self._image, ("credentials", "account"), severity="warning"),
            Check("image builds", self._builds, ("credentials", "account"), severity="warning"),
            Check("catalog", self._catalog, ("region",)),
        ]

    def _clock(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.caller import check_clock

        return check_clock(self.probe, self.clock)

    def _region(self) -> Sequence[Finding]:
        name = self.region()
        if name is None:
            raise SettingsError(
                what="No AWS region is set",
                why="the setting `region`, AWS_REGION and the profile contain no region",
                fix="set AWS_REGION, or `region` in flowyml-aws.toml",
            )
        return [Finding("region", "ok", f"The region is {name}")]

    def _credentials(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.caller import check_credentials

        return check_credentials(self.probe, self.clock)

    def _account(self) -> Sequence[Finding]:
        from flowyml_aws.aws.account import parameter_name, read_account

        account = self.settings.account
        assert account is not None  # otherwise `checks` omits this check
        self.settings = self.load(read_account(self.probe.client("ssm"), account))
        name = parameter_name(account)
        return [Finding("account", "ok", f"The account's settings are in parameter {name}")]

    def _bucket(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.bucket import check_bucket

        bucket, _ = self._store
        return check_bucket(self.probe.client("s3"), bucket)

    def _storage(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.bucket import check_writing

        bucket, prefix = self._store
        key = "/".join(filter(None, [prefix, probe_key(secrets.token_hex(8))]))
        return check_writing(self.probe.client("s3"), bucket, key)

    def _queues(self) -> Sequence[Finding]:
        from flowyml_aws.aws.batch.queues import read_queues
        from flowyml_aws.aws.checks.queues import queue_findings, used_queues

        wanted = queue_names(self.settings)
        queues = read_queues(self.probe.client("batch"))
        self._used_queues = used_queues(queues, wanted)
        return list(queue_findings(queues, wanted))

    def _driver(self) -> Sequence[Finding]:
        from flowyml_aws.aws.batch.driver_job import driver_problem

        name = self.settings.driver_queue
        if name is None:
            return []  # only detached runs on SageMaker need a driver
        problem = driver_problem(self.probe.client("batch"), name)
        if problem is not None:
            raise problem
        return [
            Finding(
                "driver-queue",
                "ok",
                f"Queue {name!r} accepts drivers of detached runs on SageMaker",
            )
        ]

    def _environments(self) -> Sequence[Finding]:
        from flowyml_aws.aws.account import offered_types
        from flowyml_aws.aws.checks.queues import environment_findings

        offered = offered_types(self.probe.client("ec2"))
        findings = list(environment_findings(self._used_queues, offered, self.catalog()))
        if offered is None:
            why = "ec2:DescribeInstanceTypeOfferings is denied"
            what = "The instance types that the region offers are unknown"
            fix = "allow this read-only call"
            findings.append(Finding("offerings-denied", "note", what, why, fix))
        return findings

    def _quotas(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.queues import quota_findings, quotas_of
        from flowyml_aws.aws.ec2.quotas import read_limits

        wanted = quotas_of(self._used_queues, self.catalog())
        limits = read_limits(self.probe.client("service-quotas"), list(wanted))
        return list(quota_findings(wanted, limits, self.region() or ""))

    def _training_quotas(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.training import training_quota_findings
        from flowyml_aws.aws.sagemaker.quotas import list_quotas

        if self.settings.sagemaker_role is None:
            return []  # jobs run on Batch only
        quotas = list(list_quotas(self.probe.client("service-quotas")))
        capacity = "spot" if self.settings.sagemaker_spot else "on-demand"
        return list(training_quota_findings(quotas, self.catalog(), capacity, self.region() or ""))

    def _roles(self) -> Sequence[Finding]:
        return list(self._role_findings())

    def _role_findings(self) -> Iterator[Finding]:
        from flowyml_aws.aws.checks.roles import check_role

        iam = self.probe.client("iam")
        for setting, (read, service) in _ROLES.items():
            if (arn := read(self.settings)) is not None:
                yield from check_role(iam, setting, arn, service)
        if self.settings.job_role is None:
            yield Finding(
                "no-job-role",
                "note",
                "Jobs use the role of the instance that they run on",
                "the setting `job_role` is missing: all jobs have the permissions of the instance",
                "set job_role to the ARN of a role that can only access the bucket",
            )

    def _image(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.image import check_image

        image = self.image(self.settings)
        if image is None:
            return [
                Finding(
                    "no-image",
                    "error",
                    "Setting `image` is missing",
                    "jobs on AWS run in a container image with Python and your dependencies",
                    "set `repository` and run `flowyml-aws image push`, or set `image` to a URI",
                )
            ]
        return check_image(self.probe, image, self.python)

    def _builds(self) -> Sequence[Finding]:
        from flowyml_aws.aws.checks.builds import check_build_project

        project = self.settings.build_project
        if project is None:
            return []  # images are built on this machine
        return check_build_project(self.probe.client("codebuild"), project)

    def _catalog(self) -> Sequence[Finding]:
        catalog = self.catalog()
        today = datetime.fromtimestamp(self.clock(), timezone.utc).date()
        if notes := catalog.notes(today):
            parts = [note.rpartition(": ") for note in notes]
            why = "plans use its instance types and prices"
            return [
                Finding("catalog-old", "warning", what[0].upper() + what[1:], why, fix)
                for what, _, fix in parts
            ]
        content = f"prices of {catalog.prices_date}, {len(catalog.types):,} instance types"
        return [Finding("catalog", "ok", f"The catalog of {catalog.region}: {content}")]

    @property
    def _store(self) -> tuple[str, str]:
        """Bucket and prefix of the store."""
        if self.settings.store is None:
            raise SettingsError(
                what="Setting `store` is missing",
                why="runs on AWS are stored in a bucket",
                fix="set store to s3://BUCKET/PREFIX, or account to the name of an account that "
                "infra/ has set up",
            )
        bucket, _, prefix = self.settings.store.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")
