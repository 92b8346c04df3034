"""Run the pipeline and print its result as JSON; arguments are context values."""

from __future__ import annotations

import json
import sys

from churn.pipeline import pipeline

if __name__ == "__main__":
    values = {name: float(value) for name, value in (word.split("=") for word in sys.argv[1:])}
    result = pipeline.run(context=values, auto_start_ui=False)
    steps = result.step_results.values()
    report = {
        "run_id": result.run_id,
        "job_id": result.remote_job_id,
        "success": result.success,
        "state": result.state,
        "outputs": {name: result[name] for name in ("model", "score", "announcement", "flowyml")},
        "valid": getattr(result["valid"], "successes", None),
        "cached": [step.step_name for step in steps if step.cached],
        "errors": {step.step_name: step.error for step in steps if step.error},
        "skipped": [step.step_name for step in steps if step.skipped],
    }
    print("RESULT " + json.dumps(report))
