"""Mistakes that a type checker must report: each line with `# error` is one."""

from __future__ import annotations

from flowyml_aws import Pipeline, VersionedPipeline

pipeline = Pipeline("typed")
pipeline.run(refersh=["train"])  # error
pipeline.run("batch")  # error
pipeline.submit(max_cost_usd="5")  # error
pipeline.plan(cache="no")  # error
pipeline.run(env={"LEVEL": 9})  # error
pipeline.add_step(print)  # error
VersionedPipeline("typed").run(backend=1)  # error
