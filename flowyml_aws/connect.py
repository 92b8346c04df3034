"""The composition root of the client: settings in, places and runs out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws_place import AwsPlace
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.project import find_project
from flowyml_aws.places import CatalogPlace, LocalPlace
from flowyml_aws.planning.placement import BATCH, LOCAL, SAGEMAKER, backends_in
from flowyml_aws.settings import Settings, load_settings
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import read_plan, read_record

__all__ = [
    "Place",
    "PlanningPlace",
    "connect",
    "connect_to_plan",
    "find_run",
    "settings_of",
    "stores",
]

Place = LocalPlace | AwsPlace
PlanningPlace = LocalPlace | AwsPlace | CatalogPlace


def settings_of(project: Path, backend: str = BATCH) -> Settings:
    """The settings of a project, those of its account included where the backend needs them.

    Raises:
        SettingsError: A name is unknown or a value malformed, or the account has no settings.
        AwsRefusedError: The account's settings are denied.
    """
    settings = load_settings(project, os.environ)
    if settings.account is None or backend == LOCAL:
        return settings
    place = AwsPlace(settings).with_account(
        lambda account: load_settings(project, os.environ, account)
    )
    return place.settings


def connect(backend: str, settings: Settings, project: Path) -> Place:
    """Where runs of a backend go, or of several: `batch+sagemaker`.

    Raises:
        SettingsError: There is no such backend.
    """
    backends = backends_in(backend)
    if backend == LOCAL:
        return LocalPlace(DirectoryArtifactStore(project / settings.local_store))
    return AwsPlace(settings, backends, project)


def connect_to_plan(backend: str, settings: Settings, project: Path) -> PlanningPlace:
    """Where a plan is made for: an account where one is set up, else what is known of AWS.

    Raises:
        SettingsError: There is no such backend.
    """
    if backend != LOCAL and settings.store is None:
        return CatalogPlace(settings, backends_in(backend))
    return connect(backend, settings, project)


def stores(settings: Settings, project: Path) -> Mapping[str, ArtifactStore]:
    """Every store at hand: `local` is this project's, `batch` that on S3 where one is set up."""
    return {backend: place.store for backend, place in _places(settings, project).items()}


def find_run(run_id: str) -> RunDriver:
    """The run with this id, looked for in every store at hand.

    Raises:
        RunNotFoundError: None of them has it.
    """
    project = find_project([]).root
    settings = settings_of(project)
    places = _places(settings, project)
    for place in places.values():
        try:
            record = read_record(place.store, run_id)
        except RunNotFoundError:
            continue
        plan = read_plan(place.store, run_id)
        backend = place.backend(record, plan)
        return RunDriver(place.store, record, plan, backend, settings.allow_pickle)
    searched = " and ".join(place.store.uri for place in places.values())
    raise RunNotFoundError(
        what=f"No run {run_id!r}",
        why=f"looked in {searched}" if searched else f"no store is set up, and {project} has none",
        fix="list the runs with `flowyml-aws runs`; start in the project's folder, and set "
        "FLOWYML_AWS_STORE for runs on AWS",
    )


def _places(settings: Settings, project: Path) -> Mapping[str, Place]:
    found: dict[str, Place] = {}
    if (project / settings.local_store).is_dir():
        found[LOCAL] = connect(LOCAL, settings, project)
    if settings.store is not None:
        found[BATCH] = AwsPlace(settings, (BATCH, SAGEMAKER))
    return found
