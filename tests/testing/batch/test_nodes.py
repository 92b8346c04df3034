"""Multi-node jobs: definitions, nodes as processes, their ends, retries, lists and instances."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from tests.support.rigs import raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-nodes")]

QUEUE = "flowyml-emulator-cpu-nodes"
SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
MAIN = "import os, sys, time; main = os.environ['AWS_BATCH_JOB_NODE_INDEX'] == '0'\n"
# The main node waits for the file of the other one.
FIRST_NODE_ENDS = MAIN + "time.sleep(60) if main else sys.exit(7)"
STOPPED = MAIN + (
    "import signal\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('stopped', flush=True), sys.exit(0)))\n"
    "folder = os.environ['FOLDER']\n"
    "path = os.path.join(folder, os.environ['AWS_BATCH_JOB_ATTEMPT'])\n"
    "if not main:\n"
    "    open(path, 'w').close()\n"
    "    time.sleep(60)\n"
    "while not os.path.exists(path): time.sleep(0.01)\n"
)
DESCRIBE = (
    "import json, os; print(json.dumps({k.removeprefix('AWS_BATCH_JOB_'): v for k, v in "
    "os.environ.items() if k.startswith('AWS_BATCH_JOB_') or k == 'FLOWYML_NODE_ADDRESS'}), "
    "flush=True)\n"
)


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(nodes=("cpu", "t4", "a10g", "l4"), propagation_s=5.0) as aws:
        yield aws


def properties(image: str, **changes: Any) -> dict[str, Any]:
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    container = {"image": image, "resourceRequirements": needs}
    nodes = {"targetNodes": "0:", "container": container}
    return {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [nodes], **changes}


def define(batch: Any, name: str = "nodes", **changes: Any) -> str:
    image = batch.aws.environment["FLOWYML_AWS_IMAGE"]
    response = batch.api.register_job_definition(
        jobDefinitionName=name,
        type="multinode",
        platformCapabilities=["EC2"],
        nodeProperties=properties(image, **changes),
    )
    return str(response["jobDefinitionArn"])


def submit(
    batch: Any, code: str = "pass", nodes: int = 2, environment: Mapping[str, str] = {}, **more: Any
) -> str:
    overrides = {
        "command": ["python", "-c", code],
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
    }
    request = {
        "jobName": "job",
        "jobQueue": QUEUE,
        "jobDefinition": define(batch),
        "nodeOverrides": {
            "numNodes": nodes,
            "nodePropertyOverrides": [{"targetNodes": "0:", "containerOverrides": overrides}],
        },
        **more,
    }
    return str(batch.api.submit_job(**request)["jobId"])


def nodes_of(batch: Any, job: str, number: int = 2) -> list[dict[str, Any]]:
    ids = [f"{job}#{node}" for node in range(number)]
    return list(batch.api.describe_jobs(jobs=ids)["jobs"])


def test_each_node_knows_its_place_and_the_address_of_the_main_node(batch: Any) -> None:
    # The main node listens at its own address; the others connect to it, and it ends after them.
    code = DESCRIBE + (
        "import socket; e = os.environ; main = e['AWS_BATCH_JOB_NODE_INDEX'] == '0'\n"
        "if main:\n"
        "    server = socket.create_server((e['FLOWYML_NODE_ADDRESS'], int(e['PORT'])))\n"
        "    for _ in range(2): server.accept()[0].close()\n"
        "else:\n"
        "    address = e['AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS'], int(e['PORT'])\n"
        "    import time\n"
        "    while True:\n"
        "        try: socket.create_connection(address).recv(1); break\n"
        "        except ConnectionRefusedError: time.sleep(0.01)\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = submit(batch, code, nodes=3, environment={"PORT": str(port)})
    assert batch.ended(job)["status"] == "SUCCEEDED"
    seen = [json.loads(batch.log(f"{job}#{node}")[0]) for node in range(3)]
    assert [each["ID"] for each in seen] == [f"{job}#0", f"{job}#1", f"{job}#2"]
    assert [each["NODE_INDEX"] for each in seen] == ["0", "1", "2"]
    assert {(each["NUM_NODES"], each["MAIN_NODE_INDEX"], each["ATTEMPT"]) for each in seen} == {
        ("3", "0", "1")
    }
    addresses = [each["FLOWYML_NODE_ADDRESS"] for each in seen]
    assert len(set(addresses)) == 3
    main_addresses = [each.get("MAIN_NODE_PRIVATE_IPV4_ADDRESS") for each in seen]
    assert main_addresses == [None, addresses[0], addresses[0]]


def test_the_job_has_the_outcome_of_the_main_node_whose_end_stops_the_others(
    batch: Any, tmp_path: Any
) -> None:
    job = submit(batch, STOPPED + "sys.exit(5)", environment={"FOLDER": str(tmp_path)})
    ended = batch.ended(job)
    assert (ended["status"], ended["statusReason"]) == (
        "FAILED",
        "Essential container in task exited",
    )
    assert [attempt["container"] for attempt in ended["attempts"]] == [{"exitCode": 5}]
    assert "container" not in ended
    assert batch.ended(f"{job}#1")["status"] == "SUCCEEDED"  # by its own exit code
    main, other = nodes_of(batch, job)
    assert main["container"]["exitCode"] == 5
    assert batch.log(f"{job}#1") == ["stopped"]
    assert (main["nodeDetails"], other["nodeDetails"]) == (
        {"nodeIndex": 0, "isMainNode": True},
        {"nodeIndex": 1, "isMainNode": False},
    )


def test_batch_does_nothing_if_another_node_fails(batch: Any) -> None:
    job = submit(batch, FIRST_NODE_ENDS, retryStrategy={"attempts": 3})
    assert batch.ended(f"{job}#1")["container"]["exitCode"] == 7
    assert batch.status(job) == "RUNNING"
    batch.api.terminate_job(jobId=job, reason="enough")
    ended = batch.ended(job)
    assert (ended["status"], ended["statusReason"], len(ended["attempts"])) == (
        "FAILED",
        "enough",
        1,
    )


def test_the_exit_of_the_main_node_decides_about_a_retry_of_all_nodes(
    batch: Any, tmp_path: Any
) -> None:
    code = STOPPED + "sys.exit(0 if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '2' else 145)"
    rules = [{"onExitCode": "14*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    strategy = {"attempts": 3, "evaluateOnExit": rules}
    job = submit(batch, code, environment={"FOLDER": str(tmp_path)}, retryStrategy=strategy)
    ended = batch.ended(job)
    assert ended["status"] == "SUCCEEDED"
    codes = [attempt["container"]["exitCode"] for attempt in ended["attempts"]]
    assert codes == [145, 0]
    batch.ended(f"{job}#1")
    assert [len(node["attempts"]) for node in nodes_of(batch, job)] == [2, 2]


def test_a_lost_host_takes_one_node_and_the_main_node_s_is_retried(batch: Any) -> None:
    job = submit(batch, SLEEP, retryStrategy={"attempts": 2})
    batch.wait_for_line(f"{job}#1", "ready")
    batch.aws.lose_host(f"{job}#1", is_exit_reported=False)
    assert batch.ended(f"{job}#1")["statusReason"].startswith("Host EC2 (instance i-")
    assert batch.status(job) == "RUNNING"
    batch.aws.lose_host(job, is_exit_reported=False)
    batch.wait_for_status(f"{job}#1", "RUNNING")
    (lost,) = batch.job(job)["attempts"]
    assert lost["statusReason"].startswith("Host EC2 (instance i-")
    batch.api.terminate_job(jobId=job, reason="enough")
    batch.ended(job)


def test_the_timeout_is_that_of_the_whole_job(batch: Any) -> None:
    job = submit(batch, SLEEP, timeout={"attemptDurationSeconds": 60})
    batch.wait_for_line(f"{job}#1", "ready")
    batch.aws.advance(61)
    assert batch.ended(job)["statusReason"] == "Job attempt duration exceeded timeout"
    assert batch.ended(f"{job}#1")["status"] == "FAILED"


def test_a_queue_lists_the_job_and_the_job_lists_its_nodes(batch: Any) -> None:
    job = submit(batch, "pass")
    batch.ended(job)
    batch.ended(f"{job}#1")
    batch.aws.advance(5)  # listings are up to date
    of_queue = batch.api.list_jobs(jobQueue=QUEUE, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [each["nodeProperties"] for each in of_queue if each["jobId"] == job] == [
        {"numNodes": 2}
    ]
    assert not any("#" in each["jobId"] for each in of_queue)
    nodes = batch.api.list_jobs(multiNodeJobId=job, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [each["jobId"] for each in nodes][-1] == f"{job}#0"
    assert nodes[-1]["nodeProperties"] == {"numNodes": 2, "nodeIndex": 0, "isMainNode": True}


def test_each_node_has_an_instance_of_its_own(batch: Any) -> None:
    job = submit(batch, SLEEP, nodes=2)
    batch.wait_for_line(f"{job}#1", "ready")
    instances = {node["container"]["containerInstanceArn"] for node in nodes_of(batch, job)}
    assert len(instances) == 2
    single = batch.submit(SLEEP, jobQueue=QUEUE)
    batch.wait_for_line(single, "ready")
    assert batch.job(single)["container"]["containerInstanceArn"] not in instances
    for each in (job, single):
        batch.api.terminate_job(jobId=each, reason="enough")
        batch.ended(each)


def limit(batch: Any, queue: str, **resources: Any) -> None:
    """Change the resources of the compute environments of a queue."""
    (known,) = batch.api.describe_job_queues(jobQueues=[queue])["jobQueues"]
    for entry in known["computeEnvironmentOrder"]:
        batch.api.update_compute_environment(
            computeEnvironment=entry["computeEnvironment"], computeResources=resources
        )
    batch.aws.advance(5)


def test_nodes_start_together_or_not_at_all(batch: Any) -> None:
    queue = "flowyml-emulator-t4-nodes"
    batch.aws.set_vcpu_quota("L-DB2E81BA", 8)  # of G instances: two of the smallest type
    first = submit(batch, SLEEP, jobQueue=queue)
    batch.wait_for_line(f"{first}#1", "ready")
    second, third = submit(batch, jobQueue=queue), submit(batch, jobQueue=queue)
    batch.wait_for_status(second, "RUNNABLE")
    assert [node["status"] for node in nodes_of(batch, second)] == ["SUBMITTED", "SUBMITTED"]
    batch.api.terminate_job(jobId=third, reason="enough")
    assert {node["statusReason"] for node in nodes_of(batch, third)} == {"enough"}
    batch.api.terminate_job(jobId=first, reason="enough")
    assert batch.ended(second)["status"] == "SUCCEEDED"
    batch.aws.set_vcpu_quota("L-DB2E81BA", 10_000)


def test_more_nodes_than_the_environment_can_have_wait_for_a_reason(batch: Any) -> None:
    queue = "flowyml-emulator-a10g-nodes"
    limit(batch, queue, maxvCpus=3)
    job = submit(batch, nodes=4, jobQueue=queue)
    batch.wait_for_status(job, "RUNNABLE")
    follows = submit(batch)  # decided after it
    batch.ended(follows)
    assert "COMPUTE_ENVIRONMENT_MAX_RESOURCE" in batch.job(job)["statusReason"]
    batch.api.terminate_job(jobId=job, reason="enough")


def test_nodes_on_spot_capacity_wait_forever(batch: Any) -> None:
    (known,) = batch.api.describe_compute_environments(computeEnvironments=[QUEUE])[
        "computeEnvironments"
    ]
    resources = {**known["computeResources"], "type": "SPOT"}
    resources = {name: value for name, value in resources.items() if name != "desiredvCpus"}
    batch.api.create_compute_environment(
        computeEnvironmentName="spot", type="MANAGED", computeResources=resources
    )
    batch.aws.advance(5)
    order = [{"order": 1, "computeEnvironment": "spot"}]
    batch.api.create_job_queue(
        jobQueueName="spot", state="ENABLED", priority=1, computeEnvironmentOrder=order
    )
    batch.aws.advance(5)
    job = submit(batch, jobQueue="spot")
    batch.wait_for_status(job, "RUNNABLE")
    batch.aws.advance(3600)
    assert batch.status(job) == "RUNNABLE"
    batch.api.terminate_job(jobId=job, reason="enough")


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"jobQueue": "flowyml-emulator-cpu"}, "is public, and a node gets no public address"),
        ({"containerOverrides": {"command": ["true"]}}, "neither containerOverrides nor"),
        ({"arrayProperties": {"size": 2}}, "nor arrayProperties"),
        ({"nodeOverrides": {"numNodes": 0}}, "numNodes 0 is too small"),
        ({"nodeOverrides": {"numNodes": 1001}}, "exceeds 1000"),
        (
            {"nodeOverrides": {"nodePropertyOverrides": [{"targetNodes": "0:1"}]}},
            "must target the node range of the definition",
        ),
    ],
)
def test_a_submission_that_can_t_run_is_refused(
    batch: Any, members: dict[str, Any], text: str
) -> None:
    with pytest.raises(ClientError, match=text):
        submit(batch, **members)


def test_a_fixed_number_of_nodes_can_t_be_overridden(batch: Any) -> None:
    (nodes,) = properties(batch.aws.environment["FLOWYML_AWS_IMAGE"])["nodeRangeProperties"]
    fixed = define(batch, "fixed", nodeRangeProperties=[{**nodes, "targetNodes": "0:1"}])
    with pytest.raises(ClientError, match="with an open end"):
        submit(batch, jobDefinition=fixed, nodeOverrides={"numNodes": 3})
    with pytest.raises(ClientError, match="nodeOverrides require a job definition of type"):
        submit(batch, jobDefinition=batch.definition, nodeOverrides={"numNodes": 3})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"numNodes": 0}, "numNodes must be"),
        ({"mainNode": 2}, "mainNode must be less"),
        ({"nodeRangeProperties": []}, "up to 5 node ranges"),
        ({"targetNodes": "0:0"}, "account for all nodes"),
        ({"targetNodes": "0:2"}, "exceeds the number of nodes"),
        ({"targetNodes": "all"}, "Invalid node range"),
        ({"container": {"image": "i"}}, "an image, VCPU and MEMORY"),
    ],
)
def test_a_definition_with_wrong_nodes_is_refused(
    batch: Any, changes: dict[str, Any], text: str
) -> None:
    (nodes,) = properties(batch.aws.environment["FLOWYML_AWS_IMAGE"])["nodeRangeProperties"]
    of_range = {name: changes.pop(name) for name in ("targetNodes", "container") if name in changes}
    if of_range:
        changes = {"nodeRangeProperties": [{**nodes, **of_range}]}
    with pytest.raises(ClientError, match=text):
        define(batch, **changes)


def test_private_subnets_without_a_way_out_are_refused(batch: Any) -> None:
    ec2 = batch.aws.client("ec2")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="172.31.240.0/20")["Subnet"]
    environment = "flowyml-emulator-l4-nodes"
    limit(batch, environment, subnets=[subnet["SubnetId"]])
    with pytest.raises(ClientError, match="neither a route to a NAT gateway nor a VPC endpoint"):
        submit(batch, jobQueue=environment)
    region = batch.aws.environment["AWS_DEFAULT_REGION"]
    ec2.create_vpc_endpoint(VpcId=vpc["VpcId"], ServiceName=f"com.amazonaws.{region}.s3")
    assert batch.ended(submit(batch, jobQueue=environment))["status"] == "SUCCEEDED"


@pytest.fixture(scope="module")
def with_efa(aws: Emulator) -> dict[str, Any]:
    """Resources of an environment whose launch template has an EFA, and the security groups."""
    (known,) = aws.client("batch").describe_compute_environments(computeEnvironments=[QUEUE])[
        "computeEnvironments"
    ]
    resources = dict(known["computeResources"])
    del resources["desiredvCpus"]
    interface = {
        "DeviceIndex": 0,
        "InterfaceType": "efa",
        "Groups": resources.pop("securityGroupIds"),
    }
    template = aws.client("ec2").create_launch_template(
        LaunchTemplateName="efa", LaunchTemplateData={"NetworkInterfaces": [interface]}
    )["LaunchTemplate"]
    return {
        **resources,
        "instanceTypes": ["c6i.32xlarge"],
        "launchTemplate": {"launchTemplateId": template["LaunchTemplateId"]},
    }


def create_environment(api: Any, name: str, resources: dict[str, Any]) -> None:
    api.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=resources
    )


def test_security_groups_are_in_the_environment_or_in_the_interfaces_of_its_template(
    batch: Any, with_efa: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match="are exclusively allowed"):
        create_environment(batch.api, "both", {**with_efa, "securityGroupIds": ["sg-1"]})
    with pytest.raises(ClientError, match="One or more security groups must be specified"):
        create_environment(batch.api, "none", {**with_efa, "launchTemplate": {}})
    create_environment(batch.api, "one", with_efa)
    (known,) = batch.api.describe_compute_environments(computeEnvironments=["one"])[
        "computeEnvironments"
    ]
    assert "securityGroupIds" not in known["computeResources"]


@pytest.fixture(scope="module")
def efa_queue(aws: Emulator, with_efa: dict[str, Any]) -> str:
    api = aws.client("batch")
    create_environment(api, "efa", with_efa)
    aws.advance(5)
    order = [{"order": 1, "computeEnvironment": "efa"}]
    api.create_job_queue(
        jobQueueName="efa", state="ENABLED", priority=1, computeEnvironmentOrder=order
    )
    aws.advance(5)
    return "efa"


@pytest.mark.parametrize(("devices", "state"), [(1, "SUCCEEDED"), (2, "FAILED")])
def test_a_container_starts_if_its_instance_has_the_efa_that_it_requests(
    batch: Any, efa_queue: str, devices: int, state: str
) -> None:
    (nodes,) = properties(batch.aws.environment["FLOWYML_AWS_IMAGE"])["nodeRangeProperties"]
    names = [f"/dev/infiniband/uverbs{number}" for number in range(devices)]
    linux = {"devices": [{"hostPath": name} for name in names]}
    container = {**nodes["container"], "linuxParameters": linux}
    definition = define(
        batch, f"devices-{devices}", nodeRangeProperties=[{**nodes, "container": container}]
    )
    code = "import os; print(os.path.exists('/dev/infiniband'), flush=True)"
    job = submit(batch, code, jobQueue=efa_queue, jobDefinition=definition)
    assert batch.ended(job)["status"] == state
    (main,) = batch.api.describe_jobs(jobs=[f"{job}#0"])["jobs"]
    if state == "SUCCEEDED":
        assert batch.log(f"{job}#0") == ["False"]  # nodes are processes of this machine
    else:
        assert main["container"]["reason"] == (
            "CannotStartContainerError: Error response from daemon: error gathering device "
            'information while adding custom device "/dev/infiniband/uverbs1": no such file or '
            "directory"
        )
