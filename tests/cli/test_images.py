"""`flowyml-aws image`, with a substitute for an engine that records its arguments."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.testing import Emulator
from tests.cli.conftest import Cli
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-images")]

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-emulator"
HOST = REPOSITORY.partition("/")[0]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

PUSH = f"""
import boto3

boto3.client("ecr").put_image(
    repositoryName="flowyml-emulator",
    imageManifest="{{{{}}}}",
    imageManifestMediaType="{OCI_MANIFEST}",
    imageTag="{{tag}}",
)
"""

DOCKER = r"""#!/bin/sh
echo "$@" >> "$0.calls"
case "$1" in
  buildx)
    test -e "$0.buildx" || exit 1
    case "$2" in
      version) echo 'github.com/docker/buildx v0.29.1' ;;
      build) touch "$0.built" ;;
    esac ;;
  image)
    case "$2" in
      ls) if [ -e "$0.images" ]; then cat "$0.images"; fi ;;
      inspect) test -e "$0.built" ;;
    esac ;;
  tag) touch "$0.built" ;;
  build)
    echo "BUILDAH_FORMAT=$BUILDAH_FORMAT" > "$0.format"
    if [ -e "$0.broken" ]; then cat "$0.broken"; echo 'no such package' >&2; exit 1; fi
    touch "$0.built" ;;
  login) # with Amazon's credential helper
    echo 'Error saving credentials: error storing credentials - err: exit status 1, out: \
`not implemented`' >&2; exit 1 ;;
  push)
    cp -pR "$DOCKER_CONFIG" "$0.config"; echo "$DOCKER_CONFIG" > "$0.folder"
    cmp "$DOCKER_CONFIG/config.json" "$REGISTRY_AUTH_FILE" || exit 1
    env > "$0.environment"
    if [ -e "$0.broken" ]; then echo 'denied: not allowed' >&2; exit 1; fi
    if [ -e "$0.push" ]; then "$0.push"; fi ;;
esac
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> Iterator[BackendRig]:
    """A project on an account with an empty repository."""
    settings = dict(aws.environment)
    del settings["FLOWYML_AWS_IMAGE"]
    del settings["PATH"]  # that of this process, which the fixture `docker` changes
    rig = BackendRig(
        "batch", tmp_path / "project", {**settings, "FLOWYML_AWS_REPOSITORY": REPOSITORY}
    )
    # Each test needs a tag of its own.
    (rig.folder / "requirements.txt").write_text(f"numpy!={tmp_path.stat().st_ino}\n")
    with rig.entered():
        yield rig


