"""Account and region of a run's training jobs, stored before the first job is submitted.

A client with another account or region would find none of the jobs, and run all of them again.
"""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, AwsRefusedError

__all__ = ["TrainingLocation", "read_location"]


class TrainingLocation(Document):
    """Account and region of a run's training jobs.

    Attributes:
        account: Account of the jobs' role; empty if a client does not know the role.
    """

    version: Literal[1] = 1
    region: str
    account: str

    @classmethod
    def from_role(cls, region: str, role: str) -> TrainingLocation:
        """Return the location of jobs with a role, by its ARN."""
        return cls(region=region, account=role.split(":")[4] if role.count(":") >= 5 else "")

    def check(self, client: TrainingLocation, run_id: str) -> None:
        """Check that a client uses the account and region of the run.

        Raises:
            AwsRefusedError: The client uses another account or region.
        """
        # A client that only watches a run does not need the role.
        if self.region == client.region and client.account in ("", self.account):
            return
        raise AwsRefusedError(
            what=f"The training jobs of run {run_id} are not in {client.region}"
            + (f" of account {client.account}" if client.account else ""),
            why=f"they were submitted in {self.region} of account {self.account}",
            fix="set AWS_REGION, AWS_PROFILE and sagemaker_role to the values that the run was "
            "started with",
        )


def read_location(store: ArtifactStore, run_id: str) -> TrainingLocation | None:
    """Return the location of a run's training jobs, or None if none was submitted yet."""
    key = RunLayout(run_id).training
    try:
        return read_document(TrainingLocation, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
