from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import flowyml_aws
from flowyml_aws.planning.services import SERVICES

PACKAGE = Path(flowyml_aws.__path__[0])
# Each service's own package; the emulator compares names of AWS APIs; FlowyML has stacks of the
# type "local".
EXCEPT = (
    "services/batch/",
    "services/local/",
    "services/sagemaker/",
    "testing/",
    "integrations/flowyml/guard.py",
)


def comparisons(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and part.value in SERVICES:
                    yield node.lineno
        value = node.value if isinstance(node, ast.MatchValue) else None
        if isinstance(value, ast.Constant) and value.value in SERVICES:
            yield value.lineno


def test_a_comparison_with_a_services_name_is_found() -> None:
    assert list(comparisons("if job.backend == 'batch' or name in ('local', x): pass")) == [1, 1]


def test_no_module_outside_a_service_compares_its_name() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path.relative_to(PACKAGE)).startswith(EXCEPT)
        for line in comparisons(path.read_text("utf-8"))
    ]
    assert found == []
