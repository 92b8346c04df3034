"""A step that returns its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flowyml_aws import Pipeline, step


@step
def surroundings() -> list[str]:
    return [os.environ["MY_TOKEN"], str(Path.cwd()), sys.executable, sys.stdin.read()]


pipeline = Pipeline("surroundings").add_step(surroundings)
