"""Where a run's training jobs are, noted before the first one is submitted.

A client that looks elsewhere would find none of them, and run all of them again.
"""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, AwsRefusedError

__all__ = ["TrainingPlace", "read_place"]


class TrainingPlace(Document):
    """Where a run's training jobs are.

    Attributes:
        account: Of the jobs' role; empty where a client does not know it.
    """

    version: Literal[1] = 1
    region: str
    account: str

    @classmethod
    def of(cls, region: str, role: str) -> TrainingPlace:
        """The place of jobs that have a role, by its ARN."""
        return cls(region=region, account=role.split(":")[4] if role.count(":") >= 5 else "")

    def check(self, here: TrainingPlace, run_id: str) -> None:
        """See that a client looks where the run is.

        Raises:
            AwsRefusedError: It looks elsewhere.
        """
        # Who only looks at a run need not know the role.
        if self.region == here.region and here.account in ("", self.account):
            return
        raise AwsRefusedError(
            what=f"The training jobs of run {run_id} are not in {here.region}"
            + (f" of account {here.account}" if here.account else ""),
            why=f"they were submitted in {self.region} of account {self.account}",
            fix="set AWS_REGION, AWS_PROFILE and sagemaker_role to those that the run was started "
            "with",
        )


def read_place(store: ArtifactStore, run_id: str) -> TrainingPlace | None:
    """Where a run's training jobs are, or None before there are any."""
    key = RunLayout(run_id).training
    try:
        return read_document(TrainingPlace, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
