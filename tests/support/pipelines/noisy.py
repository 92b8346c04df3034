"""A job that prints many lines, and a second job that prints one."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step(outputs=["count"])
def shout(lines: int) -> int:
    for number in range(lines):
        print(f"line {number} ✓")
    return lines


@step(inputs=["count"], outputs=["done"])
def whisper(count: int) -> bool:
    print(f"heard {count} – grüße")
    return True


pipeline = Pipeline("noisy", context={"lines": 10}).add_steps([shout, whisper])
