"""Steps that return their environment, in one group and alone."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from flowyml_aws import Pipeline, step

NAMES = ("FROM_SETTING", "FROM_PIPELINE", "FROM_RUN", "FROM_STEP", "TZ", "LANG")


def found() -> dict[str, Any]:
    return {name: os.environ.get(name) for name in NAMES}


@step(outputs=["first"], cache="code_hash", execution_group="g", env={"FROM_STEP": "step"})
def declares() -> dict[str, Any]:
    return found()


@step(inputs=["first"], outputs=["second"], execution_group="g")
def shares(first: dict[str, Any]) -> dict[str, Any]:
    return found()


@step(inputs=["second"], outputs=["third"], env={"FROM_RUN": "step"})
def overrides(second: dict[str, Any]) -> dict[str, Any]:
    return found()


@step(outputs=["process"])
def process() -> dict[str, Any]:
    print("grüße \udcff")
    return {
        "hash": hash("flowyml"),
        "stdout": (sys.stdout.encoding, sys.stdout.errors),
        "hour": time.localtime(0).tm_hour,
    }


pipeline = Pipeline("environment", env={"FROM_PIPELINE": "pipeline", "FROM_RUN": "pipeline"})
pipeline.add_steps([declares, shares, overrides, process])
