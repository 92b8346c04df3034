"""A faster clock for this process and its forks, also for the pauses between botocore's retries."""

from __future__ import annotations

import botocore.endpoint

from flowyml_aws.core import clock
from tests.chaos.waits import SPEED

__all__: list[str] = []

clock.run_faster(SPEED)
vars(botocore.endpoint)["time"] = clock
