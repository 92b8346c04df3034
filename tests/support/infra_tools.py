"""Programs that check `infra/`; a test is skipped if its program is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Terraform", "find_terraform", "tool"]

TOOLS = Path(__file__).parents[2] / ".venv-infra/bin"
_HOST = "registry.terraform.io/hashicorp/aws"
_NO_PROVIDER = ("Failed to query available provider packages", "Failed to install provider")
_TIMEOUT_S = 600


def tool(name: str) -> str:
    """Return the path of a program of `.venv-infra`; skip the test if it is not installed."""
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{name} is not installed: run `make infra-tools`")
    return str(path)


@dataclass(frozen=True)
class Terraform:
    """The program `terraform` with its folder and environment."""

    program: str
    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )

    def must(self, *arguments: str) -> str:
        """Run a command that must succeed, and return its output."""
        process = self.run(*arguments)
        assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
        return process.stdout


def find_terraform(folder: Path, settings: Path, environment: Mapping[str, str]) -> Terraform:
    """Return Terraform, initialized in a folder; skip the test if it or its provider is missing.

    Args:
        folder: Folder of the root module.
        settings: Path of the configuration file to write.
        environment: Environment variables for AWS.
    """
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not on PATH")
    user_settings = os.environ.get("TF_CLI_CONFIG_FILE")
    if user_settings and Path(user_settings).is_file():
        settings = Path(user_settings)
    elif (mirror := _find_mirror()) is not None:
        settings.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
        )
    else:
        settings.touch()
    terraform = Terraform(
        program,
        folder,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(settings.parent),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            **environment,
        },
    )
    init = terraform.run("init", "-no-color")
    if any(text in init.stderr for text in _NO_PROVIDER):
        pytest.skip(f"terraform cannot install its provider: {init.stderr.strip()[-300:]}")
    assert init.returncode == 0, init.stderr
    return terraform


def _find_mirror() -> Path | None:
    """Return a local folder with the layout of a Terraform provider mirror, or None."""
    for top in sorted(Path("/").iterdir()):
        if top.name not in ("proc", "sys", "dev") and top.is_dir():
            for provider in (*top.glob(_HOST), *top.glob(f"*/{_HOST}")):
                return provider.parents[2]
    return None
