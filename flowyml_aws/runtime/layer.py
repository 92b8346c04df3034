"""Packages that a job brings along: installed by uv once, then taken from the store.

The first job that misses a layer installs it and stores it; the others download it, verified by
its digest before anything of it is used.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import layer_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    RequirementsError,
)
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.spec import PackageLayer

__all__ = ["StoredLayer", "enter_layer", "uv_command"]

_WHAT = "the installed requirements"
_TAIL = 4000  # characters of what uv said


class StoredLayer(Document):
    """Where the packages of a layer lie: one folder."""

    version: Literal[1] = 1
    folder: ArtifactRef


def enter_layer(store: ArtifactStore, layer: PackageLayer, folder: Path) -> None:
    """Make the packages of a layer importable, before what the image has.

    Args:
        store: Keeps layers.
        layer: What to install.
        folder: Where to put it; it is made.

    Raises:
        RequirementsError: There is no uv, or it can't install them.
        AwsRefusedError: The store can't be read or written.
    """
    folder.mkdir()
    place = layer_key(_digest(layer))
    there = _load(store, place, folder)
    if there is None:
        there = folder / "installed"
        _install(layer, there)
        stored = StoredLayer(folder=save_value(store, _WHAT, there))
        if store.create(place, stored.to_json()):
            say(f"stored the requirements for other jobs: {place}")
    sys.path.insert(0, str(there))
    importlib.invalidate_caches()
    # Programs that a step starts see them, too.
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{there}{os.pathsep}{inherited}" if inherited else str(there)


def uv_command() -> list[str]:
    """How uv is started.

    Raises:
        RequirementsError: It is not there.
    """
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    if (program := shutil.which("uv")) is not None:
        return [program]
    raise RequirementsError(
        what="The requirements can't be installed without uv",
        why=f"neither {sys.executable} nor PATH has it",
        fix="`pip install uv`, here and in the image (images of `flowyml-aws image build` have it "
        "where the setting `requirements` is used)",
    )


def _digest(layer: PackageLayer) -> str:
    content = [layer.requirements, sys.implementation.cache_tag, sysconfig.get_platform()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _load(store: ArtifactStore, place: str, folder: Path) -> Path | None:
    """The packages out of the store; None where they have to be installed."""
    try:
        stored = read_document(StoredLayer, store.get(place), f"{store.uri}/{place}")
    except ArtifactNotFoundError:
        return None
    try:
        there = load_value(store, stored.folder, _WHAT, folder, allow_pickle=False)
    except (ArtifactNotFoundError, DamagedArtifactError) as error:
        say(f"the stored requirements can't be used, so they are installed anew\n{error}")
        store.delete([place])
        return None
    assert isinstance(there, Path)
    say(f"took {len(list(there.glob('*.dist-info')))} installed package(s) from {place}")
    return there


def _install(layer: PackageLayer, folder: Path) -> None:
    say(f"installing {len(layer.requirements)} package(s)")
    file = folder.with_name("requirements.txt")
    file.write_text("".join(f"{line}\n" for line in (*layer.options, *layer.requirements)), "utf-8")
    command = [*uv_command(), "pip", "install", "--python", sys.executable, "--target", str(folder)]
    command += ["--no-config", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--compile-bytecode", "--link-mode", "copy", "--quiet", "--requirements", str(file)]
    # Unpacking a layer changes the times of its files: compiled code must not depend on them.
    environment = {**os.environ, "PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RequirementsError(
            what="The requirements can't be installed in this job",
            why=f"uv ended with {done.returncode}: {done.stderr.strip()[-_TAIL:]}",
            fix="let jobs reach the package index (a private subnet needs a NAT gateway or a "
            "mirror), or put the packages into the image: `image_requirements`",
        )
    folder.mkdir(exist_ok=True)  # nothing was asked for
