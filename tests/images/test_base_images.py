"""The check of base images, `make base-images`, with answers as Docker Hub's API gives them."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.images.base_images import BASE_IMAGES

SCRIPT: Mapping[str, Any] = runpy.run_path(
    str(Path(__file__).parents[2] / "scripts/base-images"), run_name="base_images"
)
NOW = datetime(2026, 11, 29, tzinfo=timezone.utc)

PYTHON = {
    "count": 2,
    "next": None,
    "results": [
        {"name": "3.12-slim-trixie", "last_updated": "2026-11-18T23:41:07.182412Z"},
        {"name": "3.10-slim-trixie", "last_updated": "2026-08-29T01:02:03Z"},
    ],
}
CUDA = {
    "count": 5,
    "next": None,
    "results": [
        {"name": name, "last_updated": "2026-03-02T00:00:00.000000Z"}
        for name in (
            "12.9.2-runtime-ubuntu24.04",
            "12.10.0-runtime-ubuntu24.04",
            "12.10.1-cudnn-runtime-ubuntu24.04",
            "12.10.1-runtime-ubuntu22.04",
            "13.2.0-runtime-ubuntu24.04",
        )
    ],
}


@pytest.mark.parametrize(
    ("tag", "answer", "problem"),
    [
        ("3.12-slim-trixie", PYTHON, None),
        ("3.10-slim-trixie", PYTHON, "not rebuilt since 2026-08-29"),
        ("3.9-slim-trixie", PYTHON, "the tag does not exist any more"),
        ("12.9.2-runtime-ubuntu24.04", CUDA, "12.10.0-runtime-ubuntu24.04 is newer"),
        ("12.10.0-runtime-ubuntu24.04", CUDA, None),
        ("12.6.3-runtime-ubuntu24.04", CUDA, "the tag does not exist any more"),
    ],
)
def test_outdated_base_images_are_named(tag: str, answer: Any, problem: str | None) -> None:
    assert SCRIPT["problem"](tag, SCRIPT["read_tags"](answer), NOW) == problem


def test_every_base_image_is_a_tag_of_docker_hub_that_the_check_understands() -> None:
    for image in BASE_IMAGES:
        assert image.startswith("docker.io/")
        repository, tag, text = SCRIPT["parts"](image)
        assert f"docker.io/{repository}:{tag}" == image
        assert text in tag
