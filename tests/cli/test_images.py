"""`flowyml-aws image`, with a stand-in for Docker that writes down what it is asked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.testing import Emulator
from tests.cli.conftest import Cli
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-images")]

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/jobs"

DOCKER = """#!/bin/sh
echo "$@" >> "$0.asked"
case "$1" in
  image) test -e "$0.built" ;;
  build) if [ -e "$0.broken" ]; then echo 'no such package' >&2; exit 1; fi; touch "$0.built" ;;
  login) cat > "$0.stdin" ;;
  push) if [ -e "$0.broken" ]; then echo 'denied: not allowed' >&2; exit 1; fi ;;
esac
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        aws.client("ecr").create_repository(repositoryName="team/jobs")
        yield aws


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> Iterator[BackendRig]:
    """A project of an account with a repository, and nothing in it."""
    settings = dict(aws.environment)
    del settings["FLOWYML_AWS_IMAGE"]
    rig = BackendRig(
        "batch", tmp_path / "project", {**settings, "FLOWYML_AWS_REPOSITORY": REPOSITORY}
    )
    # Another tag than that of other tests.
    (rig.folder / "requirements.txt").write_text(f"numpy!={tmp_path.stat().st_ino}\n")
    with rig.entered():
        yield rig


@pytest.fixture
def docker(rig: BackendRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is called docker and is the first on PATH."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def asked(docker: Path) -> list[str]:
    log = Path(f"{docker}.asked")
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if not line.startswith(("version", "image"))]


