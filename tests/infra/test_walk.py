"""`docs/getting-started.md`, walked: its commands run in order, as they are on the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flowyml_aws.images.engine import Engine
from tests.containers.conftest import BASE, engine
from tests.support.getting_started import NOT_RUN, PAGE, block, commands
from tests.support.infra import INFRA
from tests.support.infra_tools import find_terraform
from tests.support.rigs import HERMETIC, eventually

__all__ = ["engine"]

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("containers")]

CHECKOUT = INFRA.parent
LONG_S = 600
INSTALL, WITHOUT_ACCOUNT = "Install", "Without an account"


@dataclass
class Terminal:
    """A shell in which commands run one after the other, with its variables and folder."""

    folder: Path
    environment: Mapping[str, str]
    settings: list[str] = field(default_factory=list)

    def run(self, command: str, folder: Path | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """Run a command after the commands of `settings`, and return its output."""
        done = subprocess.run(
            ["bash", "-c", "\n".join(["set -e", *self.settings, f"cd {folder or '.'}", command])],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG_S,
        )
        assert done.returncode in ok, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user whose programs are those of the tests."""
    names = ("CONTAINERS_CONF", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "SSL_CERT_FILE")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), **HERMETIC, **kept}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Function that starts the emulator with a command of the page, and waits until it is ready."""
    processes = []

    def start(command: str) -> None:
        log = tmp_path / "emulator.log"
        with log.open("w") as err:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=tmp_path,
                env=environment(tmp_path),
                stderr=err,
            )
        processes.append(process)
        eventually(lambda: process.poll() is not None or "Ready at" in log.read_text(), "the start")
        assert process.poll() is None, log.read_text()

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def test_the_package_is_installed_as_the_page_says(tmp_path: Path) -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, files):
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, target, follow_symlinks=False)
    lines = [command.text for command in commands() if command.section == INSTALL]
    assert lines[-1].startswith("pip install ")
    done = subprocess.run(
        ["bash", "-ec", "\n".join([*lines, "flowyml-aws emulate --help"])],
        cwd=tmp_path / "checkout",
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    if done.returncode and re.search("No matching distribution|ConnectionError", done.stderr):
        pytest.skip(f"no package index: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "--job-images" in re.sub(r"\x1b\[[\d;]*m", "", done.stdout)


def test_every_command_runs_in_order_on_the_emulator(
    engine: Engine, tmp_path: Path, start: Callable[[str], None]
) -> None:
    shutil.copytree(
        INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
    )
    root = tmp_path / "infra/terraform/example"
    terraform = find_terraform(root, tmp_path / "terraformrc", {})
    if shutil.which("aws") is None:
        pytest.skip("the AWS CLI is not on PATH")
    project = tmp_path / "project"
    project.mkdir()
    # The registry of the default base image is not available in tests.
    base = f'base_image = "{BASE}"\n'
    (project / "flowyml-aws.toml").write_text(block("toml", 'account = "main"') + base)
    (project / "first.py").write_text(block("python", "# first.py"))
    confirmed = {"TF_CLI_ARGS_apply": "-auto-approve", "TF_IN_AUTOMATION": "1"}
    rc = {"TF_CLI_CONFIG_FILE": terraform.environment["TF_CLI_CONFIG_FILE"]}
    terminal = Terminal(tmp_path, {**environment(tmp_path), **rc, **confirmed})
    emulate, load, *last = [c.text for c in commands() if c.section == WITHOUT_ACCOUNT]
    start(emulate)
    terminal.settings.append(load)
    terminal.run("aws iam create-group --group-name data-science")
    assert "aws iam create-group --group-name data-science" in PAGE
    folders = {"terraform": root}
    for command in commands():
        if command.section in (INSTALL, WITHOUT_ACCOUNT) or command.text in NOT_RUN:
            continue
        text = command.text.replace("ACCOUNT", "123456789012")
        program = text.split()[0]
        if program in ("python3", "."):
            continue  # the environment of CDK, which can't be deployed
        if text == "flowyml-aws doctor":
            # Only the image is missing before step 5.
            report = json.loads(terminal.run(f"{text} --json", project, ok=(1,)))
            errors = [f["code"] for f in report["findings"] if f["level"] == "error"]
            assert errors == ["image-missing"]
            continue
        output = terminal.run(text, folders.get(program, project))
        if text.startswith("flowyml-aws plan"):
            assert "g4dn.xlarge" in output
    assert terminal.run("terraform plan -detailed-exitcode -var name=main", root)
    terminal.run("flowyml-aws doctor", project)
    for text in last:
        assert "succeeded" in terminal.run(text, project)
    (run,) = json.loads(terminal.run("flowyml-aws runs --json", project))
    value = terminal.run(f"flowyml-aws get {run['run_id']} gpu", project)
    assert value.strip().strip("'\"") == "no GPU: this machine has no NVIDIA driver"
    assert "no GPU: this machine has no NVIDIA driver" in PAGE.partition(WITHOUT_ACCOUNT)[2]
