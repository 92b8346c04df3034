"""The script that distributes an environment to the layers of an image."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from collections.abc import Mapping
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract

SCRIPT = Path(__file__).parents[2] / "container/layers.py"
TAG = sys.implementation.cache_tag
Layers = dict[str, dict[str, bytes]]


def install(site: Path, name: str, files: Mapping[str, str], *requires: str) -> None:
    """Write an installed package that is not compiled."""
    info = f"{name}-1.dist-info"
    metadata = [f"Name: {name}", "Version: 1", *(f"Requires-Dist: {line}" for line in requires)]
    files = {**files, f"{info}/METADATA": "\n".join(metadata) + "\n"}
    files |= {f"{info}/RECORD": "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))}
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)


def distribute(folder: Path, extra: int = 0, **values: int) -> Layers:
    """Distribute an environment; return the content of each layer, by path below the folder.

    Args:
        folder: New folder.
        extra: Number of further packages, which are larger.
        values: Values in the code of packages, 1 by default.
    """
    shutil.rmtree(folder, ignore_errors=True)
    environment = folder / "opt/venv"
    site = environment / "lib/python3/site-packages"

    def code(name: str) -> str:
        return f"X = {values.get(name, 1)}\n"

    files = {"flowyml_aws/x.py": code("flowyml"), "../../../bin/flowyml-aws": "#!/bin/sh\n"}
    install(site, "flowyml_aws", files, "boto3>=1", "pytest; extra == 'testing'")
    install(site, "boto3", {"boto3/x.py": code("boto3")}, "Boto_Core (>=1)")
    install(site, "boto-core", {"boto_core/x.py": code("boto_core")})
    install(site, "pytest", {"pytest.py": code("pytest")})
    for number in range(extra):
        install(site, f"extra{number}", {f"extra{number}.py": "#" * (1000 + number)})
    # Two parts of one namespace package.
    install(site, "alpha", {"space/alpha.py": code("alpha")}, "boto3")
    install(site, "gamma", {"space/gamma.py": code("gamma"), "space/old.py": "print 1\n"})
    (environment / "pyvenv.cfg").write_text("home = /usr\n")
    (folder / "stdlib/json/tests").mkdir(parents=True)
    (folder / "stdlib/json/decoder.py").write_text("X = 1\n")
    os.utime(folder / "stdlib/json/decoder.py", (1, 1))
    (folder / "stdlib/json/tests/test.py").write_text("X = 1\n")
    runpy.run_path(str(SCRIPT))["main"](environment, folder / "layers", folder / "stdlib")
    return {
        layer.name: {
            str(path.relative_to(layer / str(folder)[1:])): path.read_bytes()
            for path in layer.rglob("*")
            if path.is_file()
        }
        for layer in (folder / "layers").iterdir()
    }


def packages(layers: Layers) -> dict[str, list[str]]:
    """Return the names of the packages in each layer."""
    return {
        layer: sorted(path.split("/")[-2] for path in files if path.endswith("METADATA"))
        for layer, files in layers.items()
    }


def test_flowyml_aws_its_dependencies_and_the_requirements_are_separate_layers(
    tmp_path: Path,
) -> None:
    layers = distribute(tmp_path / "x")
    by_layer = packages(layers)
    assert by_layer.pop("flowyml-aws") == ["flowyml_aws-1.dist-info"]
    assert by_layer.pop("environment") == ["boto-core-1.dist-info", "boto3-1.dist-info"]
    assert by_layer.pop("stdlib") == []
    assert by_layer.pop("packages") == []
    names = sorted(name for found in by_layer.values() for name in found)
    assert names == ["alpha-1.dist-info", "gamma-1.dist-info", "pytest-1.dist-info"]
    assert sorted(by_layer) == [f"package-{number}" for number in range(1, 8)]
    assert "opt/venv/bin/flowyml-aws" in layers["flowyml-aws"]
    assert "opt/venv/pyvenv.cfg" in layers["environment"]


def test_the_largest_packages_have_a_layer_each_and_the_rest_shares_one(tmp_path: Path) -> None:
    by_layer = packages(distribute(tmp_path / "x", extra=9))
    found = [by_layer[f"package-{number}"] for number in range(1, 8)]
    assert found == [[f"extra{number}-1.dist-info"] for number in range(8, 1, -1)]
    names = ("alpha", "extra0", "extra1", "gamma", "pytest")
    assert by_layer["packages"] == [f"{name}-1.dist-info" for name in names]


@pytest.mark.version_sensitive
def test_all_code_is_compiled_and_the_standard_library_is_not_copied(tmp_path: Path) -> None:
    layers = distribute(tmp_path / "x")
    assert list(layers["stdlib"]) == [f"stdlib/json/__pycache__/decoder.{TAG}.pyc"]
    together = {path: data for files in layers.values() for path, data in files.items()}
    sources = [path for path in together if path.endswith(".py") and "old" not in path]
    assert len(sources) == 6
    for path in sources:
        folder, _, name = path.rpartition("/")
        compiled = together[f"{folder}/__pycache__/{name[:-3]}.{TAG}.pyc"]
        assert compiled.startswith(MAGIC_NUMBER)
        assert f"{tmp_path / 'x'}/{path}".encode() in compiled  # its path in the image


@pytest.mark.version_sensitive
@pytest.mark.parametrize("changed", ["flowyml", "gamma"])
def test_a_changed_package_changes_its_layer_only(changed: str, tmp_path: Path) -> None:
    before, after = distribute(tmp_path / "x"), distribute(tmp_path / "x", **{changed: 2})
    (layer,) = (name for name in before if before[name] != after[name])
    (changes,) = {
        path
        for path, data in after[layer].items()
        if data != before[layer][path] and path.endswith(".py")
    }
    assert changes.rpartition("/")[2] in ("x.py", f"{changed}.py")


@pytest.mark.version_sensitive
def test_files_and_folders_have_the_same_times_in_each_build(tmp_path: Path) -> None:
    distribute(tmp_path / "x")
    times = {path.lstat().st_mtime for path in (tmp_path / "x/layers").rglob("*")}
    assert times == {315532800}
    source = next((tmp_path / "x/layers").rglob("alpha.py"))
    compiled = next((tmp_path / "x/layers").rglob(f"alpha.{TAG}.pyc")).read_bytes()
    assert compiled[8:12] == int(source.stat().st_mtime).to_bytes(4, "little")
