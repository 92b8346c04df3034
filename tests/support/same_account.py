"""Comparison of Terraform's plan and CDK's template, as resources by CloudFormation type.

A resource is a flat mapping of the properties that decide its behavior. Ids that only AWS knows
are left out, and so are the tags of instance profiles and managed policies: the resource types of
CloudFormation have none. Resources that are separate in only one of the two are joined.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = [
    "Resources",
    "differences",
    "of_plan",
    "of_template",
    "outputs_of_plan",
    "outputs_of_template",
]

Properties = dict[str, Any]
Resources = dict[str, dict[str, Properties]]
"""Type → name → properties."""

_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::AccountId": "123456789012",
    "AWS::Region": "us-east-1",
    "AWS::URLSuffix": "amazonaws.com",
}


def of_template(template: Mapping[str, Any]) -> Resources:
    """Return the resources of CDK's template."""
    resources: Resources = {}
    names = {key: _cfn_name(key, r) for key, r in template["Resources"].items()}
    for key, resource in _with_rules(template["Resources"]).items():
        properties = _resolved(resource["Properties"], names)
        properties["DeletionPolicy"] = resource.get("DeletionPolicy", "Delete")
        compared = _CFN.get(resource["Type"], _tags_only)(properties)
        resources.setdefault(resource["Type"], {})[names[key]] = compared
    return {kind: _numbered(named) for kind, named in resources.items()}


