"""A step that runs its own pipeline."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step(outputs=["again"])
def again() -> bool:
    return pipeline.run(progress=False).success


pipeline = Pipeline("nested").add_step(again)