def put(aws: Emulator, tag: str) -> None:
    """As if the image was pushed."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1},
        "layers": [],
        "tag": tag,
    }
    aws.client("ecr").put_image(
        repositoryName="team/jobs", imageManifest=json.dumps(manifest), imageTag=tag
    )


def tag(cli: Cli) -> str:
    return str(cli("image", "show", "--json").facts["tag"])


def test_show_says_what_is_missing(docker: Path, cli: Cli) -> None:
    answer = cli("image", "show")
    assert answer.code == 0
    assert answer.out.startswith(f"{REPOSITORY}:py3.")
    assert "no: `flowyml-aws image build`" in answer.out
    assert "no: `flowyml-aws image push`" in answer.out
    assert "requirements.txt: numpy!=" in answer.out


def test_build_builds_once_for_linux_on_amd64(docker: Path, cli: Cli) -> None:
    answer = cli("image", "build")
    assert (answer.code, answer.out[-11:]) == (0, " was built\n")
    assert cli("image", "build", "--json").facts["built"] is False
    (build,) = asked(docker)
    assert build.startswith(f"build --platform linux/amd64 --tag {REPOSITORY}:py3.")
    assert re.search(r"--build-arg PYTHON_VERSION=3\.1\d ", build)


def test_a_dry_run_asks_for_nothing(docker: Path, cli: Cli) -> None:
    assert cli("image", "build", "--dry-run").out.endswith(" would be built\n")
    assert cli("image", "push", "--dry-run").out.endswith(" would be pushed\n")
    assert asked(docker) == []


def test_push_builds_logs_in_and_pushes_with_the_password_through_a_pipe(
    docker: Path, cli: Cli
) -> None:
    answer = cli("image", "push", "--json")
    assert answer.code == 0, answer.err
    assert (answer.facts["built"], answer.facts["pushed"]) == (True, True)
    build, login, push = asked(docker)
    assert build.startswith("build ")
    host = REPOSITORY.partition("/")[0]
    assert login == f"login --username AWS --password-stdin {host}"
    assert push == f"push {answer.facts['image']}"
    password = Path(f"{docker}.stdin").read_text()
    assert password
    assert password not in Path(f"{docker}.asked").read_text()
    assert password not in answer.out + answer.err


def test_what_lies_in_the_repository_is_neither_built_nor_pushed(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    put(aws, tag(cli))
    answer = cli("image", "push")
    assert answer.out.endswith(" is in the repository already\n")
    assert asked(docker) == []
    assert cli("image", "show", "--json").facts["repository"]["digest"].startswith("sha256:")


def test_a_build_that_fails_is_told_and_nothing_is_pushed(docker: Path, cli: Cli) -> None:
    Path(f"{docker}.broken").touch()
    answer = cli("image", "push")
    assert answer.code == 2
    assert "Can't build the image" in answer.err
    assert [line.partition(" ")[0] for line in asked(docker)] == ["build"]


def test_a_push_that_is_denied_is_told_in_the_registry_s_words(docker: Path, cli: Cli) -> None:
    assert cli("image", "build").code == 0
    Path(f"{docker}.broken").touch()
    answer = cli("image", "push")
    assert answer.code == 2
    assert "denied: not allowed" in answer.err


def test_without_docker_and_podman_it_says_what_to_install(
    rig: BackendRig, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = cli("image", "build")
    assert answer.code == 2
    assert "docker is not on PATH; podman is not on PATH" in answer.err
    assert "install podman" in answer.err
    assert "unknown: neither Docker nor podman" in cli("image", "show").out


def test_without_a_repository_push_says_which_setting_is_missing(
    rig: BackendRig, docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_REPOSITORY")
    answer = cli("image", "push")
    assert answer.code == 2
    assert "no repository to push the image to" in answer.err
    assert cli("image", "show").out.startswith("localhost/flowyml-aws:py3.")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("team/jobs", "Invalid Amazon ECR repository"),
        (REPOSITORY.replace("jobs", "other"), "does not exist"),
    ],
)
def test_a_wrong_repository_is_told(
    docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, uri: str, told: str
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_REPOSITORY", uri)
    answer = cli("image", "push")
    assert answer.code == 2
    assert told in answer.err


def test_a_pip_conf_goes_to_the_build_as_a_secret(
    docker: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(conf))
    assert "there is no such file" in cli("image", "build").err
    conf.touch()
    assert cli("image", "build").code == 0
    assert f"--secret id=pip.conf,src={conf} " in asked(docker)[0]


def test_a_plan_names_the_project_s_image_and_what_is_missing(
    rig: BackendRig, docker: Path, cli: Cli, aws: Emulator
) -> None:
    file = str(rig.write("noisy"))
    facts = cli("plan", file, "--backend", "batch", "--json").facts
    assert facts["image"] == f"{REPOSITORY}:{tag(cli)}"
    assert any("was not pushed yet: run `flowyml-aws image push`" in n for n in facts["notes"])
    put(aws, tag(cli))
    facts = cli("plan", file, "--backend", "batch", "--json").facts
    assert f"jobs run in the project's image {facts['image']} (requirements.txt)" in facts["notes"]


def test_a_run_is_refused_before_submission_until_the_image_is_there(
    rig: BackendRig, docker: Path, cli: Cli, aws: Emulator
) -> None:
    file = str(rig.write("noisy"))
    answer = cli("run", file, "--backend", "batch")
    assert answer.code == 2
    assert f"The project's image {REPOSITORY}:{tag(cli)} was not pushed yet" in answer.err
    assert "flowyml-aws image push" in answer.err
    put(aws, tag(cli))
    assert cli("run", file, "--backend", "batch").code == 0
    definitions = aws.client("batch").describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    used = {definition["containerProperties"]["image"] for definition in definitions}
    assert f"{REPOSITORY}:{tag(cli)}" in used


def test_an_image_that_the_settings_name_is_used_instead(
    rig: BackendRig, docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_IMAGE", "example/own:1")
    file = str(rig.write("noisy"))
    facts = cli("plan", file, "--backend", "batch", "--json").facts
    assert facts["image"] == "example/own:1"
    assert not any("image" in note for note in facts["notes"])
    assert "jobs run in example/own:1 instead" in cli("image", "show").out
