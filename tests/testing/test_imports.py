from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flowyml_aws

pytestmark = [pytest.mark.version_sensitive, pytest.mark.contract]

ROOT = Path(flowyml_aws.__path__[0]).parent


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_without_moto_the_error_says_what_to_install() -> None:
    process = run(
        "import sys; sys.modules['moto'] = None\nfrom flowyml_aws.testing import Emulator"
    )
    assert "pip install 'flowyml-aws[testing]'" in process.stderr


def test_the_plugin_imports_neither_moto_nor_boto3() -> None:
    process = run(
        "import sys, flowyml_aws.testing.pytest_plugin\n"
        "print([name for name in ('moto', 'boto3', 'botocore', 'flask') if name in sys.modules])"
    )
    assert process.stdout.strip() == "[]", process.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import flowyml_aws.testing

    with pytest.raises(AttributeError, match="no_such_name"):
        flowyml_aws.testing.no_such_name  # noqa: B018
