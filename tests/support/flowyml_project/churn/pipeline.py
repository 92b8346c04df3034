from __future__ import annotations

from flowyml import Pipeline, context

from churn.steps import (
    announce,
    deploy,
    evaluate,
    fit,
    flowyml_of_the_job,
    load,
    split,
    validate,
)

pipeline = Pipeline("churn", context=context(size=40, smoothing=0.0, limit=0.5))
pipeline.add_steps([load, validate, split, fit, evaluate, deploy, announce, flowyml_of_the_job])
