"""The check of a proof that lets CodeBuild build an image, which is not pushed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from flowyml_aws.aws.codebuild import Build
from flowyml_aws.aws.registry import Repository
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.doctor.prove.report import Row, Verdict
from flowyml_aws.images.remote import BuildPrice, archive_of, build_price, login_command
from flowyml_aws.images.remote_build import RemoteBuilder

__all__ = ["build_proof_image", "check_image_build", "proof_price"]

_EXPECTED = "CodeBuild reads a context of the store, logs in to the repository and builds an image"
_LIMIT_MIN = 5
_IMAGE = "flowyml-aws-proof"


def proof_price() -> BuildPrice:
    """Return the price of the build."""
    return build_price(_LIMIT_MIN)


def build_proof_image(builder: RemoteBuilder, repository: Repository) -> Build:
    """Build an image with one small file, and return the build that has ended.

    It is not pushed: users can't delete images.

    Raises:
        FlowymlError: AWS denied a call, or the project does not exist.
    """
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-proof-") as name:
        (Path(name) / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n", "utf-8")
        archive = archive_of(Path(name))
    commands = [
        login_command(repository),
        f"docker build --tag {_IMAGE} .",
        f"docker rmi {_IMAGE}",
    ]
    spec = json.dumps({"version": 0.2, "phases": {"build": {"commands": commands}}})
    return builder.run("the image of the proof", archive, spec, _LIMIT_MIN)


def check_image_build(build: Callable[[], Build]) -> Row:
    """Return the row of the check.

    Args:
        build: Builds the image.
    """
    try:
        ended = build()
    except FlowymlError as error:
        return _row("deviated", reason=f"{error.what}: {error.why}; {error.fix}")
    if not ended.has_succeeded:
        return _row("deviated", ended.status, "; ".join((ended.problem, *ended.log_tail[-3:])))
    return _row("agreed", f"built in {ended.duration_s or 0:.0f} s")


def _row(verdict: Verdict, observed: str = "", reason: str = "") -> Row:
    return Row(
        part="account",
        check="image build",
        verdict=verdict,
        expected=_EXPECTED,
        observed=observed,
        reason=reason,
    )
