"""An AWS account as the host of runs: its clients, store, credentials, catalog and images."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.connection.clients import AwsClients
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.data_inputs import S3Prefix
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.folders import cache_folder
from flowyml_aws.settings.model import Settings

if TYPE_CHECKING:
    from flowyml_aws.aws.ec2.instance_types import DescribedTypes
    from flowyml_aws.aws.ec2.prices import PriceTable
    from flowyml_aws.images.choice import ImageChoice
    from flowyml_aws.submission.billing import BilledCost

__all__ = ["Account", "missing_setting"]


@dataclass(frozen=True)
class Account:
    """An AWS account, as the settings and boto3's configuration name it.

    Attributes:
        project: Root of the runs' project, or None if no new runs are made.
        job_image: Container image that the settings name for the jobs, or None.
    """

    settings: Settings
    project: Path | None = None
    job_image: str | None = None

    @cached_property
    def store(self) -> ArtifactStore:
        from flowyml_aws.aws.s3.store import S3ArtifactStore

        assert self.settings.store is not None
        return S3ArtifactStore.from_uri(self.client("s3"), self.settings.store)

    def problems(self) -> list[FlowymlError]:
        """Return the reasons why no run can be submitted: store, credentials, bucket, image."""
        problems: list[FlowymlError] = []
        if self.settings.store is None:
            problems.append(missing_setting("store"))
        if self.access_problem is not None:
            return [*problems, self.access_problem]
        try:
            own = (self._bucket_problem, self.images.problem)
            problems += [problem for problem in own if problem is not None]
        except FlowymlError as error:
            problems.append(error)
        return problems

    @cached_property
    def access_problem(self) -> FlowymlError | None:
        """The error if AWS rejects every call, or None."""
        from flowyml_aws.aws.batch.discovery import credentials_problem

        try:
            return credentials_problem(self.client("sts"))
        except FlowymlError as error:  # boto3's configuration cannot be read
            return error

    @cached_property
    def catalog(self) -> Catalog:
        """The region's refreshed catalog, or the one in the package."""
        return load_catalog(self.region, cache_folder(os.environ))

    def notes(self, today: date) -> Sequence[str]:
        notes = tuple(self.catalog.notes(today))
        if self.access_problem is None:
            notes += self.images.notes()
        if self._bucket_problem is not None:
            notes += (f"earlier runs can't be read: {self._bucket_problem.what}",)
        if vars(self).get("offered_types", ()) is None:  # requested, and denied
            notes += (
                "the region's instance types could not be listed (ec2:DescribeInstanceTypeOfferings"
                " is denied): retired types are left out",
            )
        return notes

    def list_prefix(self, prefix: S3Prefix) -> PrefixListing:
        from flowyml_aws.aws.s3.prefixes import S3Prefixes

        return S3Prefixes(self.client("s3")).listing(prefix)

    @property
    def earlier_runs(self) -> ArtifactStore | None:
        is_unreadable = self.settings.store is None or self._bucket_problem is not None
        return None if is_unreadable else self.store

    @property
    def image(self) -> str | None:
        """Container image of the jobs.

        Raises:
            SettingsError: The inputs of the project's image can't be read.
        """
        return self.images.effective_settings.image

    @cached_property
    def images(self) -> ImageChoice:
        """The choice between the image of the settings and the project's own."""
        from flowyml_aws.images.choice import ImageChoice

        return ImageChoice(
            self.settings,
            self.project,
            self.job_image,
            lambda region: self._clients.new("ecr", region),
        )

    def with_account_settings(self, load: Callable[[str], Settings]) -> Account:
        """Return the account with the settings of its own parameter as the lowest layer.

        Args:
            load: Parses the parameter's value.

        Raises:
            SettingsError: The parameter does not exist or is malformed.
            AwsRefusedError: AWS denied the call.
        """
        from flowyml_aws.aws.account import read_account

        assert self.settings.account is not None
        if self.access_problem is not None:
            raise self.access_problem
        settings = load(read_account(self.client("ssm"), self.settings.account))
        return Account(settings, self.project, self.job_image)

    def secret_problems(self, references: Collection[str]) -> list[FlowymlError]:
        """Return an error for each secret that does not exist. No value is read."""
        if not references or self.access_problem is not None:
            return []
        from flowyml_aws.aws.secrets import missing_secrets

        return missing_secrets(references, self._clients.new)

    @cached_property
    def offered_types(self) -> Collection[str] | None:
        """Instance types that the region offers, or None if listing them is denied."""
        from flowyml_aws.aws.account import offered_types

        return offered_types(self.client("ec2"))

    def instance_types(
        self, now: datetime, progress: Callable[[str], None]
    ) -> tuple[DescribedTypes, PriceTable]:
        """Return the region's instance types and prices from EC2 and the Price List API.

        Raises:
            SettingsError: The figures would not come from AWS.
            AwsRefusedError: No credentials or no region, or a call was denied.
        """
        from flowyml_aws.aws.connection.endpoints import require_aws_figures
        from flowyml_aws.aws.ec2.instance_types import read_specifications
        from flowyml_aws.aws.ec2.price_files import PriceFiles
        from flowyml_aws.aws.ec2.prices import read_prices

        ec2 = self.client("ec2")
        region = ec2.meta.region_name
        pricing = self._price_list(region)
        require_aws_figures(ec2, *([] if isinstance(pricing, PriceFiles) else [pricing]))
        if self.access_problem is not None:
            raise self.access_problem
        described = read_specifications(ec2, region, now.date(), progress)
        return described, read_prices(pricing, ec2, region, now, progress)

    def price_usd_hour(self, instance_type: str, capacity: str) -> float | None:
        """Return the price of an instance type that AWS lists at the moment, or None.

        Args:
            instance_type: Type of EC2, or of SageMaker with `ml.`.
            capacity: `on-demand` or `spot`.

        Raises:
            AwsRefusedError: A call was denied.
        """
        from flowyml_aws.aws.ec2.prices import listed_price

        ec2 = self.client("ec2")
        region = ec2.meta.region_name
        now = datetime.now(timezone.utc)
        return listed_price(self._price_list(region), ec2, region, instance_type, capacity, now)

    def billed_costs(self, since: date, until: date) -> Sequence[BilledCost]:
        """Return the costs that AWS bills, by day and instance family, from Cost Explorer.

        Each request costs $0.01.

        Args:
            since: First day.
            until: Day after the last one.

        Raises:
            AwsRefusedError: A call was denied, or there are no costs with the account's tags.
        """
        from flowyml_aws.aws.cost_explorer import EXPLORER_REGION, billed_costs

        name = self.settings.account
        is_name = name is not None and "/" not in name  # otherwise the name of a parameter
        client = self._clients.new("ce", EXPLORER_REGION)
        return billed_costs(client, since, until, name if is_name else None)

    def _price_list(self, region: str) -> Any:
        """Return the Price List API, or the price list files if it does not exist."""
        from flowyml_aws.aws.ec2.price_files import PriceFiles, has_price_api
        from flowyml_aws.aws.ec2.prices import pricing_region

        if not has_price_api(region):
            return PriceFiles()
        return self._clients.new("pricing", pricing_region(region))

    @property
    def session(self) -> Any:
        """A boto3 session, for checks of the account.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        return self._clients.session

    @property
    def region(self) -> str | None:
        """AWS region: the setting, AWS_REGION, boto3's configuration, or None.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        return self._clients.region

    def client(self, service: str) -> Any:
        """Return the boto3 client of an AWS API."""
        return self._clients.client(service)

    @cached_property
    def _bucket_problem(self) -> FlowymlError | None:
        from flowyml_aws.aws.batch.discovery import bucket_problem

        if self.settings.store is None:
            return None
        bucket = self.settings.store.removeprefix("s3://").partition("/")[0]
        return bucket_problem(self.client("s3"), bucket)

    @cached_property
    def _clients(self) -> AwsClients:
        return AwsClients(self.settings.region)


_ALTERNATIVES = {"image": ", or `repository`, and push the project's image there"}


def missing_setting(name: str) -> FlowymlError:
    """Return the error for a setting that jobs on AWS require."""
    return SettingsError(
        what=f"Setting `{name}` is missing",
        why="jobs on AWS need it",
        fix=f"set {name} in flowyml-aws.toml or FLOWYML_AWS_{name.upper()}"
        f"{_ALTERNATIVES.get(name, '')} "
        "(`flowyml-aws emulate` prints settings to try it without an account)",
    )
