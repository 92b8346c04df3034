"""Pipelines in which one of several jobs logs a value, and one looks up the cache in its job."""

from __future__ import annotations

from flowyml_aws import Pipeline, log_metric, step


@step(outputs=["a"])
def logs_a() -> int:
    log_metric("a", 1)
    return 1


wide = Pipeline("wide").add_step(logs_a)
for _number in range(5):
    wide.add_step(step(outputs=[f"quiet {_number}"], name=f"quiet {_number}")(lambda: 1))


@step(outputs=["source"], cache=False)
def make_source() -> int:
    return 7


@step(inputs=["source"], outputs=["double"])
def double(source: int) -> int:
    log_metric("source", source)
    return 2 * source


deferred = Pipeline("deferred").add_steps([make_source, double])
