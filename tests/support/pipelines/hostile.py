"""A step whose output, value and error would control a terminal."""

from __future__ import annotations

from flowyml_aws import Pipeline, step

CLEAR = "\x1b]0;owned\x07\x1b[2J\x9b2J"


@step(outputs=["text"])
def write() -> str:
    print(f"10%\r20%\rprinted {CLEAR}")
    return f"value {CLEAR}"


@step(inputs=["text"])
def fail(text: str) -> None:
    raise ValueError(f"raised {CLEAR}")


pipeline = Pipeline("hostile").add_steps([write, fail])
