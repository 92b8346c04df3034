"""Packages that a process imports before it is forked."""

from __future__ import annotations

from types import ModuleType

import pytest

from flowyml_aws.warm.libraries import device_libraries, untested

SITE = "/env/lib/python3.11/site-packages"


def module(name: str, file: str | None) -> ModuleType:
    made = ModuleType(name)
    made.__file__ = file
    return made


def test_the_package_of_a_module_is_the_folder_that_contains_it() -> None:
    tested = [
        module("numpy.linalg", f"{SITE}/numpy/linalg/__init__.py"),
        module("_moduleTNC", f"{SITE}/scipy/optimize/_moduleTNC.so"),
        module("torch.ops", "_ops.py"),
        module("six", f"{SITE}/six.py"),
        module("json", "/usr/lib/python3.11/json/__init__.py"),
        module("cython_runtime", None),
    ]
    assert untested(tested) == set()
    assert untested([module("polars.io", f"{SITE}/polars/io/__init__.py")]) == {"polars"}


def test_a_module_that_is_not_installed_is_untested() -> None:
    assert untested([module("mine", "/project/mine.py")]) == {"/project/mine.py"}


@pytest.mark.parametrize("name", ["libcudart.so.12", "libcuda.so.1", "libamdhip64.so.6"])
def test_libraries_of_accelerators_are_found_in_a_memory_map(name: str) -> None:
    maps = f"7f1-7f2 r-xp 0000 00:1 9 {SITE}/torch/lib/{name}\n7f3-7f4 rw-p 0000 00:0 0\n"
    assert device_libraries(maps) == {name}
    assert device_libraries(maps.replace(name, "libtorch_cpu.so")) == set()
