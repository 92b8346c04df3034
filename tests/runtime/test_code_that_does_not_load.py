from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.harness import finish, start_python
from tests.runtime.scripts import ENDING, run_script, write

pytestmark = pytest.mark.contract


def test_a_module_that_runs_its_pipeline_at_import_is_refused(project: Path) -> None:
    write(
        project,
        flow="""
            from flowyml_aws import Pipeline, step

            @step(outputs=["n"])
            def give():
                return 1

            result = Pipeline("p").add_step(give).run(progress=False)
        """,
        script="import flow",
    )
    ended = finish(start_python(["script.py"], project))
    assert "A module of the steps runs a pipeline while it is imported" in ended.log
    assert not (project / ".flowyml").exists()


@pytest.mark.version_sensitive
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
        "give": "PipelineFileError: The program can't be loaded in this job: SystemExit: 0"
    }
