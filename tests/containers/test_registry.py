"""The emulated registry with a real engine: push, pull, and jobs of the pushed image."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.images.engine import Engine
from flowyml_aws.testing import Emulator
from tests.containers.conftest import BASE
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("containers")]

LONG_S = 600

WHERE = """
import os
from flowyml_aws import Pipeline, step

@step(outputs=["where"], cache=False)
def where():
    return os.environ.get("FLOWYML_USER", "not in the image")

pipeline = Pipeline("where").add_step(where)
"""


@pytest.fixture(scope="module")
def account(engine: Engine) -> Iterator[Emulator]:
    """An emulated account whose jobs run in containers of the images that they name."""
    with raised_emulator(job_images=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def rig(account: Emulator, tmp_path_factory: pytest.TempPathFactory) -> BackendRig:
    """A project without dependencies on the account."""
    rig = BackendRig("batch", tmp_path_factory.mktemp("small") / "project", account.environment)
    (rig.folder / "where.py").write_text(WHERE, "utf-8")
    (rig.folder / "flowyml-aws.toml").write_text(f'base_image = "{BASE}"\n', "utf-8")
    return rig


def command(rig: BackendRig, *arguments: str) -> tuple[int, str, str]:
    with rig.client("-m", "flowyml_aws", *arguments) as process:
        out, err = process.communicate(timeout=LONG_S)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def pushed(rig: BackendRig) -> dict[str, Any]:
    """The output of `flowyml-aws image push`."""
    code, out, err = command(rig, "image", "push", "--json")
    assert code == 0, err
    return dict(json.loads(out))


def test_a_pushed_image_is_in_the_repository_with_its_digest_and_size(
    pushed: dict[str, Any], account: Emulator
) -> None:
    (image,) = account.client("ecr").describe_images(repositoryName="flowyml-emulator")[
        "imageDetails"
    ]
    assert pushed["pushed"] is True
    assert pushed["image"] == (
        f"123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-emulator:{pushed['tag']}"
    )
    assert image["imageTags"] == [pushed["tag"]]
    assert image["imageManifestMediaType"] == DOCKER_MANIFEST
    assert image["imageSizeInBytes"] > 10 << 20
    assert pushed["repository"]["digest"] == image["imageDigest"]
    assert account.guard.denials == []


def test_an_image_is_not_pushed_twice(pushed: dict[str, Any], rig: BackendRig) -> None:
    code, out, _ = command(rig, "image", "push")
    assert (code, out) == (0, f"{pushed['image']} already exists in the repository\n")


def test_an_engine_pulls_a_pushed_image_by_the_address_of_the_emulator(
    pushed: dict[str, Any], account: Emulator, engine: Engine
) -> None:
    address = account.endpoint_url.removeprefix("http://")
    name = f"{address}/{pushed['image']}"
    login = [engine.program, "login", "--username", "AWS", "--password-stdin", address]
    (token,) = account.client("ecr").get_authorization_token()["authorizationData"]
    password = base64.b64decode(token["authorizationToken"]).decode().partition(":")[2]
    options = ["--tls-verify=false"] if engine.name == "podman" else []
    subprocess.run([*login, *options], input=password, text=True, check=True, capture_output=True)
    try:
        done = subprocess.run([engine.program, "pull", *options, name], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert engine.labels(name) == engine.labels(pushed["image"])
    finally:
        subprocess.run([engine.program, "logout", address], capture_output=True, check=True)
        subprocess.run([engine.program, "rmi", name], capture_output=True, check=True)


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_run_uses_the_pushed_image(
    pushed: dict[str, Any], rig: BackendRig, account: Emulator, engine: Engine, backend: str
) -> None:
    # Jobs get the image of the registry, not one of the same name that is on this machine.
    subprocess.run([engine.program, "rmi", pushed["image"]], capture_output=True, check=False)
    code, out, err = command(rig, "run", "where.py", "--backend", backend, "--json")
    assert code == 0, err
    (run_id,) = re.findall(r'"run_id": "([^"]+)"', out)
    code, out, _ = command(rig, "get", run_id, "where")
    assert out.split() == ["10001"]
    if backend == "batch":
        definitions = account.client("batch").describe_job_definitions()["jobDefinitions"]
        assert {d["containerProperties"]["image"] for d in definitions} == {pushed["image"]}


def test_the_names_of_the_pulled_images_are_removed_at_the_end(
    pushed: dict[str, Any], account: Emulator, engine: Engine
) -> None:
    account.stop()
    command = [engine.program, "images", "--format", "{{.Repository}}"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert account.endpoint_url.removeprefix("http://") not in names
