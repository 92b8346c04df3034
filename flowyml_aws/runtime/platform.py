"""What runs the job's container: what it tells the runner, and what it wants to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.runtime.log import say

__all__ = ["Platform"]

# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-dockerfile.html
_SAGEMAKER_FOLDER = "/opt/ml"
_FAILURE_FILE = "output/failure"


@dataclass(frozen=True, slots=True)
class Platform:
    """What the runner knows of the platform.

    Attributes:
        attempt: The number that the platform, or who submitted the job, gave this attempt.
        repeats: Whether it may start an attempt again under the same number, as SageMaker does
            after a spot interruption.
        failure_file: Where it reads why the job failed; None where nobody reads.
    """

    attempt: int = 1
    repeats: bool = False
    failure_file: Path | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Platform:
        """The platform that set this environment."""
        number = environment.get("FLOWYML_ATTEMPT") or environment.get("AWS_BATCH_JOB_ATTEMPT")
        attempt = int(number or "1")
        if not environment.get("TRAINING_JOB_NAME"):
            return cls(attempt)
        # The variable is that of SageMaker's own training toolkit, for processes in other places.
        folder = Path(environment.get("SAGEMAKER_BASE_DIR") or _SAGEMAKER_FOLDER)
        return cls(attempt, repeats=True, failure_file=folder / _FAILURE_FILE)

    def tell_failure(self, reason: str) -> None:
        """Leave word of why the job failed: SageMaker tells its first 1,024 characters."""
        if self.failure_file is None:
            return
        try:
            self.failure_file.parent.mkdir(parents=True, exist_ok=True)
            self.failure_file.write_text(reason, "utf-8", errors="backslashreplace")
        except OSError as error:  # a courtesy: the result says it too
            say(f"the reason is not in {self.failure_file}: {error}")
