"""User projects: files in a folder, and scripts that run there."""

from __future__ import annotations

import json
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.runtime.harness import TIMEOUT_S, environment
from tests.support.clients import start_client

ENDING = """
if __name__ == "__main__":
    import json
    result = pipeline.run(progress=False)
    print(json.dumps({
        "success": result.success,
        "outputs": {name: value for name, value in result.outputs.items()},
        "errors": {name: step.error for name, step in result.step_results.items()},
        "jobs": {view.job.name: view.reason for view in result.status.jobs},
    }, default=repr))
"""


def write(folder: Path, **files: str) -> None:
    """Write Python files by name, with `__` for `/` and without `.py`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def run_script(folder: Path, text: str, ending: str = ENDING, **files: str) -> dict[str, Any]:
    """Run a script, and return the JSON document in the last line of its output."""
    write(folder, **files, script=textwrap.dedent(text) + ending)
    with closing(start_client(["script.py"], environment(), folder)) as client:
        out, err = client.communicate(TIMEOUT_S)
    assert client.returncode == 0, out + err
    document = json.loads(out.splitlines()[-1])
    assert isinstance(document, dict)
    return document
