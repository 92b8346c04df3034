"""The setting `requirements` in a job: installed once, then loaded from the store."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import LAYERS
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.core.errors import RequirementsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.requirements import resolve_requirements
from flowyml_aws.runtime.layer import StoredLayer, enter_layer, pin_layer
from flowyml_aws.runtime.spec import PackageLayer
from tests.support.company_index import company_index
from tests.support.denied_stores import StoreWithoutDelete, StoreWithoutNewLayers
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.contract

# All wheels of the tests are in a folder: no registry is needed.
NO_INDEX = "--no-index"


@pytest.fixture(autouse=True)
def restored_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Undo the changes of a test to the path and to the imported modules."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    yield
    for name in ("small", "other"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    write_wheel(
        folder, "small", "1.0", {"small.py": "import other\nVALUE = other.VALUE * 2\n"}, ("other",)
    )
    write_wheel(folder, "other", "2.5", {"other.py": "VALUE = 21\n"})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def resolved(wheels: Path, *lines: str) -> PackageLayer:
    return resolve_requirements([NO_INDEX, f"--find-links {wheels}", *lines])


def stored(store: DirectoryArtifactStore) -> list[str]:
    return sorted(entry.key for entry in store.walk(LAYERS))


def test_requirements_are_resolved_to_versions_and_hashes_with_their_dependencies(
    wheels: Path,
) -> None:
    layer = resolved(wheels, "small>=1,<2")
    names = [line.partition(" ")[0] for line in layer.requirements]
    assert sorted(names) == ["other==2.5", "small==1.0"]
    assert all("--hash=sha256:" in line for line in layer.requirements)
    assert layer.options == (NO_INDEX, f"--find-links {wheels}")


def test_the_first_job_installs_and_imports_them(
    wheels: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    enter_layer(store, resolved(wheels, "small"), tmp_path / "layer")
    assert importlib.import_module("small").VALUE == 42
    assert len(stored(store)) == 1


def test_another_job_loads_them_from_the_store_without_uv_or_an_index(
    wheels: Path,
    store: DirectoryArtifactStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer = resolved(wheels, "small")
    enter_layer(store, layer, tmp_path / "first")
    shutil.rmtree(wheels)
    shutil.rmtree(tmp_path / "first")
    enter_layer(store, layer, tmp_path / "second")
    module = importlib.import_module("small")
    assert Path(str(module.__file__)).is_relative_to(tmp_path / "second")
    assert "loaded 2 installed package(s)" in capsys.readouterr().err


def test_a_layer_that_may_not_be_stored_fails_no_job(
    tmp_path: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = StoreWithoutNewLayers(tmp_path / "store")
    enter_layer(store, resolved(wheels, "small"), tmp_path / "layer")
    assert importlib.import_module("small").VALUE == 42
    assert "can't store the requirements for other jobs" in capsys.readouterr().err


def test_other_requirements_are_another_layer(
    wheels: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    enter_layer(store, resolved(wheels, "small"), tmp_path / "first")
    enter_layer(store, resolved(wheels, "other"), tmp_path / "second")
    assert len(stored(store)) == 2


def test_the_location_of_the_wheels_does_not_matter(
    wheels: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    enter_layer(store, resolved(wheels, "small"), tmp_path / "first")
    moved = wheels.rename(tmp_path / "moved")
    enter_layer(store, resolved(moved, "small"), tmp_path / "second")
    assert len(stored(store)) == 1


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def damage_the_packages(folder: Path) -> None:
    (content,) = (folder / "artifacts").glob("*/*")
    damage(content)


def delete_the_packages(folder: Path) -> None:
    (content,) = (folder / "artifacts").glob("*/*")
    content.unlink()


def damage_the_document(folder: Path) -> None:
    (document,) = (folder / "layers").glob("*")
    document.write_bytes(b"{")


@pytest.mark.parametrize("spoil", [damage_the_packages, delete_the_packages, damage_the_document])
def test_a_damaged_layer_gets_another_key_without_a_permission_to_delete(
    spoil: Callable[[Path], None],
    wheels: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer, store = resolved(wheels, "small"), StoreWithoutDelete(tmp_path / "store")
    enter_layer(store, layer, tmp_path / "first")
    spoil(tmp_path / "store")
    enter_layer(store, layer, tmp_path / "second")
    assert "can't be used: layers/" in capsys.readouterr().err
    assert importlib.import_module("small").VALUE == 42
    enter_layer(store, layer, tmp_path / "third")
    assert "loaded 2 installed package(s)" in capsys.readouterr().err


def test_a_spec_contains_the_packages_that_are_stored_when_it_is_written(
    wheels: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    layer = resolved(wheels, "small")
    assert pin_layer(store, layer) == layer
    enter_layer(store, layer, tmp_path / "first")
    pinned = pin_layer(store, layer)
    assert list(pinned.stored.values()) == [
        StoredLayer.model_validate_json(store.get(key)).folder for key in stored(store)
    ]
    damage_the_packages(tmp_path / "store")
    delete_the_packages(tmp_path / "store")
    assert pin_layer(store, layer) == layer


def test_a_job_uses_the_packages_of_its_spec_whatever_the_store_says_later(
    wheels: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    layer = resolved(wheels, "small")
    enter_layer(store, layer, tmp_path / "first")
    pinned = pin_layer(store, layer)
    (evil := tmp_path / "evil").mkdir()
    (evil / "small.py").write_text("VALUE = 'attacked'\n")
    (key,) = stored(store)
    store.put(key, StoredLayer(folder=save_value(store, "evil", evil)).to_json())
    enter_layer(store, pinned, tmp_path / "second")
    assert importlib.import_module("small").VALUE == 42


def test_packages_that_differ_from_the_spec_are_refused_and_installed_again(
    wheels: Path,
    store: DirectoryArtifactStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer = resolved(wheels, "small")
    enter_layer(store, layer, tmp_path / "first")
    pinned = pin_layer(store, layer)
    damage_the_packages(tmp_path / "store")
    enter_layer(store, pinned, tmp_path / "second")
    assert "requirements of the spec can't be used" in capsys.readouterr().err
    assert importlib.import_module("small").VALUE == 42


def test_programs_that_a_step_starts_can_import_them(
    wheels: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    enter_layer(store, resolved(wheels, "small"), tmp_path / "layer")
    command = [sys.executable, "-c", "import small; print(small.VALUE)"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "42\n"


def test_a_wheel_that_changed_after_resolution_is_refused(
    wheels: Path,
    store: DirectoryArtifactStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = resolved(wheels, "small")
    # An empty cache: uv must not use the original wheel.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another"))
    write_wheel(wheels, "other", "2.5", {"other.py": "VALUE = 'something else'\n"})
    with pytest.raises(RequirementsError) as caught:
        enter_layer(store, layer, tmp_path / "layer")
    assert "hash" in caught.value.why.lower()
    assert stored(store) == []


def test_an_unsatisfiable_requirement_is_reported_with_uvs_message(wheels: Path) -> None:
    with pytest.raises(RequirementsError) as caught:
        resolved(wheels, "small>=7")
    assert "small" in caught.value.why and "image_requirements" in caught.value.fix


@pytest.fixture
def index(wheels: Path, tmp_path: Path) -> Iterator[str]:
    """The option for an index with a certificate that only the company of this test trusts."""
    for wheel in list(wheels.glob("*.whl")):
        (folder := wheels / wheel.name.partition("-")[0]).mkdir()
        shutil.copy(wheel, folder)
    with company_index(wheels, tmp_path / "company.pem") as url:
        yield f"--index-url {url}"


def test_the_certificate_of_a_company_makes_its_index_usable(
    index: str,
    store: DirectoryArtifactStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The variable that an image with the setting `ca_certificates` has.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    enter_layer(store, resolve_requirements([index, "small"]), tmp_path / "layer")
    assert importlib.import_module("small").VALUE == 42


def test_an_index_with_an_unknown_certificate_is_an_error_that_names_the_setting(
    index: str,
    wheels: Path,
    store: DirectoryArtifactStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with pytest.raises(RequirementsError) as on_the_client:
        resolve_requirements([index, "small"])
    assert "UV_SYSTEM_CERTS=true" in on_the_client.value.fix
    assert "set `ca_certificates`" in on_the_client.value.fix
    layer = resolved(wheels, "small").model_copy(update={"options": (index,)})
    with pytest.raises(RequirementsError) as in_the_job:
        enter_layer(store, layer, tmp_path / "layer")
    assert "set `ca_certificates` to a file with its certificates" in in_the_job.value.fix
    assert "NAT gateway" not in in_the_job.value.fix


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-e .", "the only options allowed are"),
        ("--trusted-host example.com", "the only options allowed are"),
        ("--index-url https://me:secret@example.com/simple", "where others can read it"),
        ("pkg @ https://token@example.com/pkg.whl", "where others can read it"),
    ],
)
def test_lines_that_are_not_allowed_are_refused(wheels: Path, line: str, expected: str) -> None:
    with pytest.raises(RequirementsError) as caught:
        resolved(wheels, line)
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_uv_the_error_says_where_it_is_needed(
    store: DirectoryArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequirementsError, match="without uv"):
        enter_layer(store, PackageLayer(requirements=("small==1.0",)), tmp_path / "layer")
