"""A step that writes to a folder of a SageMaker training job."""

from __future__ import annotations

import os
from pathlib import Path

from flowyml_aws import Pipeline, step


@step(outputs=["name"])
def keep() -> str:
    path = Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints/epoch-1")
    path.write_text("weights")
    return path.name


pipeline = Pipeline("outputs").add_step(keep)
