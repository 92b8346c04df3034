"""Preparation of the process from which clients are forked.

It imports what clients import, also inside functions, reads the catalog and the service models, and
checks the files of modules. The trial loads and the local jobs of these clients are forks, too,
of processes that this one starts: clients inherit the connections to them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from flowyml_aws.aws.connection.sessions import new_session
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.modules import is_users_module
from flowyml_aws.packaging import starting
from flowyml_aws.packaging.starting import ProgramStart, start_program, starting_with
from flowyml_aws.packaging.trial import environment_of_jobs, environment_of_load
from flowyml_aws.planning.environment import RUNNER
from flowyml_aws.testing.machines.warm_programs import WarmPrograms

__all__: list[str] = []

_IMPORTED = (
    "boto3",
    "flowyml_aws.cli.main",
    "flowyml_aws.view.run",
    "flowyml_aws.client.launch",
    "flowyml_aws.client.preflight",
    "flowyml_aws.client.preview",
    "flowyml_aws.client.result",
    "flowyml_aws.services.local.service",
    "flowyml_aws.services.batch.service",
    "flowyml_aws.services.sagemaker.service",
    "flowyml_aws.services.connect",
    "flowyml_aws.services.drivers",
    "flowyml_aws.submission.driver",
    "flowyml_aws.local.backend",
    "flowyml_aws.aws.batch.backend",
    "flowyml_aws.aws.batch.discovery",
    "flowyml_aws.aws.batch.driver_job",
    "flowyml_aws.aws.s3.store",
    "flowyml_aws.artifacts.codecs.selection",
    "flowyml_aws.runtime.parts",
)
_AWS_SERVICES = ("s3", "batch", "logs", "sagemaker", "sts", "service-quotas", "ec2")


def _starts() -> Iterator[ProgramStart]:
    """Yield what most clients start, without its arguments."""
    yield _start("flowyml_aws.job", {**os.environ, **RUNNER})
    for in_place in (True, False):
        environment = environment_of_jobs(in_place, os.environ, {})
        yield _start("flowyml_aws.runtime.load", environment_of_load(environment))


def _read_models() -> None:
    session = new_session()
    session.set_credentials("none", "none")  # botocore would ask the network for others
    for service in _AWS_SERVICES:
        session.create_client(service, region_name="us-east-1").close()


def _start(module: str, environment: Mapping[str, str]) -> ProgramStart:
    return ProgramStart(
        module=module,
        arguments=(),
        cwd=Path(tempfile.gettempdir()),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


for _name in _IMPORTED:
    import_module(_name)
load_catalog()
_read_models()
for _name in [*sys.modules]:
    is_users_module(_name)
_programs = WarmPrograms()
with starting_with(_programs.start_warm):
    # They end at once, without an argument or a request.
    for _process in [start_program(start) for start in _starts()]:
        _process.wait()
starting._starter = _programs