@pytest.fixture
def docker(rig: BackendRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with the name `docker`, first on PATH."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def calls(docker: Path) -> list[str]:
    log = Path(f"{docker}.calls")
    lines = log.read_text().splitlines() if log.exists() else []
    return [
        line
        for line in lines
        if not line.startswith(("version", "info", "image", "buildx version"))
    ]


def put_image(aws: Emulator, tag: str, media_type: str = DOCKER_MANIFEST) -> None:
    """Store an image in the repository, as a push does."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1},
        "layers": [],
        "tag": tag,
    }
    aws.client("ecr").put_image(
        repositoryName="flowyml-emulator", imageManifest=json.dumps(manifest), imageTag=tag
    )


def tag(cli: Cli) -> str:
    return str(cli("image", "show", "--json").facts["tag"])


def test_show_names_the_missing_commands(docker: Path, cli: Cli) -> None:
    answer = cli("image", "show")
    assert answer.code == 0
    assert answer.out.startswith(f"{REPOSITORY}:py3.")
    assert "no: run `flowyml-aws image build`" in answer.out
    assert "no: run `flowyml-aws image push`" in answer.out
    assert "requirements.txt: numpy!=" in answer.out


def test_build_builds_once_for_linux_on_amd64(docker: Path, cli: Cli) -> None:
    answer = cli("image", "build")
    assert (answer.code, answer.out[-11:]) == (0, " was built\n")
    assert cli("image", "build", "--json").facts["built"] is False
    (build,) = calls(docker)
    assert build.startswith(f"build --platform linux/amd64 --tag {REPOSITORY}:py3.")
    assert re.search(r"--build-arg PYTHON_VERSION=3\.1\d ", build)


def test_buildx_writes_one_manifest_in_the_format_of_docker(docker: Path, cli: Cli) -> None:
    Path(f"{docker}.buildx").touch()
    assert cli("image", "build").code == 0
    (build,) = calls(docker)
    options = "--provenance=false --output type=docker,oci-mediatypes=false"
    assert build.startswith(f"buildx build {options} --platform linux/amd64 --tag {REPOSITORY}:")


def test_podman_writes_manifests_in_the_format_of_docker(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    # A Docker without a daemon is not used.
    podman = docker.with_name("podman")
    docker.rename(podman)
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    answer = cli("image", "push")
    assert answer.code == 0, answer.err
    assert Path(f"{podman}.format").read_text() == "BUILDAH_FORMAT=docker\n"
    build, push = (call for call in calls(podman) if call.startswith(("build ", "push ")))
    assert " --pull=newer " in build  # the local image if the registry can't be reached
    address = aws.endpoint_url.removeprefix("http://")
    assert push.startswith(f"push --format v2s2 --tls-verify=false {address}/{REPOSITORY}:")


def test_an_image_with_a_manifest_of_oci_can_be_used_on_batch_only(
    rig: BackendRig, docker: Path, cli: Cli, aws: Emulator
) -> None:
    put_image(aws, tag(cli), OCI_MANIFEST)
    file = str(rig.write("noisy"))
    answer = cli("run", file, "--backend", "sagemaker")
    assert answer.code == 2
    assert "its manifest is not in Docker's format" in answer.err
    assert OCI_MANIFEST in answer.err
    assert "aws ecr batch-delete-image --repository-name flowyml-emulator" in answer.err
    assert aws.training_requests() == {}
    assert cli("run", file, "--backend", "batch").code == 0


# Files in which a project declares packages that an image can't install as they are.
UNREADABLE = {
    "pyproject.toml": "[tool.poetry.dependencies]\npython = '*'\nnumpy = '*'\n",
    "Pipfile": "[packages]\nnumpy = '*'\n",
    "setup.py": "import setuptools\nsetuptools.setup(install_requires=['numpy'])\n",
    "environment.yml": "dependencies: [python, numpy]\n",
    "requirements.in": "numpy\n",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_image_without_the_packages_of_the_project_is_not_built(
    rig: BackendRig, docker: Path, cli: Cli, name: str
) -> None:
    (rig.folder / "requirements.txt").unlink()
    (rig.folder / name).write_text(UNREADABLE[name])
    for command in ("build", "push", "show"):
        answer = cli("image", command)
        assert answer.code == 2
        assert name in answer.err
        assert "image_requirements" in answer.err
    assert calls(docker) == []


def test_an_image_of_a_project_that_declares_no_packages_is_built(
    rig: BackendRig, docker: Path, cli: Cli
) -> None:
    (rig.folder / "requirements.txt").unlink()
    assert "nothing: the project declares no packages" in cli("image", "show").out
    assert cli("image", "build").code == 0


def test_a_dry_run_calls_no_engine(docker: Path, cli: Cli) -> None:
    assert cli("image", "build", "--dry-run").out.endswith(" would be built\n")
    assert cli("image", "push", "--dry-run").out.endswith(" would be pushed\n")
    assert calls(docker) == []


@pytest.mark.parametrize(
    "helpers", [{"credsStore": "ecr-login"}, {"credHelpers": {HOST: "ecr-login"}}]
)
def test_push_needs_no_docker_login_which_amazons_credential_helper_refuses(
    helpers: dict[str, Any],
    docker: Path,
    cli: Cli,
    aws: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path / "docker-config"
    (own / "contexts/meta").mkdir(parents=True)
    (own / "contexts/meta/colima").touch()
    kept = {"currentContext": "colima", "proxies": {"default": {"httpProxy": "http://proxy"}}}
    text = json.dumps({"auths": {"example.com": {"auth": "b3duOnNlY3JldA=="}}, **helpers, **kept})
    (own / "config.json").write_text(text)
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", "registries.conf")  # of podman

    answer = cli("image", "push", "--json")

    assert answer.code == 0, answer.err
    assert (answer.facts["built"], answer.facts["pushed"]) == (True, True)
    build, *pushed = calls(docker)
    assert build.startswith("build ")
    image, address = answer.facts["image"], aws.endpoint_url.removeprefix("http://")
    # The name is AWS's, the address is the emulator's.
    assert pushed == [
        f"tag {image} {address}/{image}",
        f"push {address}/{image}",
        f"rmi {address}/{image}",
    ]
    used = Path(f"{docker}.config")
    configuration = json.loads((used / "config.json").read_text())
    token = configuration.pop("auths")[address]["auth"]
    assert base64.b64decode(token).decode().startswith("AWS:")
    assert configuration == kept
    assert (used / "contexts/meta/colima").exists()
    assert (used / "config.json").stat().st_mode & 0o077 == 0
    assert not Path(Path(f"{docker}.folder").read_text().strip()).exists()
    assert (own / "config.json").read_text() == text
    assert (
        "CONTAINERS_REGISTRIES_CONF=registries.conf\n" in Path(f"{docker}.environment").read_text()
    )
    for file in ("calls", "environment"):
        assert token not in Path(f"{docker}.{file}").read_text()
    assert token not in answer.out + answer.err


def test_a_login_that_aws_denies_costs_no_build(docker: Path, cli: Cli) -> None:
    statement = {"Effect": "Deny", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    # Not by requests, because policies that they change take effect after a delay.
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    iam.put_role_policy("flowyml-emulator-user", "no-login", document)
    try:
        answer = cli("image", "push")
    finally:
        iam.delete_role_policy("flowyml-emulator-user", "no-login")
    assert answer.code == 3
    assert "Can't log in to" in answer.err
    assert calls(docker) == []


@pytest.mark.parametrize(
    "name", ["localhost/flowyml-aws", "999999999999.dkr.ecr.eu-west-1.example/x"]
)
def test_an_image_built_under_another_name_is_found_and_not_built_again(
    name: str, docker: Path, cli: Cli
) -> None:
    image = f"{name}:{tag(cli)}"
    Path(f"{docker}.images").write_text(f"<none>:<none>\nother:1\n{image}\n")
    show = cli("image", "show")
    assert f"yes, as {image}" in show.out
    assert cli("image", "show", "--json").facts["on_this_machine"] is True
    assert cli("image", "build", "--json").facts["built"] is False
    assert calls(docker) == [f"tag {image} {REPOSITORY}:{tag(cli)}"]


def test_a_push_that_stored_a_manifest_of_oci_is_a_warning_with_the_fix(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    uri = f"{REPOSITORY}:{tag(cli)}"
    push = Path(f"{docker}.push")
    push.write_text(f"#!{sys.executable}\n{PUSH.format(tag=uri.rpartition(':')[2])}")
    push.chmod(0o755)
    answer = cli("image", "push")
    assert answer.code == 0
    assert f"warning: SageMaker can't use the image {uri}" in answer.err
    assert "run `flowyml-aws image push`" in answer.err


def test_an_image_in_the_repository_is_neither_built_nor_pushed(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    put_image(aws, tag(cli))
    answer = cli("image", "push")
    assert answer.out.endswith(" already exists in the repository\n")
    assert calls(docker) == []
    assert cli("image", "show", "--json").facts["repository"]["digest"].startswith("sha256:")


def test_a_failed_build_is_reported_and_nothing_is_pushed(docker: Path, cli: Cli) -> None:
    Path(f"{docker}.broken").touch()
    answer = cli("image", "push")
    assert answer.code == 2
    assert "Can't build the image" in answer.err
    assert [line.partition(" ")[0] for line in calls(docker)] == ["build"]


@pytest.mark.parametrize("is_broken", [False, True])
def test_the_images_of_the_build_stage_are_removed_also_after_a_failed_build(
    is_broken: bool, docker: Path, cli: Cli
) -> None:
    if is_broken:
        Path(f"{docker}.broken").touch()
    assert cli("image", "build").code == (2 if is_broken else 0)
    lines = Path(f"{docker}.calls").read_text().splitlines()
    (build,) = re.findall("--build-arg FLOWYML_BUILD=([0-9a-f]+) ", "\n".join(lines))
    prunes = [line for line in lines if line.startswith("image prune")]
    # Those of this build, and those of builds that were killed: never images of anything else.
    assert prunes == [
        f"image prune --force --filter label=flowyml-aws.stage={build}",
        "image prune --force --filter label=flowyml-aws.stage --filter until=24h",
    ]


def test_a_build_that_does_not_trust_a_certificate_suggests_the_setting(
    docker: Path, cli: Cli
) -> None:
    Path(f"{docker}.broken").write_text(
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
    )
    answer = cli("image", "build")
    assert answer.code == 2
    assert "fix: if your company has its own certificate authority" in answer.err
    assert "set `ca_certificates` to a file" in answer.err


def test_the_output_of_a_build_is_shown(docker: Path, rig: BackendRig) -> None:
    Path(f"{docker}.broken").write_text("Step 1\n")
    code, out, err = rig.command("image", "build")
    assert (code, out) == (2, "")
    assert "Step 1\nno such package\n" in err


@pytest.mark.parametrize(
    ("base", "options"), [("", ["--pull"]), ("gpu", ["--pull"]), ("localhost/own:1", [])]
)
def test_a_newer_base_image_is_pulled_unless_the_settings_name_one(
    base: str, options: list[str], docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_BASE_IMAGE", base)
    assert cli("image", "build").code == 0
    (build,) = calls(docker)
    assert [word for word in build.split() if word.startswith("--pull")] == options


def test_a_denied_push_is_reported_with_the_message_of_the_registry(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    assert cli("image", "build").code == 0
    Path(f"{docker}.broken").touch()
    answer = cli("image", "push")
    assert answer.code == 2
    assert "why: denied: not allowed" in answer.err
    assert f"fix: if {aws.endpoint_url.removeprefix('http://')} denied the push" in answer.err


def test_without_docker_and_podman_the_error_names_the_package_to_install(
    rig: BackendRig, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = cli("image", "build")
    assert answer.code == 2
    assert "docker is not on PATH; podman is not on PATH" in answer.err
    assert "install podman" in answer.err
    assert "unknown: neither Docker nor podman" in cli("image", "show").out


def test_push_without_a_repository_names_the_missing_setting(
    rig: BackendRig, docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_REPOSITORY")
    answer = cli("image", "push")
    assert answer.code == 2
    assert "No repository to push the image to" in answer.err
    assert "the setting `repository` is not set" in answer.err
    assert cli("image", "show").out.startswith("localhost/flowyml-aws:py3.")


def test_an_invalid_repository_is_a_mistake(
    docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_REPOSITORY", "team/jobs")
    answer = cli("image", "push")
    assert answer.code == 2
    assert "Invalid Amazon ECR repository" in answer.err


def test_a_repository_that_does_not_exist_is_a_mistake(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    ecr = aws.client("ecr")
    ecr.delete_repository(repositoryName="flowyml-emulator", force=True)
    answer = cli("image", "push")
    ecr.create_repository(repositoryName="flowyml-emulator")
    assert answer.code == 2
    assert calls(docker) == []
    assert f"Repository {REPOSITORY} does not exist" in answer.err


def test_a_pip_conf_is_passed_to_the_build_as_a_secret(
    docker: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(conf))
    assert f"File not found: {conf}" in cli("image", "build").err
    conf.touch()
    assert cli("image", "build").code == 0
    assert f"--secret id=pip.conf,src={conf} " in calls(docker)[0]


def test_a_plan_names_the_project_s_image_and_notes_that_it_is_not_pushed(
    rig: BackendRig, docker: Path, cli: Cli, aws: Emulator
) -> None:
    file = str(rig.write("noisy"))
    facts = cli("plan", file, "--backend", "batch", "--json").facts
    assert facts["image"] == f"{REPOSITORY}:{tag(cli)}"
    assert any("was not pushed yet: run `flowyml-aws image push`" in n for n in facts["notes"])
    put_image(aws, tag(cli))
    facts = cli("plan", file, "--backend", "batch", "--json").facts
    assert f"jobs run in the project's image {facts['image']} (requirements.txt)" in facts["notes"]


def test_a_run_is_refused_until_the_image_is_pushed(
    rig: BackendRig, docker: Path, cli: Cli, aws: Emulator
) -> None:
    file = str(rig.write("noisy"))
    answer = cli("run", file, "--backend", "batch")
    assert answer.code == 2
    assert f"The project's image {REPOSITORY}:{tag(cli)} was not pushed yet" in answer.err
    assert "flowyml-aws image push" in answer.err
    put_image(aws, tag(cli))
    assert cli("run", file, "--backend", "batch", "--no-cache").code == 0
    definitions = aws.client("batch").describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    used = {definition["containerProperties"]["image"] for definition in definitions}
    assert f"{REPOSITORY}:{tag(cli)}" in used


def test_the_image_of_the_settings_replaces_the_project_s_image(
    rig: BackendRig, docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_IMAGE", "example/own:1")
    file = str(rig.write("noisy"))
    facts = cli("plan", file, "--backend", "batch", "--json").facts
    assert facts["image"] == "example/own:1"
    assert not any("image" in note for note in facts["notes"])
    assert "jobs use example/own:1 instead" in cli("image", "show").out


STORE_IMAGE = f"""#!{sys.executable}
import json, sys
import boto3

manifest = {{"schemaVersion": 2, "mediaType": "{DOCKER_MANIFEST}", "layers": [],
    "config": {{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1}},
    "tag": "TAG"}}
boto3.client("ecr").put_image(
    repositoryName="flowyml-emulator", imageManifest=json.dumps(manifest), imageTag="TAG"
)
"""


def test_codebuild_builds_and_pushes_an_image_once(
    docker: Path, cli: Cli, aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tag(cli)
    push = Path(f"{docker}.push")
    push.write_text(STORE_IMAGE.replace("TAG", name))
    push.chmod(0o755)
    aws.guard.denials.clear()

    answer = cli("image", "build", "--remote", "--json")

    assert answer.code == 0, answer.err
    assert (answer.facts["built"], answer.facts["pushed"]) == (True, True)
    assert answer.facts["cost_usd"] == 0.01
    assert answer.facts["repository"]["digest"].startswith("sha256:")
    assert "costs $0.01 per minute, at most $0.60 (60 minutes)" in answer.err
    assert "Login Succeeded" in answer.err  # the log of the build
    build = next(call for call in calls(docker) if call.startswith("build "))
    assert f"--tag {REPOSITORY}:{name} " in build
    # With the roles of the account; the client needs no engine.
    assert [str(denial) for denial in aws.guard.denials] == []
    used = {need.action for need in aws.guard.used["flowyml-emulator-builds"]}
    assert {"s3:GetObject", "logs:PutLogEvents", "ecr:GetAuthorizationToken"} <= used
    monkeypatch.setenv("PATH", "")
    again = cli("image", "build", "--remote", "--json").facts
    assert (again["built"], again["build"]) == (False, None)
    assert cli("image", "build", "--remote").out.endswith(" already exists in the repository\n")


def test_a_failed_build_of_codebuild_shows_the_end_of_its_log(docker: Path, cli: Cli) -> None:
    Path(f"{docker}.broken").write_text("ERROR: No matching distribution found for nump\n")
    answer = cli("image", "build", "--remote")
    assert answer.code == 2
    assert "CodeBuild can't build the image" in answer.err
    assert "| ERROR: No matching distribution found for nump" in answer.err
    assert "correct the requirements" in answer.err


def test_an_emulator_without_an_engine_says_why_a_build_fails(
    docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    answer = cli("image", "build", "--remote")
    assert answer.code == 2
    assert "the emulator can't build images here: docker is not on PATH" in answer.err


def test_a_remote_build_is_never_replaced_by_a_local_one(
    docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_BUILD_PROJECT", "missing")
    answer = cli("image", "build", "--remote")
    assert answer.code == 3
    monkeypatch.delenv("FLOWYML_AWS_BUILD_PROJECT")
    answer = cli("image", "build", "--remote")
    assert answer.code == 2
    assert "Setting `build_project` is missing" in answer.err
    assert "the option `remote_builds` of infra/" in answer.err
    assert calls(docker) == []


def test_no_secret_is_uploaded_for_a_remote_build(
    docker: Path, cli: Cli, aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://user:password@example.com/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(conf))
    aws.calls.clear()
    answer = cli("image", "build", "--remote")
    assert answer.code == 2
    assert "nothing secret is uploaded" in answer.err
    assert not {"PutObject", "StartBuild"} & {call.operation for call in aws.calls}


def test_a_dry_run_of_a_remote_build_names_its_price_and_starts_nothing(
    docker: Path, cli: Cli, aws: Emulator
) -> None:
    aws.calls.clear()
    answer = cli("image", "build", "--remote", "--dry-run")
    assert "for $0.01 per minute, at most $0.60" in answer.out
    assert cli("image", "build", "--remote", "--dry-run", "--json").facts["max_cost_usd"] == 0.6
    assert not {"PutObject", "StartBuild"} & {call.operation for call in aws.calls}


def test_without_an_engine_the_error_names_the_way_to_build_in_aws(
    docker: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    for command in ("build", "push"):
        answer = cli("image", command)
        assert answer.code == 2
        assert "`flowyml-aws image build --remote`" in answer.err
