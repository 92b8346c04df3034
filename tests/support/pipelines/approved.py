"""A job before an approval, two jobs after it, and a job that does not wait for it."""

from __future__ import annotations

import os
from pathlib import Path

from flowyml_aws import Pipeline, approval, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(outputs=["model"], cache=False)
def train(trace: str) -> int:
    note(trace, "train")
    return 21


@step(inputs=["model"], cache=False)
def plot(model: int, trace: str) -> int:
    note(trace, "plot")
    return model


@step(inputs=["release"], cache=False)
def deploy(release: int, trace: str) -> int:
    note(trace, "deploy")
    return 2 * release


@step(inputs=["deploy"], cache=False)
def announce(deploy: int, trace: str) -> str:
    note(trace, "announce")
    return f"deployed {deploy}"


release = approval("release", inputs=["model"], timeout=os.environ.get("ANSWER_WITHIN", "7d"))
pipeline = Pipeline("approved", context={"trace": ""})
pipeline.add_steps([train, plot, release, deploy, announce])
