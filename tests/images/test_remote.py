"""Builds of images by CodeBuild: the context, the commands and the price."""

from __future__ import annotations

import json
import shlex
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flowyml_aws.aws.codebuild import Build
from flowyml_aws.aws.registry import Repository
from flowyml_aws.images.client_package import ClientPackage
from flowyml_aws.images.project import ProjectImage
from flowyml_aws.images.recipe import ImageRecipe
from flowyml_aws.images.remote import build_price, buildspec, context_archive
from flowyml_aws.images.remote_build import RemoteBuilder, failure
from flowyml_aws.images.requirements.lines import Requirements
from flowyml_aws.local.directory import DirectoryArtifactStore

REPOSITORY = Repository.parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/flowyml-main")
BASE = "docker.io/library/python:3.12-slim-trixie"


def image(**arguments: str) -> ProjectImage:
    recipe = ImageRecipe(
        python="3.12",
        dockerfile="FROM scratch\n",
        scripts={"layers.py": "print()\n"},
        arguments={"BASE_IMAGE": BASE, **arguments},
        requirements=Requirements(("numpy==2.1.3",), (), "requirements.txt"),
        package=ClientPackage("1.2.3"),
    )
    return ProjectImage(recipe, REPOSITORY)


def spec(built: ProjectImage) -> Any:
    return json.loads(buildspec(built.recipe, REPOSITORY, built.uri))


def test_the_context_has_the_files_of_a_local_build_and_no_others(tmp_path: Path) -> None:
    recipe = image().recipe
    recipe.write_context(tmp_path)
    with zipfile.ZipFile(BytesIO(context_archive(recipe))) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    local = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {name: path.read_bytes() for name, path in local.items()}


def test_equal_images_have_equal_contexts() -> None:
    assert context_archive(image().recipe) == context_archive(image().recipe)


def test_a_build_has_the_arguments_of_a_local_one_whatever_they_contain() -> None:
    built = image(PYTHON_IMAGE="a'b $(id)")
    commands = spec(built)["phases"]["build"]["commands"]
    (command,) = (line for line in commands if "docker build " in line)
    with_buildx, without = command.split(" else ")
    for line in (with_buildx.rpartition("then ")[2][:-1], without.removesuffix("; fi")):
        words = shlex.split(line)
        assert words[words.index("--tag") + 1] == built.uri
        assert words[words.index("--platform") + 1] == "linux/amd64"
        assert [f"BASE_IMAGE={BASE}", "PYTHON_IMAGE=a'b $(id)"] == [
            words[n + 1] for n, word in enumerate(words) if word == "--build-arg"
        ]
        assert words[-1] == "."
    assert "oci-mediatypes=false" in with_buildx
    assert commands[-1] == f"docker push {built.uri}"


def test_a_build_writes_no_attestations_and_manifests_in_dockers_format() -> None:
    variables = spec(image())["env"]["variables"]
    assert variables["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
    assert variables["BUILDAH_FORMAT"] == "docker"


def test_started_minutes_are_billed() -> None:
    price = build_price()
    assert [price.of(seconds) for seconds in (1, 60, 61)] == [
        price.usd_minute,
        price.usd_minute,
        2 * price.usd_minute,
    ]
    assert str(price).startswith("$0.01 per minute, at most $0.60 (60 minutes)")


def ended(status: str, *lines: str) -> Build:
    return Build("p:1", status, "COMPLETED", "g", "s", 61.0, "BUILD: exit status 1", lines)


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (ended("FAILED", "No matching distribution found for nump"), "correct the requirements"),
        (ended("FAILED", "toomanyrequests: rate limit"), f"public.ecr.aws/docker/{BASE[10:]}"),
        (ended("FAILED", "CERTIFICATE_VERIFY_FAILED"), "set `ca_certificates`"),
        (ended("FAILED", "exit code: 137"), "run out of memory"),
        (ended("TIMED_OUT", "Collecting torch"), "fewer or smaller packages"),
    ],
)
def test_a_failure_has_the_end_of_the_log_and_a_fix(build: Build, fix: str) -> None:
    error = failure(image(), build)
    assert build.log_tail[0] in error.why
    assert fix in error.fix


class Fake:
    """CodeBuild and CloudWatch Logs, with a build that never ends."""

    def __init__(self, stop_error: Exception | None = None) -> None:
        self.started: dict[str, Any] = {}
        self.stopped: list[str] = []
        self.stop_error = stop_error

    def start_build(self, **request: Any) -> dict[str, Any]:
        self.started = request
        return {"build": {"id": "p:1", "buildStatus": "IN_PROGRESS", "currentPhase": "QUEUED"}}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        return {"builds": [{"id": ids[0], "buildStatus": "IN_PROGRESS", "currentPhase": "BUILD"}]}

    def stop_build(self, id: str) -> None:
        if self.stop_error is not None:
            raise self.stop_error
        self.stopped.append(id)


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def interrupted(fake: Fake, folder: Path) -> list[str]:
    """Build an image until an interrupt, and return what the user sees."""
    said: list[str] = []
    store = DirectoryArtifactStore(folder)
    builder = RemoteBuilder(fake, fake, store, "project", 3.0, interrupt, said.append)
    with pytest.raises(KeyboardInterrupt):
        builder.build(image())
    return said


def test_an_interrupted_build_is_stopped(tmp_path: Path) -> None:
    fake = Fake()
    said = interrupted(fake, tmp_path)
    assert fake.stopped == ["p:1"]
    assert said[-1] == "build p:1 was stopped"


def test_a_build_that_can_not_be_stopped_is_reported_with_the_command_that_stops_it(
    tmp_path: Path,
) -> None:
    fake = Fake(EndpointConnectionError(endpoint_url="https://codebuild"))
    said = interrupted(fake, tmp_path)
    assert "aws codebuild stop-build --id p:1" in said[-1]


def test_the_context_is_stored_once_under_its_digest(tmp_path: Path) -> None:
    fake = Fake()
    for _ in range(2):
        interrupted(fake, tmp_path)
    (entry,) = DirectoryArtifactStore(tmp_path).walk("code/contexts/")
    assert fake.started["sourceLocationOverride"].endswith(f"/{entry.key}")
