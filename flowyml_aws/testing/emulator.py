"""The emulator: an AWS account on a local port whose jobs really run."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import Lock, RLock
from types import TracebackType
from typing import Any

import botocore.session
from boto3 import Session
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import logs_backends

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.engine import find_engine
from flowyml_aws.testing.account import (
    BUCKET,
    DRIVER_QUEUE,
    QUEUES,
    REGION,
    create_account,
    forget_account,
    tell_settings,
)
from flowyml_aws.testing.api import Api
from flowyml_aws.testing.batch_account import BatchAccount
from flowyml_aws.testing.batch_api import BatchApi
from flowyml_aws.testing.calls import ApiCall, ApiRequest
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.container import Containers
from flowyml_aws.testing.engine_containers import EngineContainers
from flowyml_aws.testing.faults import Faults
from flowyml_aws.testing.machine import Machine
from flowyml_aws.testing.process import Processes
from flowyml_aws.testing.queues import Queues
from flowyml_aws.testing.quotas_api import QuotasApi
from flowyml_aws.testing.sagemaker.api import SageMakerApi
from flowyml_aws.testing.sagemaker.service import TrainingService
from flowyml_aws.testing.sagemaker.stock import Stock, Usage
from flowyml_aws.testing.scheduler import Scheduler
from flowyml_aws.testing.server import Application, Server, listen

__all__ = ["Emulator"]

_IMAGE = "flowyml-aws/emulator:latest"
_ACCESS_KEY = "emulator"
_KEPT_VARIABLES = ("PATH", "HOME", "LANG")

# moto's state belongs to the process.
_only_one = Lock()


class Emulator:
    """An AWS account with S3, Batch, SageMaker, CloudWatch Logs, IAM and EC2, while a `with` lasts.

    Jobs run as processes of this Python, in folders of their own. They can import
    `flowyml_aws` and what is installed, and nothing of the project under test. Or they run in
    containers, with what their image has and the memory that they ask for. A process has one
    emulator at a time, and each starts with a fresh account. It ends with the interpreter and takes
    its jobs with it, unless the interpreter is killed by SIGKILL.

    Args:
        capacity: What the running jobs share; what does not fit stays RUNNABLE. None is unlimited.
        time_scale: Real seconds for each second of a timeout or grace period: 0.01 makes AWS's
            shortest timeout, 60 s, last 0.6 s.
        stop_grace_s: From SIGTERM to SIGKILL in Batch jobs, as ECS waits by default.
        training_stop_grace_s: The same in SageMaker's training jobs, as the service waits.
        training_at_once: How many training jobs run at a time on this machine, whatever instances
            they ask for; the others are `Pending`.
        port: Where to listen; 0 is any free one.
        containers: An image of this machine's Docker or podman: jobs run in containers, and this is
            what the account's settings tell as `image`. None for processes.
        keep_requests: Whether `requests` is filled: they need memory.
        warm_starts: Whether jobs are forked from a process that has imported the runner, which
            takes a tenth of a fresh Python's time. Only the jobs' seed of string hashes is shared.

    Raises:
        MissingEngineError: Containers are wanted, and neither Docker nor podman works here.

    Attributes:
        endpoint_url: Where the services are.
        environment: The variables that a client needs: boto3's, and the account's settings for
            `flowyml_aws`.
        calls: Every API call that arrived, from clients and jobs. Clear it to count anew.
        requests: The same, with who called and how it was answered, if `keep_requests`.
        faults: Breaks parts of the account.
    """

    endpoint_url: str
    environment: dict[str, str]
    calls: list[ApiCall]
    requests: list[ApiRequest]
    faults: Faults

    def __init__(
        self,
        *,
        capacity: Capacity | None = None,
        time_scale: float = 1.0,
        stop_grace_s: float = 30.0,
        training_stop_grace_s: float = 120.0,
        training_at_once: int = 32,
        port: int = 0,
        containers: str | None = None,
        keep_requests: bool = False,
        warm_starts: bool = sys.platform == "linux",
    ) -> None:
        if time_scale <= 0 or min(stop_grace_s, training_stop_grace_s) < 0:
            raise SettingsError(
                what=f"{time_scale=}, {stop_grace_s=}, {training_stop_grace_s=}",
                why="times can't run backwards",
                fix="give a positive time_scale, and grace periods of at least 0",
            )
        self._capacity = capacity
        self._time_scale = time_scale
        self._stop_grace_s = stop_grace_s
        self._training_stop_grace_s = training_stop_grace_s
        self._training_at_once = training_at_once
        self._stock = Stock()
        self._wanted_port = port
        self._image = containers or _IMAGE
        self._engine = find_engine() if containers is not None else None
        self._keep_requests = keep_requests
        self._warm_starts = warm_starts
        self._lock = RLock()
        self._clients: dict[str, Any] = {}
        self._scheduler: Scheduler | None = None
        self._training: TrainingService | None = None
        self._undo: ExitStack | None = None

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Create the account and serve it.

        Raises:
            SettingsError: Another emulator runs in this process, or the port can't be had.
        """
        if not _only_one.acquire(blocking=False):
            raise SettingsError(
                what="The emulator can't start",
                why="one is already running in this process",
                fix="stop it first, or start the other one in a process of its own",
            )
        with ExitStack() as undo:
            undo.callback(_only_one.release)
            self._start(undo)
            self._undo = undo.pop_all()
        atexit.register(self.stop)

    def _start(self, undo: ExitStack) -> None:
        undo.callback(self._forget)
        account = create_account()
        listener = undo.enter_context(listen(self._wanted_port))
        self.endpoint_url = "http://{}:{}".format(*listener.getsockname())
        aws = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }
        self.environment = {
            **aws,
            "FLOWYML_AWS_STORE": f"s3://{BUCKET}/flowyml",
            "FLOWYML_AWS_QUEUES": ",".join(QUEUES),
            "FLOWYML_AWS_IMAGE": self._image,
            "FLOWYML_AWS_SAGEMAKER_ROLE": account.training_role_arn,
            "FLOWYML_AWS_DRIVER_QUEUE": DRIVER_QUEUE,
            "FLOWYML_AWS_DRIVER_ROLE": account.driver_role_arn,
            "FLOWYML_AWS_JOB_ROLE": account.job_role_arn,
            "FLOWYML_AWS_POLL_S": "0.2",  # nothing here throttles
        }
        tell_settings(
            {
                "store": f"s3://{BUCKET}/flowyml",
                "queues": list(QUEUES),
                "image": self._image,
                "job_role": account.job_role_arn,
                "sagemaker_role": account.training_role_arn,
                "driver_queue": DRIVER_QUEUE,
                "driver_role": account.driver_role_arn,
            }
        )
        folder = Path(tempfile.mkdtemp(prefix="flowyml-aws-emulator-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        machine = Machine(
            self._lock,
            containers=self._containers(folder, undo),
            folder=folder / "jobs",
            environment=aws,
            write_log=self._write_log,
            time_scale=self._time_scale,
        )
        undo.callback(machine.stop)
        queues, quotas = Queues(), QuotasApi()
        scheduler = Scheduler(
            self._lock,
            machine,
            capacity=self._capacity,
            stop_grace_s=self._stop_grace_s,
            held=queues.held,
        )
        undo.callback(scheduler.stop)
        training = TrainingService(
            self._lock,
            machine,
            stock=self._stock,
            at_once=self._training_at_once,
            stop_grace_s=self._training_stop_grace_s,
        )
        self.faults = faults = Faults(self._lock, scheduler, queues, quotas)
        apis: dict[str, Api] = {
            "batch": BatchApi(scheduler, queues, BatchAccount(account.batch_role_arn)),
            "sagemaker": SageMakerApi(training),
            "servicequotas": quotas,
        }
        application = Application(
            apis, self._lock, lambda: faults.clock_skew_s, self._keep_requests
        )
        undo.callback(Server(application, listener).stop)
        self._scheduler, self._training, self.calls = scheduler, training, application.calls
        self.requests = application.requests

    def _containers(self, folder: Path, undo: ExitStack) -> Containers:
        if self._engine is not None:
            return EngineContainers(self._engine, dict(os.environ))
        processes = Processes(_image_environment(folder / "image"), self._warm_starts)
        undo.callback(processes.stop)
        return processes

    def stop(self) -> None:
        """Kill the jobs and end the service; does nothing when it is not running."""
        if self._undo is not None:
            atexit.unregister(self.stop)
            self._undo.close()
            self._undo = None

    def _forget(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._scheduler = self._training = None
            forget_account()

    def client(self, service: str) -> Any:
        """A boto3 client of this account, whatever AWS settings the environment has."""
        with self._lock:
            if service not in self._clients:
                direct = Config(proxies={}, use_dualstack_endpoint=False, use_fips_endpoint=False)
                self._clients[service] = _session().client(
                    service, endpoint_url=self.endpoint_url, config=direct
                )
            return self._clients[service]

    def lose_host(self, job: str) -> None:
        """Reclaim the instance that a job runs on, as EC2 spot does: SIGTERM, then SIGKILL.

        A Batch attempt fails, and the job's retry strategy decides. A training job on managed spot
        is interrupted and starts again; another one fails, as by an error of the service.

        Args:
            job: The id of a Batch job, or the name of a training job.

        Raises:
            LookupError: There is no such job.
            ValueError: The job is on no instance now.
        """
        scheduler, training = self._running_services()
        with self._lock:
            if job in scheduler.jobs:
                scheduler.lose_host(scheduler.jobs[job])
            elif job in training.jobs:
                training.lose_host(training.jobs[job])
            else:
                raise LookupError(f"no job {job}")

    def set_capacity(self, instance_type: str, instances: int | None) -> None:
        """Let there be so many SageMaker instances of a type; None, as at first, for any number.

        Where there is none, a training job takes the next of its `InstancePreferences`; behind the
        last one it fails with a `CapacityError`, without the quarter of an hour that AWS tries. On
        spot it waits, up to its `MaxWaitTimeInSeconds`.
        """
        _, training = self._running_services()
        with self._lock:
            self._stock.set_capacity(instance_type, instances)
            training.place()

    def set_quota(
        self, instance_type: str, instances: int | None, *, usage: Usage = "training job"
    ) -> None:
        """Let the account use so many SageMaker instances of a type at once; None for any number.

        Beyond that CreateTrainingJob answers `ResourceLimitExceeded`.
        """
        with self._lock:
            self._stock.set_quota(instance_type, usage, instances)

    def training_requests(self) -> dict[str, Mapping[str, Any]]:
        """What each training job was asked for with, by name: CreateTrainingJob's members."""
        _, training = self._running_services()
        with self._lock:
            return {name: job.request for name, job in training.jobs.items()}

    def job_processes(self) -> dict[str, int]:
        """The processes that run now: Batch job id, or training job name, to process id."""
        scheduler, training = self._running_services()
        with self._lock:
            return {**scheduler.processes(), **training.processes()}

    def _running_services(self) -> tuple[Scheduler, TrainingService]:
        if self._scheduler is None or self._training is None:
            raise SettingsError(
                what="The emulator is not running",
                why="it was not started, or it was stopped",
                fix="use it inside `with Emulator() as aws:`",
            )
        return self._scheduler, self._training

    def _write_log(self, group: str, stream: str, lines: list[str]) -> None:
        now_ms = int(time.time() * 1000)
        with self._lock:
            logs = logs_backends[DEFAULT_ACCOUNT_ID][REGION]
            if not lines:
                logs.ensure_log_group(group)
                logs.ensure_log_stream(group, stream)
                return
            try:
                events = [{"timestamp": now_ms, "message": line} for line in lines]
                logs.put_log_events(group, stream, events)
            except ResourceNotFoundException:
                pass  # a client has deleted the stream: what is still said is lost, as in AWS


def _image_environment(folder: Path) -> dict[str, str]:
    """What a job's image brings, made in `folder`."""
    folder.mkdir()
    # The package alone, as if installed: its checkout holds modules that no image has.
    package = Path(__file__).resolve().parents[1]
    (folder / "flowyml_aws").symlink_to(package, target_is_directory=True)
    return {
        **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        "PYTHONPATH": str(folder),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@cache  # it keeps the service models, which are slow to read
def _session() -> Any:  # its stubs know literal service names only
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return Session(
        aws_access_key_id=_ACCESS_KEY,
        aws_secret_access_key=_ACCESS_KEY,
        region_name=REGION,
        botocore_session=core,
    )
