"""The emulator: an AWS account on a local port that really runs its jobs."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from threading import Lock, RLock
from types import TracebackType
from typing import Any

import botocore.session
from boto3 import Session
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends

from flowyml_aws.catalog.disk import RESERVED_GIB
from flowyml_aws.core.emulated import NOT_EMULATED
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.engine import find_engine
from flowyml_aws.testing.account import (
    PREFIX,
    REGION,
    VOLUME_GIB,
    client_settings,
    create_account,
    create_empty_account,
    forget_account,
    node_queues,
    write_settings,
)
from flowyml_aws.testing.api import Api
from flowyml_aws.testing.banner import describe
from flowyml_aws.testing.batch.account import BatchAccount
from flowyml_aws.testing.batch.api import BatchApi
from flowyml_aws.testing.batch.fleet import Fleet
from flowyml_aws.testing.batch.metadata_api import METADATA_PATH, InstanceMetadata
from flowyml_aws.testing.batch.queues import Queues
from flowyml_aws.testing.batch.scheduler import Scheduler
from flowyml_aws.testing.batch.task_agent import TASK_PATH, TaskAgent
from flowyml_aws.testing.budgets_api import BudgetsApi
from flowyml_aws.testing.builds.api import CodeBuildApi
from flowyml_aws.testing.calls import ApiCall, ApiRequest
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.clock import Clock
from flowyml_aws.testing.consistency import Listing, Propagation, Transitions
from flowyml_aws.testing.deviations import Deviations, forbid_cache_reads
from flowyml_aws.testing.disturbance import Disturbance
from flowyml_aws.testing.events import Events, FailedInvocation
from flowyml_aws.testing.faults import Faults
from flowyml_aws.testing.iam.bucket_policies import without_moto
from flowyml_aws.testing.iam.changes import IamChanges
from flowyml_aws.testing.iam.guard import Guard
from flowyml_aws.testing.iam.principals import Principals
from flowyml_aws.testing.iam.service_roles import ServiceRoles
from flowyml_aws.testing.machines.addresses import Addresses
from flowyml_aws.testing.machines.container import Containers
from flowyml_aws.testing.machines.disks import Disks
from flowyml_aws.testing.machines.engine_containers import EngineContainers
from flowyml_aws.testing.machines.image_check import check_image
from flowyml_aws.testing.machines.image_environment import image_environment
from flowyml_aws.testing.machines.image_user import can_switch_user
from flowyml_aws.testing.machines.machine import Machine
from flowyml_aws.testing.machines.process import Processes
from flowyml_aws.testing.quotas import AccountQuotas, QuotaLevel, Usage
from flowyml_aws.testing.quotas_api import QuotasApi
from flowyml_aws.testing.registry.application import Registry
from flowyml_aws.testing.registry.pulls import Pulls
from flowyml_aws.testing.registry.tokens import Tokens
from flowyml_aws.testing.sagemaker.api import SageMakerApi
from flowyml_aws.testing.sagemaker.service import TrainingService
from flowyml_aws.testing.sagemaker.stock import Stock
from flowyml_aws.testing.schedules import Schedules
from flowyml_aws.testing.server import Application, Server, listen
from flowyml_aws.testing.shells.ecs_api import EcsApi
from flowyml_aws.testing.shells.plugin import install
from flowyml_aws.testing.shells.sessions import Sessions
from flowyml_aws.testing.shells.ssm_api import SsmApi
from flowyml_aws.testing.starts import Starts

__all__ = ["RULES", "Emulator"]

_IMAGE = "flowyml-aws/emulator:latest"
RULES = ("iam",)
"""Rules of AWS that `Emulator(lenient=…)` can switch off."""
_LENIENT = {"iam": "iam (every caller may do everything; missing permissions are printed)"}
_UNPRIVILEGED = 10001
_OWN_USER = "jobs run as the emulator's own user, which no instance keeps from it"

# moto's state is global to the process.
_process_lock = Lock()


class Emulator:
    """An AWS account with S3, Batch, SageMaker, CloudWatch Logs, IAM and EC2, as a context manager.

    Jobs run as processes of this Python interpreter, each in its own folder. They can import
    `flowyml_aws` and installed packages, but nothing from the project under test. Alternatively
    they run in containers, with the content of their image and the memory that they request. A
    process can run one emulator at a time, and each starts with a fresh account. When the
    interpreter exits, the emulator stops and its jobs are killed, except after SIGKILL.

    Args:
        capacity: Capacity shared by all running jobs; a job that does not fit stays RUNNABLE. None
            for no limit.
        time_scale: Real seconds per second of the account's clock: with 0.01, AWS's shortest
            timeout of 60 s lasts 0.6 s.
        stop_grace_s: Seconds between SIGTERM and SIGKILL for Batch jobs; the default is ECS's.
        training_stop_grace_s: Same for SageMaker training jobs; the default is SageMaker's.
        training_at_once: Maximum number of training jobs that run at the same time on this machine,
            whatever instances they request; further jobs are `Pending`.
        quotas: Quotas at the start: `new-account` for a new account's, which allow no GPUs and few
            CPUs, or `raised` for quotas that are never reached. `set_quota` and `set_vcpu_quota`
            change them.
        port: Port to listen on; 0 for any free port.
        containers: Image in this machine's Docker or podman. If set, jobs run in containers, and
            the account's setting `image` names it. None to run jobs as processes.
        job_images: Whether jobs run in containers of the images that they name, as on AWS, also
            without `containers`. Images of the account are pulled from its registry.
        nodes: Families, such as `cpu`, that also have a queue for jobs on several nodes, as infra/
            creates them if it is asked to: in private subnets, with a name that ends with `-nodes`.
        empty: Whether the account starts without the resources of infra/, to try infra/ itself.
            `environment` then has the credentials of the administrator.
        image_user: User id of the image of jobs that run as processes, for images with a USER
            instruction; such a user can't write `/opt/ml` and `/tmp` of a training job. None for
            root, as in the images of this package and of AWS.
        keep_requests: Whether to record `requests`, which uses memory.
        lenient: Names of rules of AWS to switch off: `iam`, the check of permissions.
        warm_starts: Whether jobs are forked from a process that has already imported the runner. A
            fork takes a tenth of the time of a fresh Python; the only difference is that jobs share
            the seed of string hashes.
        warm_imports: More modules that this process imports before the forks, such as `pandas`: it
            saves their imports in each job. They must not start threads when they are imported.
        seed: Seed of what AWS decides itself, such as the instance types and zones of Batch jobs.
        failed_start_rate: Fraction of the starts of Batch jobs that fail as they do on AWS now and
            then: a pull or a start times out. At most the first two attempts of a job fail so, and
            no other node than the main node.
        propagation_s: Longest time, in seconds of the account's clock, until a listing shows a new
            job or status, and until new resources can be used. 0 for no delay: AWS has one.
        deviations: Names of deviations from AWS to plant (`testing.deviations.DEVIATIONS`), which
            `flowyml-aws doctor --prove` must find.
        moto_api: Whether moto's own API and dashboard (`/moto-api`) are switched on. They need no
            credentials.

    Raises:
        MissingEngineError: Jobs run in containers, but neither Docker nor podman works here.
        SettingsError: A time, a family or a deviation is invalid, or a module of `warm_imports` is
            not installed.

    Attributes:
        endpoint_url: URL of all services.
        environment: Variables that a client needs: for boto3, with temporary credentials of the
            account's user role; the account's settings for `flowyml_aws`; and `PATH`.
        programs: Folder of programs for clients, which comes first in `PATH` of `environment`.
        administrator: Same variables, with credentials that may do everything.
        guard: Access control: the permissions that were used and denied so far.
        calls: API calls received so far, from clients and jobs. Clear the list to restart counting.
        requests: Same calls, with caller and response status; empty unless `keep_requests`.
        faults: Fault injection for parts of the account.
        disk_limit: Whether the disks of the account's own queues are limited, and why not, as a
            sentence.
        failed_invocations: Events that EventBridge's rules could not deliver, and jobs that its
            schedules could not submit.
    """

    endpoint_url: str
    environment: dict[str, str]
    programs: Path
    administrator: dict[str, str]
    guard: Guard
    calls: list[ApiCall]
    requests: list[ApiRequest]
    faults: Faults
    disk_limit: str
    failed_invocations: list[FailedInvocation]

    def __init__(
        self,
        *,
        capacity: Capacity | None = None,
        time_scale: float = 1.0,
        stop_grace_s: float = 30.0,
        training_stop_grace_s: float = 120.0,
        training_at_once: int = 32,
        quotas: QuotaLevel = "new-account",
        port: int = 0,
        containers: str | None = None,
        job_images: bool = False,
        nodes: Collection[str] = (),
        empty: bool = False,
        image_user: int | None = None,
        keep_requests: bool = False,
        lenient: Collection[str] = (),
        warm_starts: bool = sys.platform == "linux",
        warm_imports: Sequence[str] = (),
        seed: int = 0,
        failed_start_rate: float = 0.0,
        propagation_s: float = 5.0,
        deviations: Collection[str] = (),
        moto_api: bool = False,
    ) -> None:
        if not 0 <= failed_start_rate <= 1:
            raise SettingsError(
                what=f"Invalid rate: {failed_start_rate=}",
                why="it is a fraction of the starts",
                fix="pass a number from 0 to 1",
            )
        if time_scale <= 0 or min(stop_grace_s, training_stop_grace_s, propagation_s) < 0:
            raise SettingsError(
                what=f"Invalid times: {time_scale=}, {stop_grace_s=}, {training_stop_grace_s=}, "
                f"{propagation_s=}",
                why="time_scale must be positive, and no other time may be negative",
                fix="pass a time_scale above 0, and other times of at least 0",
            )
        if unknown := sorted({*lenient} - {*RULES}):
            raise SettingsError(
                what=f"Unknown rules in lenient: {', '.join(unknown)}",
                why=f"the rules that can be switched off are {', '.join(RULES)}",
                fix="correct lenient",
            )
        self._lenient = frozenset(lenient)
        self._deviations = Deviations.of(deviations)
        if empty and deviations:
            raise SettingsError(
                what=f"Deviations can't be planted in an empty account: {', '.join(deviations)}",
                why="they change the resources of infra/, which `empty` omits",
                fix="pass deviations without `empty`",
            )
        if empty and nodes:
            raise SettingsError(
                what="An empty account has no queues for jobs on several nodes",
                why="`nodes` adds them to the resources of infra/, which `empty` omits",
                fix="pass nodes without `empty`, or create them with infra/",
            )
        self._capacity = capacity
        node_queues(nodes)
        self._nodes = tuple(nodes)
        self._time_scale = time_scale
        self._stop_grace_s = stop_grace_s
        self._training_stop_grace_s = training_stop_grace_s
        self._training_at_once = training_at_once
        self._quotas = AccountQuotas(quotas)
        self._stock = Stock(self._quotas)
        self._wanted_port = port
        self._image = containers
        self._engine = find_engine() if containers is not None or job_images else None
        self._empty = empty
        self._image_user = image_user
        self._keep_requests = keep_requests
        self._warm_starts = warm_starts
        self._warm_imports = tuple(warm_imports)
        _require_modules(self._warm_imports)
        self._seed = seed
        self._failed_start_rate = failed_start_rate
        self._propagation_s = propagation_s
        self._moto_api = moto_api
        self._reclaims = Random(f"reclaims {seed}")
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
        """Create the account and serve it. With `containers`, try its image once.

        Raises:
            SettingsError: Another emulator runs in this process, the port is not available, or the
                image can't run jobs here.
        """
        if not _process_lock.acquire(blocking=False):
            raise SettingsError(
                what="The emulator can't start",
                why="an emulator is already running in this process",
                fix="stop it first, or start the second one in a separate process",
            )
        with ExitStack() as undo:
            undo.callback(_process_lock.release)
            self._start(undo)
            self._undo = undo.pop_all()
        atexit.register(self.stop)

    def _start(self, undo: ExitStack) -> None:
        undo.callback(self._forget)
        undo.enter_context(without_moto())
        account = None if self._empty else create_account(self._nodes)
        batch_role = create_empty_account() if account is None else account.batch
        deviations = self._deviations
        if "no-cache-read" in deviations:
            forbid_cache_reads(PREFIX)
        listener = undo.enter_context(listen(self._wanted_port))
        self.endpoint_url = "http://{}:{}".format(*listener.getsockname())
        self._key = f"AKIA{secrets.token_hex(8).upper()}"
        self._secret = secrets.token_urlsafe(30)  # 40 characters, as on AWS
        self._clock = clock = Clock(self._lock, self._time_scale)
        clock.start()
        undo.callback(clock.stop)
        propagation = Propagation(clock, self._propagation_s, Random(f"propagation {self._seed}"))
        iam = IamChanges(Transitions(propagation), Transitions(propagation))
        self._principals = principals = Principals(REGION, self._key, iam)
        self.guard = guard = Guard(
            principals,
            DEFAULT_ACCOUNT_ID,
            REGION,
            tags_of=self._tags_of,
            exists=_exists,
            is_enforced="iam" not in self._lenient,
        )
        roles = ServiceRoles(principals, guard, self._lock, DEFAULT_ACCOUNT_ID, REGION)
        aws = {"AWS_ENDPOINT_URL": self.endpoint_url, "AWS_DEFAULT_REGION": REGION}
        # Processes have no image, but runs need the name of one.
        image = _IMAGE if self._engine is None else self._image
        settings: Mapping[str, str | Sequence[str]]
        if account is None:
            settings = {} if image is None else {"image": image}
            keys = self._administrator_keys()
        else:
            settings = client_settings(account, image, self._nodes)
            write_settings(settings)
            keys = principals.assume(account.user, "emulator").environment
        folder = Path(tempfile.mkdtemp(prefix="flowyml-aws-emulator-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        self.programs = folder / "programs"
        install(self.programs)
        self.environment = {
            "PATH": f"{self.programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            **aws,
            **keys,
            **{
                f"FLOWYML_AWS_{name.upper()}": value if isinstance(value, str) else ",".join(value)
                for name, value in settings.items()
            },
            "FLOWYML_AWS_POLL_S": "0.2",  # the emulator never throttles
        }
        self.administrator = {**self.environment, **self._administrator_keys()}
        self.administrator.pop("AWS_SESSION_TOKEN", None)
        registry = Registry(
            folder / "registry",
            Tokens(principals.find, clock.now),
            guard,
            self._lock,
            self.endpoint_url,
            REGION,
        )
        containers = self._containers(registry, undo)
        disks = Disks(folder / "disks")
        self.disk_limit = disks.note(VOLUME_GIB - RESERVED_GIB)
        machine = Machine(
            self._lock,
            containers=containers,
            folder=folder / "jobs",
            disks=disks,
            environment=aws,
            write_log=self._write_log,
            clock=clock,
        )
        undo.callback(machine.stop)
        fleet = Fleet(clock, Random(f"fleet {self._seed}"), self._quotas, deviations)
        queues = Queues(fleet, Transitions(propagation))
        events = Events(delivers="no-alert" not in deviations)
        self.failed_invocations = events.failed_invocations
        batch_account = BatchAccount(batch_role, queues, Transitions(propagation))
        starts = Starts(self._failed_start_rate, Random(f"starts {self._seed}"))
        agent = TaskAgent()
        scheduler = Scheduler(
            self._lock,
            machine,
            roles,
            capacity=self._capacity,
            stop_grace_s=self._stop_grace_s,
            queues=queues,
            metadata_url=self.endpoint_url + METADATA_PATH,
            agent=agent,
            task_url=self.endpoint_url + TASK_PATH,
            listing=Listing(propagation),
            start_failure=starts.failure,
            deviations=deviations,
            on_end=events.job_ended,
        )
        undo.callback(scheduler.stop)
        addresses = Addresses()
        training = TrainingService(
            self._lock,
            machine,
            roles,
            stock=self._stock,
            addresses=addresses,
            at_once=self._training_at_once,
            stop_grace_s=self._training_stop_grace_s,
            on_end=events.training_ended,
            listing=Listing(propagation),
            deviations=deviations,
        )
        metadata = InstanceMetadata(fleet, self._lock, queues.blocked_user)
        metadata.has_firewall = "metadata-reachable" not in deviations
        sessions = Sessions(self.endpoint_url, self._lock)
        builds = CodeBuildApi(
            self._lock, clock, principals, guard, aws, folder / "builds", self._write_log
        )
        undo.callback(builds.stop)
        apis: dict[str, Api] = {
            "batch": BatchApi(scheduler, queues, batch_account, clock, addresses),
            "sagemaker": SageMakerApi(training),
            "ecs": EcsApi(scheduler, roles, sessions),
            "ssm": SsmApi(training, roles, sessions),
            "servicequotas": QuotasApi(self._quotas, scheduler.wake),
            "budgets": BudgetsApi(),
            "codebuild": builds,
        }
        schedules = Schedules(
            clock,
            guard,
            principals,
            apis["batch"],
            None if self._empty else PREFIX,
            REGION,
            self.failed_invocations,
        )
        application = Application(
            apis,
            schedules,
            guard,
            self._lock,
            clock,
            iam,
            self._keep_requests,
            metadata,
            agent,
            sessions,
            lambda: self.faults.clock_skew_s,
            registry,
            deviations.price_factor,
            has_moto_api=self._moto_api,
        )
        disturbance = Disturbance(application)
        self.faults = faults = Faults(
            self._lock, scheduler, queues, starts, metadata, disturbance, training
        )
        undo.callback(Server(disturbance, lambda: faults.clock_skew_s, listener).stop)
        self._scheduler, self._training, self.calls = scheduler, training, application.calls
        self.requests = application.requests
        if self._engine is not None and self._image is not None:
            address = listener.getsockname()
            check_image(containers, self._engine.name, self._image, folder / "check", address)

    def describe(self) -> list[str]:
        """Return lines for users: how jobs run, and what differs from AWS."""
        lenient = [_LENIENT[rule] for rule in RULES if rule in self._lenient]
        if self._time_scale != 1:
            lenient.append(f"time_scale (a second of a time limit lasts {self._time_scale:g} s)")
        if self._warm_imports:
            lenient.append(f"warm_imports (jobs find {', '.join(self._warm_imports)} imported)")
        engine = None if self._engine is None else self._engine.name
        address = self.endpoint_url.removeprefix("http://")
        return describe(
            engine,
            self._image,
            self._quotas.level,
            self.disk_limit,
            lenient,
            registry=address,
            is_empty=self._empty,
            deviations=self._deviations.describe(),
            node_families=self._nodes,
            has_image_user=self._engine is not None or self._runs_as_image_user(),
        )

    def _runs_as_image_user(self) -> bool:
        return self._image_user is not None and can_switch_user()

    def _administrator_keys(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self._key, "AWS_SECRET_ACCESS_KEY": self._secret}

    def _tags_of(self, arn: str) -> Mapping[str, str]:
        """Return the tags of a job or its task; no policy refers to those of other resources."""
        kind, _, name = arn.rpartition(":")[2].partition("/")
        if kind == "job" and self._scheduler is not None:
            job = self._scheduler.jobs.get(name)
            return {} if job is None else job.tags
        if kind == "task" and self._scheduler is not None:
            return self._scheduler.tags_of_task(arn)
        if kind == "training-job" and self._training is not None:
            training = self._training.jobs.get(name)
            return {} if training is None else training.tags
        return {}

    def _containers(self, registry: Registry, undo: ExitStack) -> Containers:
        if self._engine is not None:
            environment = dict(os.environ)
            pulls = Pulls(
                self._engine,
                environment,
                self.endpoint_url.removeprefix("http://"),
                lambda: registry.login(self._key),
            )
            undo.callback(pulls.stop)
            return EngineContainers(self._engine, environment, pulls.pull)
        environment = image_environment()
        if self._image_user is None and "metadata-reachable" not in self._deviations:
            environment[f"{NOT_EMULATED}METADATA"] = _OWN_USER
        processes = Processes(
            environment,
            self._warm_starts,
            self._image_user,
            self._warm_imports,
            training_user=_UNPRIVILEGED if "ml-read-only" in self._deviations else None,
        )
        undo.callback(processes.stop)
        return processes

    def stop(self) -> None:
        """Kill the jobs and stop the services; no-op if the emulator is not running."""
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
        """Return a boto3 client of the administrator.

        AWS settings of the environment are ignored.
        """
        with self._lock:
            if service not in self._clients:
                direct = Config(proxies={}, use_dualstack_endpoint=False, use_fips_endpoint=False)
                keys = self._administrator_keys()
                self._clients[service] = _session().client(
                    service,
                    endpoint_url=self.endpoint_url,
                    config=direct,
                    aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
                )
            return self._clients[service]

    def credentials(self, role: str) -> dict[str, str]:
        """Return environment variables with temporary credentials of a role, by its name.

        Raises:
            LookupError: No such role.
        """
        arn = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/{role}"
        with self._lock:
            if self._principals.role(arn, "emulator") is None:
                raise LookupError(f"No such role: {role}")
            return self._principals.assume(arn, "emulator").environment

    def lose_host(self, job: str, *, is_exit_reported: bool | None = None) -> None:
        """Reclaim the instance that a job runs on, as EC2 spot does: SIGTERM, then SIGKILL.

        The attempt of a Batch job fails, and its retry strategy decides about the next one. A
        training job on managed spot is interrupted and restarted; any other training job fails with
        an error of the service.

        Args:
            job: Id of a Batch job or of one of its nodes (`JOB#1`), or name of a training job.
            is_exit_reported: Whether the service learns how the container itself ended, if it exits
                before SIGKILL: usually exit code 143. Otherwise, it only knows that the host has
                gone. By default, the seed decides for a Batch job, and a training job's host is
                gone.

        Raises:
            LookupError: No such job.
            ValueError: The job is not on an instance at the moment.
        """
        scheduler, training = self._running_services()
        with self._lock:
            if job in scheduler.jobs:
                if is_exit_reported is None:
                    is_exit_reported = self._reclaims.random() < 0.5
                scheduler.lose_host(scheduler.jobs[job], is_exit_reported=is_exit_reported)
            elif job in training.jobs:
                training.lose_host(training.jobs[job], is_exit_reported=bool(is_exit_reported))
            else:
                raise LookupError(f"No such job: {job}")

    def now(self) -> float:
        """Return the account's Unix time, which may be ahead of this machine's clock."""
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        """Move the account's clock forward: delays end, and limits are reached.

        A process that runs does not notice it, but its timeout comes nearer.
        """
        self._running_services()
        self._clock.advance(seconds)

    def set_capacity(self, instance_type: str, instances: int | None) -> None:
        """Set how many SageMaker instances of a type exist; None, the default, for no limit.

        If none is free, a training job uses the next of its `InstancePreferences`. After the last
        preference it fails with a `CapacityError`, immediately instead of after 15 minutes as on
        AWS. On spot it waits, up to its `MaxWaitTimeInSeconds`.
        """
        _, training = self._running_services()
        with self._lock:
            self._stock.set_capacity(instance_type, instances)
            training.place()

    def set_quota(
        self, instance_type: str, instances: int | None, *, usage: Usage = "training job"
    ) -> None:
        """Set the account's quota of SageMaker instances of a type; None for no limit.

        Above the quota, CreateTrainingJob fails with `ResourceLimitExceeded`.
        """
        with self._lock:
            self._quotas.set_instances(instance_type, usage, instances)

    def set_vcpu_quota(self, code: str, vcpus: int) -> None:
        """Set one of EC2's quotas of vCPUs by its code, such as `L-DB2E81BA` for G instances.

        A Batch job stays RUNNABLE while it would exceed the quota.
        """
        scheduler, _ = self._running_services()
        with self._lock:
            self._quotas.set_vcpus(code, vcpus)
            scheduler.wake()

    def training_requests(self) -> dict[str, Mapping[str, Any]]:
        """Return the CreateTrainingJob request of each training job, by name."""
        _, training = self._running_services()
        with self._lock:
            return {name: job.request for name, job in training.jobs.items()}

    def job_processes(self) -> dict[str, int]:
        """Return the running process ids, by Batch job id or training job name.

        Those of the further hosts of a training job are by `JOB/algo-2`, `JOB/algo-3`, …
        """
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
        with self._lock:
            now_ms = self._clock.now_ms()
            logs = logs_backends[DEFAULT_ACCOUNT_ID][REGION]
            if not lines:
                logs.ensure_log_group(group)
                logs.ensure_log_stream(group, stream)
                return
            try:
                events = [{"timestamp": now_ms, "message": line} for line in lines]
                # Not the API's operation: it rejects times that are ahead of this machine's clock.
                logs.groups[group].put_log_events(stream, events)
            except (KeyError, ResourceNotFoundException):
                pass  # a client has deleted the stream: later lines are lost, as on AWS


def _exists(resource: str) -> bool:
    """Return whether a bucket, or an object `bucket/key`, exists."""
    bucket, _, key = resource.partition("/")
    buckets = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets
    return bucket in buckets and (not key or key in buckets[bucket].keys)


def _require_modules(names: Sequence[str]) -> None:
    missing = [name for name in names if find_spec(name.partition(".")[0]) is None]
    if missing:
        raise SettingsError(
            what=f"Modules to import before jobs are not installed: {', '.join(missing)}",
            why="the process from which jobs are forked imports them",
            fix="install them, or remove them from warm_imports (--warm-import)",
        )


@cache  # a session caches the service models, which are slow to load
def _session() -> Any:  # its stubs accept literal service names only
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return Session(region_name=REGION, botocore_session=core)
