"""Steps that allocate and request storage."""

from __future__ import annotations

import os
import tempfile

from flowyml_aws import Pipeline, step
from flowyml_aws.core.resources import ResourceRequirements


# It requests less than it allocates.
@step(outputs=["size"], resources=ResourceRequirements(storage="1Gi"))
def fill() -> int:
    with tempfile.NamedTemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, 3 << 30)
        return os.fstat(file.fileno()).st_size


@step(resources=ResourceRequirements(storage="3Gi"))
def request() -> None:
    pass


pipeline = Pipeline("filling").add_step(fill)
honest = Pipeline("honest").add_step(request)
