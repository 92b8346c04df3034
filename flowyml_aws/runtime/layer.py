"""Packages that a job needs in addition to its image: installed by uv once, then downloaded.

The first job that needs a layer installs and stores it; later jobs download it from the store and
verify its digest before they use it. If it was stored when a job was submitted, the digest is in
the job's spec. uv verifies the hashes of what it installs.
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
from flowyml_aws.artifacts.layout import COPIES, layer_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.caching.entries import is_stored
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    RequirementsError,
    UnloadableValueError,
)
from flowyml_aws.runtime.certificates import UNTRUSTED_FIX, is_untrusted
from flowyml_aws.runtime.log import reporting, say
from flowyml_aws.runtime.spec import PackageLayer

__all__ = ["StoredLayer", "enter_layer", "pin_layer", "uv_command"]

_NAME = "the installed requirements"
_TAIL = 4000  # characters of uv's output
# Platforms of the jobs on AWS, as `sysconfig` names them.
_PLATFORMS = ("linux-x86_64", "linux-aarch64")


_UNUSABLE = (ArtifactNotFoundError, DamagedArtifactError, UnloadableValueError)


class StoredLayer(Document):
    """Location of a layer's packages: one folder."""

    version: Literal[1] = 1
    folder: ArtifactRef


def enter_layer(store: ArtifactStore, layer: PackageLayer, folder: Path) -> None:
    """Make the packages of a layer importable, with precedence over those of the image.

    Args:
        store: Store that holds layers.
        layer: Packages to install.
        folder: Folder for the packages; created here.

    Raises:
        RequirementsError: uv is missing, or can't install the packages.
        AwsRefusedError: The store can't be read or written.
    """
    folder.mkdir()
    packages = _stored_packages(store, layer, folder)
    sys.path.insert(0, str(packages))
    importlib.invalidate_caches()
    # Programs that a step starts can import the packages, too.
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{packages}{os.pathsep}{inherited}" if inherited else str(packages)


def pin_layer(store: ArtifactStore, layer: PackageLayer) -> PackageLayer:
    """Return a layer with the packages that are stored now, for each platform that jobs may have.

    The jobs have this Python's minor version, but may have another platform.
    """
    stored = {}
    for platform in {*_PLATFORMS, sysconfig.get_platform()}:
        digest = _digest(layer, platform)
        if (ref := _stored_ref(store, digest)) is not None:
            stored[digest] = ref
    return layer.model_copy(update={"stored": stored})


def _stored_ref(store: ArtifactStore, digest: str) -> ArtifactRef | None:
    for copy in range(COPIES):
        key = layer_key(digest, copy)
        try:
            ref = read_document(StoredLayer, store.get(key), f"{store.uri}/{key}").folder
        except ArtifactNotFoundError:
            return None
        except DamagedArtifactError:
            continue
        if is_stored(store, ref):
            return ref
    return None


def _stored_packages(store: ArtifactStore, layer: PackageLayer, folder: Path) -> Path:
    """Return the folder of the packages: downloaded, or installed and stored for other jobs."""
    digest = _digest(layer, sysconfig.get_platform())
    if (pinned := layer.stored.get(digest)) is not None:
        try:
            return _load(store, pinned, folder)
        except _UNUSABLE as error:
            # No other stored packages: they are not those of the spec.
            say(f"the requirements of the spec can't be used and are installed again\n{error}")
            return _install(layer, folder)
    for copy in range(COPIES):
        key = layer_key(digest, copy)
        try:
            document = read_document(StoredLayer, store.get(key), f"{store.uri}/{key}")
        except ArtifactNotFoundError:
            packages = _install(layer, folder)
            with reporting("can't store the requirements for other jobs"):
                if store.create(key, _save(store, packages)):
                    say(f"stored the requirements for other jobs: {key}")
            return packages
        except DamagedArtifactError as error:
            say(f"the stored requirements can't be used: {key}\n{error}")
            continue
        try:
            return _load(store, document.folder, folder)
        except _UNUSABLE as error:
            # Jobs may neither delete nor replace them, so the next key is used.
            say(f"the stored requirements can't be used: {key}\n{error}")
    return _install(layer, folder)


def uv_command() -> list[str]:
    """Return the command that starts uv.

    Raises:
        RequirementsError: uv is not installed.
    """
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    if (program := shutil.which("uv")) is not None:
        return [program]
    raise RequirementsError(
        what="The requirements can't be installed without uv",
        why=f"uv is not a package of {sys.executable}, and not on PATH",
        fix="run `pip install uv`, here and in the image (`flowyml-aws image build` adds it if the "
        "setting `requirements` is used)",
    )


def _digest(layer: PackageLayer, platform: str) -> str:
    content = [layer.requirements, sys.implementation.cache_tag, platform]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _load(store: ArtifactStore, ref: ArtifactRef, folder: Path) -> Path:
    """Download the packages of a ref; the errors are those of `load_value`."""
    packages = load_value(store, ref, _NAME, folder, allow_pickle=False)
    assert isinstance(packages, Path)
    say(f"loaded {len(list(packages.glob('*.dist-info')))} installed package(s) from {ref.key}")
    return packages


def _save(store: ArtifactStore, packages: Path) -> bytes:
    return StoredLayer(folder=save_value(store, _NAME, packages)).to_json()


def _install(layer: PackageLayer, parent: Path) -> Path:
    """Install the packages into a new folder below `parent`, and return it."""
    say(f"installing {len(layer.requirements)} package(s)")
    folder = parent / "installed"
    file = parent / "requirements.txt"
    file.write_text("".join(f"{line}\n" for line in (*layer.options, *layer.requirements)), "utf-8")
    command = [*uv_command(), "pip", "install", "--python", sys.executable, "--target", str(folder)]
    command += ["--no-config", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--compile-bytecode", "--link-mode", "copy", "--quiet", "--requirements", str(file)]
    # Unpacking a layer changes file times, so compiled code must not depend on them.
    environment = {**os.environ, "PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RequirementsError(
            what="The requirements can't be installed in this job",
            why=f"uv ended with {done.returncode}: {done.stderr.strip()[-_TAIL:]}",
            fix=f"{UNTRUSTED_FIX}; an image of your own needs them, too, and SSL_CERT_FILE"
            if is_untrusted(done.stderr)
            else "let jobs reach the package index (a private subnet needs a NAT gateway or a "
            "mirror), or put the packages into the image: `image_requirements`",
        )
    folder.mkdir(exist_ok=True)  # uv creates no folder if the layer is empty
    return folder