def _with_rules(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Move the rules that are resources of their own into their security groups."""
    joined = json.loads(json.dumps(resources))
    for key, resource in resources.items():
        if resource["Type"] in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"):
            group = joined[resource["Properties"]["GroupId"]["Fn::GetAtt"][0]]["Properties"]
            kind = resource["Type"].removeprefix("AWS::EC2::")
            group.setdefault(kind, []).append(joined.pop(key)["Properties"])
    return joined


def of_plan(plan: Mapping[str, Any]) -> Resources:
    """Return the resources of Terraform's plan."""
    (module,) = plan["planned_values"]["root_module"]["child_modules"]
    managed = [r for r in module["resources"] if r["mode"] == "managed"]
    parts: dict[str, list[Properties]] = {}
    for resource in managed:
        parts.setdefault(resource["type"], []).append(resource["values"])
    resources: Resources = {}
    for resource in managed:
        for kind in _TERRAFORM[resource["type"]]:
            compared = _PLANNED.get(kind, lambda values, parts: {})(resource["values"], parts)
            resources.setdefault(kind, {})[_tf_name(resource)] = compared
    return {kind: _numbered(named) for kind, named in resources.items()}


def outputs_of_template(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the outputs of CDK's template, with the names of other resources as values."""
    names = {key: _cfn_name(key, r) for key, r in template["Resources"].items()}
    return {
        _snake(key): str(_resolved(output["Value"], names))
        for key, output in template["Outputs"].items()
    }


def outputs_of_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs of Terraform's module, with None for values that only AWS knows."""
    outputs = plan["configuration"]["root_module"]["module_calls"]["flowyml"]["module"]["outputs"]
    known = plan["output_changes"]["flowyml"]["after"]
    return {name: known.get(name) for name in outputs}


# Terraform type → CloudFormation types; none for types that are part of another resource.
_TERRAFORM: Mapping[str, tuple[str, ...]] = {
    "aws_batch_compute_environment": ("AWS::Batch::ComputeEnvironment",),
    "aws_batch_job_queue": ("AWS::Batch::JobQueue",),
    "aws_batch_scheduling_policy": ("AWS::Batch::SchedulingPolicy",),
    "aws_budgets_budget": ("AWS::Budgets::Budget",),
    "aws_cloudwatch_event_rule": ("AWS::Events::Rule",),
    "aws_cloudwatch_event_target": (),
    "aws_cloudwatch_log_group": ("AWS::Logs::LogGroup",),
    "aws_cloudwatch_metric_alarm": ("AWS::CloudWatch::Alarm",),
    "aws_codebuild_project": ("AWS::CodeBuild::Project",),
    "aws_ecr_lifecycle_policy": (),
    "aws_eip": ("AWS::EC2::EIP",),
    "aws_ecr_repository": ("AWS::ECR::Repository",),
    "aws_iam_instance_profile": ("AWS::IAM::InstanceProfile",),
    "aws_iam_policy": ("AWS::IAM::ManagedPolicy",),
    "aws_iam_role": ("AWS::IAM::Role",),
    "aws_iam_role_policy": ("AWS::IAM::RolePolicy",),
    "aws_iam_role_policy_attachment": (),
    "aws_internet_gateway": ("AWS::EC2::InternetGateway", "AWS::EC2::VPCGatewayAttachment"),
    "aws_launch_template": ("AWS::EC2::LaunchTemplate",),
    "aws_nat_gateway": ("AWS::EC2::NatGateway",),
    "aws_placement_group": ("AWS::EC2::PlacementGroup",),
    "aws_route": ("AWS::EC2::Route",),
    "aws_route_table": ("AWS::EC2::RouteTable",),
    "aws_route_table_association": ("AWS::EC2::SubnetRouteTableAssociation",),
    "aws_s3_bucket": ("AWS::S3::Bucket",),
    "aws_s3_bucket_lifecycle_configuration": (),
    "aws_s3_bucket_ownership_controls": (),
    "aws_s3_bucket_policy": ("AWS::S3::BucketPolicy",),
    "aws_s3_bucket_public_access_block": (),
    "aws_s3_bucket_server_side_encryption_configuration": (),
    "aws_scheduler_schedule_group": ("AWS::Scheduler::ScheduleGroup",),
    "aws_security_group": ("AWS::EC2::SecurityGroup",),
    "aws_sns_topic": ("AWS::SNS::Topic",),
    "aws_sns_topic_policy": ("AWS::SNS::TopicPolicy",),
    "aws_sns_topic_subscription": ("AWS::SNS::Subscription",),
    "aws_ssm_parameter": ("AWS::SSM::Parameter",),
    "aws_subnet": ("AWS::EC2::Subnet",),
    "aws_vpc": ("AWS::EC2::VPC",),
    "aws_vpc_endpoint": ("AWS::EC2::VPCEndpoint",),
}
_NAMES = (
    *("compute_environment_name", "ComputeEnvironmentName", "JobQueueName", "RoleName", "RuleName"),
    *("LaunchTemplateName", "ManagedPolicyName", "InstanceProfileName", "RepositoryName"),
    *("BucketName", "bucket", "LogGroupName", "TopicName", "AlarmName", "alarm_name", "GroupName"),
    *("CidrBlock", "cidr_block", "name", "Name"),
)


def _tf_name(resource: Mapping[str, Any]) -> str:
    if resource["type"] == "aws_iam_role_policy":
        return str(resource["index"])
    if resource["type"] == "aws_placement_group":  # CloudFormation names them itself
        return str(resource["address"])
    values = resource["values"]
    if resource["type"] == "aws_vpc_endpoint":
        return _endpoint_name(values["service_name"], values["tags"])
    return next((str(values[n]) for n in _NAMES if values.get(n)), resource["address"])


def _cfn_name(key: str, resource: Mapping[str, Any]) -> str:
    properties = _resolved(resource["Properties"], {})
    if resource["Type"] == "AWS::IAM::RolePolicy":
        return str(properties["PolicyName"])
    if resource["Type"] == "AWS::EC2::VPCEndpoint":
        return _endpoint_name(properties["ServiceName"], _tags(properties["Tags"]))
    if resource["Type"] == "AWS::Budgets::Budget":
        return str(properties["Budget"]["BudgetName"])
    return next((str(properties[n]) for n in _NAMES if properties.get(n)), key)


def _endpoint_name(service: str, tags: Mapping[str, str]) -> str:
    return f"{tags['Name']}: {service}"


def _numbered(resources: dict[str, Properties]) -> dict[str, Properties]:
    """Replace the names that tools generate by numbers."""
    generated = [name for name in resources if name.startswith(("module.", "Account"))]
    names = {name: str(number) for number, name in enumerate(sorted(generated))}
    return {names.get(name, name): values for name, values in sorted(resources.items())}


def _resolved(value: Any, names: Mapping[str, str]) -> Any:
    """Evaluate the functions in a value of a template; other resources become their names."""
    if isinstance(value, list):
        return [_resolved(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return _PSEUDO.get(value["Ref"]) or names.get(value["Ref"], value["Ref"])
    if set(value) == {"Fn::GetAtt"}:
        return names.get(value["Fn::GetAtt"][0], value["Fn::GetAtt"][0])
    if set(value) == {"Fn::Join"}:
        separator, pieces = value["Fn::Join"]
        return separator.join(str(_resolved(piece, names)) for piece in pieces)
    if set(value) == {"Fn::Base64"}:
        return base64.b64encode(_resolved(value["Fn::Base64"], names).encode()).decode()
    return {key: _resolved(item, names) for key, item in value.items()}


def _tags(tags: Any) -> dict[str, str]:
    return (
        dict(tags) if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags or ()}
    )


def _tags_only(properties: Properties) -> Properties:
    return {"tags": _tags(properties["Tags"])} if "Tags" in properties else {}


def _single(values: Any) -> Properties:
    (value,) = values
    return dict(value)


def _snake(name: str) -> str:
    text = name.replace("OK", "Ok").replace("MaxvCpus", "MaxVcpus").replace("MinvCpus", "MinVcpus")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in text).lstrip("_")


def _common(
    *names: str,
) -> tuple[Callable[[Properties], Properties], Callable[[Properties, Any], Properties]]:
    """Return functions that select properties with the same name in both tools, and the tags."""

    def of_cfn(properties: Properties) -> Properties:
        picked = {_snake(name): properties.get(name) for name in names}
        return {**picked, **_tags_only(properties)}

    def of_tf(values: Properties, parts: Any) -> Properties:
        picked = {_snake(name): values.get(_snake(name)) for name in names}
        return {**picked, **({"tags": values["tags"]} if values.get("tags") else {})}

    return of_cfn, of_tf


def _snake_keys(value: Any) -> Any:
    """Convert all keys, also nested ones, to Terraform's spelling."""
    if isinstance(value, list):
        return [_snake_keys(item) for item in value]
    if isinstance(value, dict):
        return {_snake(key): _snake_keys(item) for key, item in value.items()}
    return value


def _cfn_environment(p: Properties) -> Properties:
    resources = p["ComputeResources"]
    image = resources["Ec2Configuration"][0]
    return {
        "type": resources["Type"],
        "strategy": resources["AllocationStrategy"],
        "vcpus": (resources["MinvCpus"], resources["MaxvCpus"]),
        "types": resources["InstanceTypes"],
        "has_placement_group": "PlacementGroup" in resources,
        "has_security_groups": "SecurityGroupIds" in resources,
        "image": (image["ImageType"], image.get("ImageIdOverride")),
        "update": _snake_keys(p["UpdatePolicy"]),
        "service_role": p.get("ServiceRole"),
        "tags": p["Tags"],
    }


def _tf_environment(v: Properties, parts: Any) -> Properties:
    resources = _single(v["compute_resources"])
    image = _single(resources["ec2_configuration"])
    return {
        "type": resources["type"],
        "strategy": resources["allocation_strategy"],
        "vcpus": (resources["min_vcpus"], resources["max_vcpus"]),
        "types": resources["instance_type"],
        "has_placement_group": bool(resources.get("placement_group")),
        # Only AWS knows them; without any, the plan has null instead of no value.
        "has_security_groups": resources.get("security_group_ids", ()) is not None,
        "image": (image["image_type"], image.get("image_id_override")),
        "update": _single(v["update_policy"]),
        "service_role": v.get("service_role"),
        "tags": v["tags"],
    }


def _cfn_queue(p: Properties) -> Properties:
    return {
        "state": p["State"],
        "priority": p["Priority"],
        "limits": _snake_keys(p["JobStateTimeLimitActions"]),
        "orders": [order["Order"] for order in p["ComputeEnvironmentOrder"]],
        "has_policy": "SchedulingPolicyArn" in p,
        "tags": p["Tags"],
    }


def _cfn_scheduling(p: Properties) -> Properties:
    shares = p["FairsharePolicy"]["ShareDistribution"]
    return {"shares": _snake_keys(shares), "tags": p["Tags"]}


def _tf_scheduling(v: Properties, parts: Any) -> Properties:
    (policy,) = v["fair_share_policy"]
    return {"shares": policy["share_distribution"], "tags": v["tags"]}


def _tf_queue(v: Properties, parts: Any) -> Properties:
    return {
        "state": v["state"],
        "priority": v["priority"],
        "limits": v["job_state_time_limit_action"],
        "orders": [order["order"] for order in v["compute_environment_order"]],
        # An ARN that only AWS knows is left out of a plan.
        "has_policy": v.get("scheduling_policy_arn", "unknown") is not None,
        "tags": v["tags"],
    }


_INTERFACE = ("network_card_index", "device_index", "interface_type", "delete_on_termination")


def _cfn_template(p: Properties) -> Properties:
    data = p["LaunchTemplateData"]
    return {
        "disks": [(b["DeviceName"], _snake_keys(b["Ebs"])) for b in data["BlockDeviceMappings"]],
        "metadata": _snake_keys(data["MetadataOptions"]),
        "interfaces": [
            tuple(interface[name] for name in _INTERFACE)
            for interface in _snake_keys(data.get("NetworkInterfaces", []))
        ],
        "tags": {s["ResourceType"]: _tags(s["Tags"]) for s in data["TagSpecifications"]},
        "user_data": data["UserData"],
    }


def _tf_template(v: Properties, parts: Any) -> Properties:
    def disk(block: Any) -> Properties:
        ebs = {key: value for key, value in _single(block).items() if value is not None}
        return {
            key: value == "true" if value in ("true", "false") else value
            for key, value in ebs.items()
        }

    metadata = _single(v["metadata_options"])
    return {
        "disks": [(b["device_name"], disk(b["ebs"])) for b in v["block_device_mappings"]],
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "interfaces": [
            (*(interface[name] for name in _INTERFACE[:-1]), interface[_INTERFACE[-1]] == "true")
            for interface in v["network_interfaces"]
        ],
        "tags": {s["resource_type"]: s["tags"] for s in v["tag_specifications"]},
        "user_data": v["user_data"],
    }


def _cfn_bucket(p: Properties) -> Properties:
    (encryption,) = p["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    (ownership,) = p["OwnershipControls"]["Rules"]
    (rule,) = p["LifecycleConfiguration"]["Rules"]
    return {
        "encryption": encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "ownership": ownership["ObjectOwnership"],
        "public": _snake_keys(p["PublicAccessBlockConfiguration"]),
        "rule": (rule["Id"], rule["Status"], _snake_keys(rule["AbortIncompleteMultipartUpload"])),
        "is_deleted_if_empty": p["DeletionPolicy"] == "Delete",
        "tags": _tags(p["Tags"]),
    }


def _tf_bucket(v: Properties, parts: Mapping[str, list[Properties]]) -> Properties:
    def rule(kind: str) -> Properties:
        (part,) = parts[f"aws_s3_bucket_{kind}"]
        return _single(part["rule"])

    encryption = rule("server_side_encryption_configuration")
    lifecycle = rule("lifecycle_configuration")
    (public,) = parts["aws_s3_bucket_public_access_block"]
    abort = _single(lifecycle["abort_incomplete_multipart_upload"])
    return {
        "encryption": _single(encryption["apply_server_side_encryption_by_default"])[
            "sse_algorithm"
        ],
        "ownership": rule("ownership_controls")["object_ownership"],
        "public": {k: v for k, v in public.items() if isinstance(v, bool) and "_p" in k},
        "rule": (lifecycle["id"], lifecycle["status"], abort),
        "is_deleted_if_empty": not v["force_destroy"],
        "tags": v["tags"],
    }


def _cfn_repository(p: Properties) -> Properties:
    return {
        "tags_are": p["ImageTagMutability"],
        "scan": p["ImageScanningConfiguration"]["ScanOnPush"],
        "encryption": p["EncryptionConfiguration"]["EncryptionType"],
        "lifecycle": json.loads(p["LifecyclePolicy"]["LifecyclePolicyText"]),
        "is_deleted": (p["DeletionPolicy"] == "Delete", p["EmptyOnDelete"]),
        "tags": _tags(p["Tags"]),
    }


def _tf_repository(v: Properties, parts: Mapping[str, list[Properties]]) -> Properties:
    (lifecycle,) = parts["aws_ecr_lifecycle_policy"]
    return {
        "tags_are": v["image_tag_mutability"],
        "scan": _single(v["image_scanning_configuration"])["scan_on_push"],
        "encryption": _single(v["encryption_configuration"])["encryption_type"],
        "lifecycle": json.loads(lifecycle["policy"]),
        "is_deleted": (True, v["force_delete"]),
        "tags": v["tags"],
    }


def _cfn_build_project(p: Properties) -> Properties:
    logs = p["LogsConfig"]["CloudWatchLogs"]
    return {
        "minutes": (p["TimeoutInMinutes"], p["QueuedTimeoutInMinutes"]),
        "source": (p["Source"]["Type"], p["Source"]["Location"], p["Source"]["BuildSpec"]),
        "artifacts": p["Artifacts"]["Type"],
        "environment": _snake_keys(p["Environment"]),
        "log": (logs["GroupName"], logs["StreamName"]),
        "tags": _tags(p["Tags"]),
    }


def _tf_build_project(v: Properties, parts: Any) -> Properties:
    source, environment = _single(v["source"]), _single(v["environment"])
    logs = _single(_single(v["logs_config"])["cloudwatch_logs"])
    names = ("type", "image", "compute_type", "privileged_mode")
    return {
        "minutes": (v["build_timeout"], v["queued_timeout"]),
        "source": (source["type"], source["location"], source["buildspec"]),
        "artifacts": _single(v["artifacts"])["type"],
        "environment": {name: environment[name] for name in names},
        "log": (logs["group_name"], logs["stream_name"]),
        "tags": v["tags"],
    }


def _cfn_role(p: Properties) -> Properties:
    managed = p.get("ManagedPolicyArns") or []
    return {
        "trust": p["AssumeRolePolicyDocument"],
        "managed": [arn.rpartition("/")[2] for arn in managed],
        "session_s": p.get("MaxSessionDuration", 3600),
        "tags": _tags(p["Tags"]),
    }


def _tf_role(v: Properties, parts: Mapping[str, list[Properties]]) -> Properties:
    attached = [a for a in parts["aws_iam_role_policy_attachment"] if a["role"] == v["name"]]
    # The ARN of our own policy is known only after its creation; it has the role's name.
    arns = [a.get("policy_arn") or f"/{v['name']}" for a in attached]
    return {
        "trust": json.loads(v["assume_role_policy"]),
        "managed": [arn.rpartition("/")[2] for arn in arns],
        "session_s": v["max_session_duration"],
        "tags": v["tags"],
    }


def _cfn_document(p: Properties) -> Properties:
    return {"document": p["PolicyDocument"]}


def _tf_document(v: Properties, parts: Any) -> Properties:
    return {"document": json.loads(v["policy"])}


def _cfn_managed(p: Properties) -> Properties:
    return {
        "document": p["PolicyDocument"],
        "description": p["Description"],
    }


def _tf_managed(v: Properties, parts: Any) -> Properties:
    return {
        "document": json.loads(v["policy"]),
        "description": v["description"],
    }


def _cfn_rule(p: Properties) -> Properties:
    (target,) = p["Targets"]
    transformer = target["InputTransformer"]
    return {
        "description": p["Description"],
        "pattern": p["EventPattern"],
        "paths": transformer["InputPathsMap"],
        "template": transformer["InputTemplate"],
        "tags": _tags(p["Tags"]),
    }


def _tf_rule(v: Properties, parts: Mapping[str, list[Properties]]) -> Properties:
    (target,) = [t for t in parts["aws_cloudwatch_event_target"] if t["rule"] == v["name"]]
    transformer = _single(target["input_transformer"])
    return {
        "description": v["description"],
        "pattern": json.loads(v["event_pattern"]),
        "paths": transformer["input_paths"],
        "template": transformer["input_template"],
        "tags": v["tags"],
    }


def _cfn_budget(p: Properties) -> Properties:
    budget = p["Budget"]
    return {
        "limit": (float(budget["BudgetLimit"]["Amount"]), budget["BudgetLimit"]["Unit"]),
        "kind": (budget["BudgetType"], budget["TimeUnit"]),
        "notifications": [
            _snake_keys(n["Notification"]) for n in p["NotificationsWithSubscribers"]
        ],
        "tags": _tags(p["ResourceTags"]),
    }


def _tf_budget(v: Properties, parts: Any) -> Properties:
    def without_subscribers(note: Properties) -> Properties:
        return {key: value for key, value in note.items() if not key.startswith("subscriber")}

    return {
        "limit": (float(v["limit_amount"]), v["limit_unit"]),
        "kind": (v["budget_type"], v["time_unit"]),
        "notifications": [without_subscribers(note) for note in v["notification"]],
        "tags": v["tags"],
    }


def _cfn_parameter(p: Properties) -> Properties:
    return {"type": p["Type"], "value": json.loads(p["Value"]), "tags": p["Tags"]}


def _tf_parameter(v: Properties, parts: Any) -> Properties:
    return {"type": v["type"], "value": json.loads(v["value"]), "tags": v["tags"]}


def _cfn_group(p: Properties) -> Properties:
    def rules(kind: str) -> list[Any]:
        return sorted(
            (r["IpProtocol"], r.get("FromPort", 0), r.get("ToPort", 0), r.get("CidrIp", "self"))
            for r in p.get(kind, ())
        )

    out, into = rules("SecurityGroupEgress"), rules("SecurityGroupIngress")
    return {"out": out, "in": into, "tags": _tags(p["Tags"])}


def _tf_group(v: Properties, parts: Any) -> Properties:
    def rules(kind: str) -> list[Any]:
        return sorted(
            (
                r["protocol"],
                r["from_port"],
                r["to_port"],
                *(["self"] if r["self"] else r["cidr_blocks"]),
            )
            for r in v.get(kind) or ()
        )

    return {"out": rules("egress"), "in": rules("ingress"), "tags": v["tags"]}


_ALIKE = {
    "AWS::CloudWatch::Alarm": _common(
        *("AlarmDescription", "Namespace", "MetricName", "Statistic", "Period", "Threshold"),
        *("EvaluationPeriods", "DatapointsToAlarm", "ComparisonOperator", "TreatMissingData"),
    ),
    "AWS::EC2::EIP": _common("Domain"),
    "AWS::EC2::InternetGateway": _common(),
    "AWS::EC2::NatGateway": _common(),
    "AWS::EC2::PlacementGroup": _common("Strategy"),
    "AWS::EC2::RouteTable": _common(),
    "AWS::EC2::Route": _common("DestinationCidrBlock"),
    "AWS::EC2::Subnet": _common("CidrBlock", "MapPublicIpOnLaunch", "AvailabilityZone"),
    "AWS::EC2::VPC": _common("CidrBlock", "EnableDnsHostnames", "EnableDnsSupport"),
    "AWS::EC2::VPCEndpoint": _common("ServiceName", "VpcEndpointType", "PrivateDnsEnabled"),
    "AWS::Logs::LogGroup": _common("RetentionInDays"),
    "AWS::SNS::Subscription": _common("Protocol", "Endpoint"),
    "AWS::Scheduler::ScheduleGroup": _common("Name"),
    "AWS::SNS::Topic": _common(),
}
_DIFFERENT: Mapping[
    str, tuple[Callable[[Properties], Properties], Callable[[Properties, Any], Properties]]
] = {
    "AWS::Batch::ComputeEnvironment": (_cfn_environment, _tf_environment),
    "AWS::Batch::JobQueue": (_cfn_queue, _tf_queue),
    "AWS::Batch::SchedulingPolicy": (_cfn_scheduling, _tf_scheduling),
    "AWS::Budgets::Budget": (_cfn_budget, _tf_budget),
    "AWS::EC2::LaunchTemplate": (_cfn_template, _tf_template),
    "AWS::EC2::SecurityGroup": (_cfn_group, _tf_group),
    "AWS::ECR::Repository": (_cfn_repository, _tf_repository),
    "AWS::Events::Rule": (_cfn_rule, _tf_rule),
    "AWS::IAM::ManagedPolicy": (_cfn_managed, _tf_managed),
    "AWS::CodeBuild::Project": (_cfn_build_project, _tf_build_project),
    "AWS::IAM::Role": (_cfn_role, _tf_role),
    "AWS::IAM::RolePolicy": (_cfn_document, _tf_document),
    "AWS::S3::Bucket": (_cfn_bucket, _tf_bucket),
    "AWS::S3::BucketPolicy": (_cfn_document, _tf_document),
    "AWS::SNS::TopicPolicy": (_cfn_document, _tf_document),
    "AWS::SSM::Parameter": (_cfn_parameter, _tf_parameter),
}
_PAIRS = {**_ALIKE, **_DIFFERENT}
_CFN = {kind: pair[0] for kind, pair in _PAIRS.items()}
_PLANNED = {kind: pair[1] for kind, pair in _PAIRS.items()}


def differences(first: Resources, second: Resources) -> Iterator[str]:
    """Yield a description of each difference."""
    for kind in sorted({*first, *second}):
        left, right = first.get(kind, {}), second.get(kind, {})
        for name in sorted({*left, *right}):
            if left.get(name) != right.get(name):
                yield f"{kind} {name}: {left.get(name)} is not {right.get(name)}"
