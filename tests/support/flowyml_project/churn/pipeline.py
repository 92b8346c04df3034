from __future__ import annotations

from flowyml import Pipeline, context

from churn.steps import deploy, evaluate, fit, flowyml_of_the_job, load, split, tell

pipeline = Pipeline("churn", context=context(size=40, smoothing=0.0, limit=0.5))
pipeline.add_steps([load, split, fit, evaluate, deploy, tell, flowyml_of_the_job])
