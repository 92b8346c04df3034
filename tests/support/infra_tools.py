"""The programs that check `infra/`, or why a test that needs one is skipped."""

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
_TIMEOUT_S = 600


def tool(name: str) -> str:
    """The path of a program of `.venv-infra`; skips where there is none."""
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{name} is not installed: `make infra-tools` brings it")
    return str(path)


@dataclass(frozen=True)
class Terraform:
    """The program, in a folder, with the environment that it gets."""

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
        """What it prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


def find_terraform(folder: Path, settings: Path, environment: Mapping[str, str]) -> Terraform:
    """Terraform with its provider, initialised in a folder; skips where either can't be had.

    Args:
        folder: Of the root module.
        settings: Where its own configuration is written.
        environment: AWS's variables.
    """
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("there is no program terraform on PATH")
    own = os.environ.get("TF_CLI_CONFIG_FILE")
    if own and Path(own).is_file():
        settings = Path(own)
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
    started = terraform.run("init", "-no-color")
    if started.returncode != 0:
        pytest.skip(f"terraform can't get its provider: {started.stderr.strip()[-300:]}")
    return terraform


def _find_mirror() -> Path | None:
    """A folder of this machine that is laid out as a mirror of Terraform's registry."""
    for top in sorted(Path("/").iterdir()):
        if top.name not in ("proc", "sys", "dev") and top.is_dir():
            for found in (*top.glob(_HOST), *top.glob(f"*/{_HOST}")):
                return found.parents[2]
    return None
