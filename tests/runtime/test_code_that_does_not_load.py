from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.scripts import ENDING, run_script, write

pytestmark = [pytest.mark.version_sensitive, pytest.mark.contract]


def test_a_module_that_runs_its_pipeline_at_import_is_refused_in_the_job(project: Path) -> None:
    report = run_script(
        project,
        """
        import json
        import flow
        print(json.dumps({view.job.name: view.reason for view in flow.result.status.jobs}))
        """,
        ending="",
        flow="""
            from flowyml_aws import Pipeline, step

            @step(outputs=["n"])
            def give():
                return 1

            result = Pipeline("p").add_step(give).run(progress=False)
        """,
    )
    assert report == {
        "give": "PipelineFileError: A module of the steps runs a pipeline while it is imported"
    }
    assert len(list((project / ".flowyml" / "aws" / "runs").iterdir())) == 1


def test_a_package_that_the_job_lacks_is_named_with_the_users_line(project: Path) -> None:
    write(
        project,
        steps="""
            import os
            from flowyml_aws import step
            if "FLOWYML_ATTEMPT" in os.environ:
                import only_on_the_client

            @step
            def give():
                return 1
        """,
    )
    report = run_script(
        project,
        """
        from flowyml_aws import Pipeline
        from steps import give
        pipeline = Pipeline("p").add_step(give)
        """,
        ending=ENDING + "    print(json.dumps({'tracebacks': [v.result.failure.text for v in"
        " result.status.jobs]}))",
    )
    (traceback,) = report["tracebacks"]
    assert 'File "steps.py", line 5, in <module>' in traceback
    assert "import only_on_the_client" in traceback
    assert "install only_on_the_client in the image" in traceback
    assert "importlib" not in traceback


def test_a_module_that_exits_at_import_fails_the_job(project: Path) -> None:
    report = run_script(
        project,
        """
        from flowyml_aws import Pipeline
        from steps import give
        pipeline = Pipeline("p").add_step(give)
        """,
        steps="""
            import os, sys
            from flowyml_aws import step
            if "FLOWYML_ATTEMPT" in os.environ:
                sys.exit(0)

            @step
            def give():
                return 1
        """,
    )
    assert report["jobs"] == {
        "give": "PipelineFileError: The steps can't be loaded in this job: SystemExit: 0"
    }
