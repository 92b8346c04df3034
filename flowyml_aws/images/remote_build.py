"""A build of a project's image by AWS CodeBuild, from its context to the image in the repository.

Not yet run on AWS.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.layout import build_context_key
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.codebuild import Build, describe_build, start_build, stop_build
from flowyml_aws.aws.log_streams import read_streams
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError
from flowyml_aws.images.project import ProjectImage
from flowyml_aws.images.remote import COMPUTE_TYPE, LIMIT_MIN, buildspec, context_archive
from flowyml_aws.runtime.certificates import UNTRUSTED_FIX, is_untrusted

__all__ = ["RemoteBuilder", "failure"]

_TAIL_LINES = 15
_DOCKER_HUB_LIMIT = "toomanyrequests"  # https://docs.docker.com/docker-hub/usage/pulls/
_MEMORY_SIGNS = ("Killed", "MemoryError", "exit code: 137")


@dataclass(frozen=True, slots=True)
class RemoteBuilder:
    """Builds images with a project of CodeBuild.

    Attributes:
        codebuild: Client of CodeBuild.
        logs: Client of CloudWatch Logs.
        store: Store of the account, which gets the contexts.
        project: Name of the project.
        poll_s: Seconds between two polls of a build.
        sleep: Waits for a number of seconds.
        say: Called with each line for the user: of the build's log, and about its state.
    """

    codebuild: Any
    logs: Any
    store: ArtifactStore
    project: str
    poll_s: float
    sleep: Callable[[float], None]
    say: Callable[[str], None]

    def build(self, image: ProjectImage) -> Build:
        """Build an image, push it to its repository, and return the build that has ended.

        If this is interrupted, the build is stopped.

        Raises:
            FlowymlError: The wheel of flowyml_aws can't be built.
            SettingsError: The project does not exist.
            AwsRefusedError: AWS denied a call.
        """
        assert image.repository is not None
        archive = context_archive(image.recipe)
        spec = buildspec(image.recipe, image.repository, image.uri)
        return self.run(image.uri, archive, spec, LIMIT_MIN)

    def run(self, name: str, archive: bytes, spec: str, limit_min: int) -> Build:
        """Run the commands of a build on a context, and return the build that has ended.

        Args:
            name: Name of the image, for the user.
            archive: Context as a zip file.
            spec: Commands of the build, as JSON.
            limit_min: Time limit in minutes.

        Raises:
            SettingsError: The project does not exist.
            AwsRefusedError: AWS denied a call.
        """
        key = build_context_key(hashlib.sha256(archive).hexdigest())
        self.store.upload(key, Content(archive))
        build = start_build(
            self.codebuild,
            self.project,
            f"{self.store.uri.removeprefix('s3://')}/{key}",
            spec,
            uuid4().hex,
            compute_type=COMPUTE_TYPE,
            timeout_min=limit_min,
        )
        self.say(f"CodeBuild builds {name}: build {build.id}")
        try:
            return self._follow(build)
        except BaseException:
            self._stop(build.id)
            raise

    def _follow(self, build: Build) -> Build:
        """Show the log of a build until its end. Return the build with the end of its log."""
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        cursor: str | None = None
        phase = ""
        while True:
            build = describe_build(self.codebuild, build.id)
            if build.phase != phase and build.is_running:
                phase = build.phase
                self.say(f"[{phase.lower().replace('_', ' ')}]")
            if build.log_group and build.log_stream:
                lines, cursor = read_streams(
                    self.logs, "image build", build.log_group, (build.log_stream,), cursor, 0
                )
                for line in lines:
                    text = line.message.rstrip("\n")
                    tail.append(text)
                    self.say(text)
            if not build.is_running:
                return build.with_tail(tuple(tail))
            self.sleep(self.poll_s)

    def _stop(self, build_id: str) -> None:
        try:
            stop_build(self.codebuild, build_id)
        except AwsRefusedError as error:
            self.say(
                f"build {build_id} could not be stopped and may continue ({error.why}): "
                f"`aws codebuild stop-build --id {build_id}` stops it"
            )
        else:
            self.say(f"build {build_id} was stopped")


def failure(image: ProjectImage, build: Build) -> FlowymlError:
    """Return the error for a build that has not succeeded, with the end of its log."""
    limit = f"reached its time limit of {LIMIT_MIN} minutes"
    ended = {"TIMED_OUT": limit, "STOPPED": "was stopped"}
    reason = build.problem or "its log has no reason"
    log = "".join(f"\n  | {line}" for line in build.log_tail)
    return FlowymlError(
        what=f"CodeBuild can't build the image {image.uri}",
        why=f"the build {build.id} {ended.get(build.status, 'failed')}: {reason}{log}",
        fix=_fix(image, build),
    )


def _fix(image: ProjectImage, build: Build) -> str:
    output = "\n".join((build.problem, *build.log_tail))
    if is_untrusted(output):
        return UNTRUSTED_FIX
    if _DOCKER_HUB_LIMIT in output:
        return (
            "Docker Hub limits pulls by address, and builds of CodeBuild share theirs: try again "
            f"later, or set `base_image` to a copy in another registry{_copy_of(image.recipe.base)}"
        )
    if build.status == "TIMED_OUT":
        return "require fewer or smaller packages, or build the image with Docker or podman"
    if any(sign in output for sign in _MEMORY_SIGNS):
        return "the build has probably run out of memory: build the image with Docker or podman"
    return "correct the requirements that the log names, and run the command again"


def _copy_of(base: str) -> str:
    """Return the name of Amazon's copy of an official image, as the end of a sentence."""
    _, official, name = base.partition("docker.io/library/")
    return f': "public.ecr.aws/docker/library/{name}"' if official else ""
