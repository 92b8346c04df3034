"""Resources, roles and tags of API operations, as AWS checks permissions for them.

Source: the Service Authorization Reference. Templates have the names of request members in braces.
A list in a member is several resources, and a missing member is all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CONDITION_KEYS", "MULTIVALUED", "PASSED_ROLES", "RESOURCES", "TAGGED"]

_LOG_GROUP = ("log-group:{logGroupName}:log-stream:",)
_LOG_STREAM = ("log-group:{logGroupName}:log-stream:{logStreamName}",)
_REPOSITORY = ("repository/{repositoryName}",)
_ROLE = ("role/{RoleName}",)
_POLICY = ("{PolicyArn}",)
_USER = ("user/{UserName}",)
_PROFILE = ("instance-profile/{InstanceProfileName}",)
_PARAMETER = ("parameter/{Name}",)
_TRAINING_JOB = ("training-job/{TrainingJobName}",)
_QUOTA = ("{ServiceCode}/{QuotaCode}",)
_RULE = ("rule/{EventBusName}/{Name}",)
_TARGETS = ("rule/{EventBusName}/{Rule}",)
_TOPIC = ("{TopicArn}",)
_QUEUE = ("{QueueUrl}",)


def _each(service: str, operations: str, resources: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {f"{service}:{operation}": resources for operation in operations.split()}


RESOURCES: Mapping[str, tuple[str, ...]] = {
    **_each("batch", "CancelJob TerminateJob", ("job/{jobId}",)),
    **_each("batch", "SubmitJob", ("job-definition/{jobDefinition}", "job-queue/{jobQueue}")),
    **_each("batch", "RegisterJobDefinition", ("job-definition/{jobDefinitionName}",)),
    **_each("batch", "DeregisterJobDefinition", ("job-definition/{jobDefinition}",)),
    **_each("batch", "GetJobQueueSnapshot DeleteJobQueue", ("job-queue/{jobQueue}",)),
    "batch:CreateJobQueue": (
        "job-queue/{jobQueueName}",
        "compute-environment/{computeEnvironmentOrder.computeEnvironment}",
    ),
    "batch:UpdateJobQueue": (
        "job-queue/{jobQueue}",
        "compute-environment/{computeEnvironmentOrder.computeEnvironment}",
    ),
    "batch:CreateComputeEnvironment": ("compute-environment/{computeEnvironmentName}",),
    **_each(
        "batch",
        "DeleteComputeEnvironment UpdateComputeEnvironment",
        ("compute-environment/{computeEnvironment}",),
    ),
    **_each("batch", "TagResource UntagResource ListTagsForResource", ("{resourceArn}",)),
    **_each(
        "sagemaker",
        "CreateTrainingJob DescribeTrainingJob StopTrainingJob UpdateTrainingJob",
        _TRAINING_JOB,
    ),
    **_each("sagemaker", "AddTags DeleteTags ListTags", ("{ResourceArn}",)),
    **_each("logs", "GetLogEvents PutLogEvents CreateLogStream DeleteLogStream", _LOG_STREAM),
    # AWS's errors name a group with an empty stream, so `log-group:NAME` alone does not match.
    **_each(
        "logs",
        "CreateLogGroup DeleteLogGroup DescribeLogStreams FilterLogEvents PutRetentionPolicy",
        _LOG_GROUP,
    ),
    **_each("logs", "TagResource UntagResource ListTagsForResource", ("{resourceArn}",)),
    **_each("ssm", "GetParameter PutParameter DeleteParameter GetParameterHistory", _PARAMETER),
    **_each("ssm", "GetParameters DeleteParameters", ("parameter/{Names}",)),
    "ssm:GetParametersByPath": ("parameter/{Path}",),
    # AWS documents that the tags of a training job count, but not its ARN in this place.
    "ssm:StartSession": ("training-job/{Target}",),
    **_each(
        "secretsmanager",
        "DeleteSecret DescribeSecret GetSecretValue PutSecretValue UpdateSecret",
        ("secret:{SecretId}",),
    ),
    **_each("ssm", "AddTagsToResource ListTagsForResource", ("parameter/{ResourceId}",)),
    **_each(
        "ecr",
        "BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload "
        "CreateRepository DeleteRepository DescribeImages GetDownloadUrlForLayer "
        "InitiateLayerUpload ListImages PutImage PutLifecyclePolicy SetRepositoryPolicy "
        "UploadLayerPart",
        _REPOSITORY,
    ),
    "ecr:DescribeRepositories": ("repository/{repositoryNames}",),
    "ecs:DescribeTasks": ("task/{cluster}/{tasks}",),
    "ecs:ExecuteCommand": ("task/{cluster}/{task}", "cluster/{cluster}"),
    "ecs:DescribeContainerInstances": ("container-instance/{cluster}/{containerInstances}",),
    "ecs:DescribeClusters": ("cluster/{clusters}",),
    **_each("codebuild", "StartBuild", ("project/{projectName}",)),
    # The project is a part of the ids of builds.
    **_each("codebuild", "BatchGetBuilds", ("project/{ids}",)),
    **_each("codebuild", "StopBuild", ("project/{id}",)),
    **_each("codebuild", "CreateProject UpdateProject DeleteProject", ("project/{name}",)),
    "codebuild:BatchGetProjects": ("project/{names}",),
    **_each("servicequotas", "RequestServiceQuotaIncrease", _QUOTA),
    **_each("events", "PutRule DescribeRule DeleteRule EnableRule DisableRule", _RULE),
    **_each("events", "PutTargets RemoveTargets ListTargetsByRule", _TARGETS),
    "events:PutEvents": ("event-bus/{Entries.EventBusName}",),
    **_each(
        "scheduler",
        "CreateSchedule DeleteSchedule GetSchedule UpdateSchedule",
        ("schedule/{resourceArn}",),
    ),
    **_each(
        "scheduler",
        "CreateScheduleGroup DeleteScheduleGroup GetScheduleGroup",
        ("schedule-group/{resourceArn}",),
    ),
    **_each("sns", "CreateTopic", ("{Name}",)),
    **_each(
        "sns",
        "Publish Subscribe GetTopicAttributes SetTopicAttributes DeleteTopic "
        "ListSubscriptionsByTopic",
        _TOPIC,
    ),
    **_each("sqs", "CreateQueue GetQueueUrl", ("{QueueName}",)),
    **_each(
        "sqs",
        "SendMessage ReceiveMessage DeleteMessage DeleteQueue PurgeQueue GetQueueAttributes "
        "SetQueueAttributes",
        _QUEUE,
    ),
    "cloudwatch:PutMetricAlarm": ("alarm:{AlarmName}",),
    **_each("cloudwatch", "DescribeAlarms DeleteAlarms", ("alarm:{AlarmNames}",)),
    **_each(
        "iam",
        "CreateRole GetRole DeleteRole UpdateRole PutRolePolicy GetRolePolicy DeleteRolePolicy "
        "ListRolePolicies AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies TagRole "
        "UpdateAssumeRolePolicy PutRolePermissionsBoundary",
        _ROLE,
    ),
    **_each("iam", "CreateUser GetUser DeleteUser PutUserPolicy AttachUserPolicy", _USER),
    "iam:CreatePolicy": ("policy/{PolicyName}",),
    **_each("iam", "GetPolicy GetPolicyVersion DeletePolicy CreatePolicyVersion", _POLICY),
    **_each(
        "iam",
        "CreateInstanceProfile GetInstanceProfile DeleteInstanceProfile "
        "AddRoleToInstanceProfile RemoveRoleFromInstanceProfile",
        _PROFILE,
    ),
    **_each("sts", "AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity", ("{RoleArn}",)),
}
"""Action: templates of its resources. Any other action is checked on `*`."""

PASSED_ROLES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "batch:RegisterJobDefinition": (("jobRoleArn", "executionRoleArn"), "ecs-tasks.amazonaws.com"),
    "batch:CreateComputeEnvironment": (("serviceRole",), "batch.amazonaws.com"),
    "batch:UpdateComputeEnvironment": (("serviceRole",), "batch.amazonaws.com"),
    "sagemaker:CreateTrainingJob": (("RoleArn",), "sagemaker.amazonaws.com"),
    "codebuild:CreateProject": (("serviceRole",), "codebuild.amazonaws.com"),
    "codebuild:UpdateProject": (("serviceRole",), "codebuild.amazonaws.com"),
    "codebuild:StartBuild": (("serviceRoleOverride",), "codebuild.amazonaws.com"),
    "events:PutTargets": (("RoleArn",), "events.amazonaws.com"),
    "scheduler:CreateSchedule": (("RoleArn",), "scheduler.amazonaws.com"),
    "scheduler:UpdateSchedule": (("RoleArn",), "scheduler.amazonaws.com"),
    "iam:AddRoleToInstanceProfile": (("RoleName",), "ec2.amazonaws.com"),
}
"""Action: members with roles, at any depth, and the service that the roles are passed to."""

TAGGED: Mapping[str, tuple[str, str]] = {
    # The ids of new jobs and the revisions of new definitions are not known before.
    "batch:SubmitJob": ("batch:TagResource", "job/*"),
    "batch:RegisterJobDefinition": (
        "batch:TagResource",
        "job-definition/{jobDefinitionName}:*",
    ),
    "batch:CreateJobQueue": ("batch:TagResource", "job-queue/{jobQueueName}"),
    "batch:CreateComputeEnvironment": (
        "batch:TagResource",
        "compute-environment/{computeEnvironmentName}",
    ),
    "sagemaker:CreateTrainingJob": ("sagemaker:AddTags", "training-job/{TrainingJobName}"),
    "logs:CreateLogGroup": ("logs:TagResource", "log-group:{logGroupName}"),
    "ssm:PutParameter": ("ssm:AddTagsToResource", "parameter/{Name}"),
    "ecr:CreateRepository": ("ecr:TagResource", "repository/{repositoryName}"),
    "events:PutRule": ("events:TagResource", "rule/{EventBusName}/{Name}"),
    "sns:CreateTopic": ("sns:TagResource", "{Name}"),
    "sqs:CreateQueue": ("sqs:TagQueue", "{QueueName}"),
    "iam:CreateRole": ("iam:TagRole", "role/{RoleName}"),
    "sts:AssumeRole": ("sts:TagSession", "{RoleArn}"),
}
"""Action: the action, with its resource, that is needed in addition if the request has tags."""

CONDITION_KEYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "batch:RegisterJobDefinition": {
        "batch:Image": ("containerProperties.image",),
        "batch:User": ("containerProperties.user",),
        "batch:Privileged": ("containerProperties.privileged",),
        "batch:LogDriver": ("containerProperties.logConfiguration.logDriver",),
        "batch:AWSLogsGroup": ("containerProperties.logConfiguration.options.awslogs-group",),
    },
    "sagemaker:CreateTrainingJob": {
        "sagemaker:InstanceTypes": (
            "ResourceConfig.InstanceType",
            "ResourceConfig.InstanceGroups.InstanceType",
            "ResourceConfig.InstancePreferences.InstanceType",
        ),
        "sagemaker:InterContainerTrafficEncryption": ("EnableInterContainerTrafficEncryption",),
        "sagemaker:KeepAlivePeriod": ("ResourceConfig.KeepAlivePeriodInSeconds",),
        "sagemaker:MaxRuntimeInSeconds": ("StoppingCondition.MaxRuntimeInSeconds",),
        "sagemaker:NetworkIsolation": ("EnableNetworkIsolation",),
        "sagemaker:OutputKmsKey": ("OutputDataConfig.KmsKeyId",),
        "sagemaker:VolumeKmsKey": ("ResourceConfig.VolumeKmsKeyId",),
        "sagemaker:VpcSecurityGroupIds": ("VpcConfig.SecurityGroupIds",),
        "sagemaker:VpcSubnets": ("VpcConfig.Subnets",),
    },
    "ssm:PutParameter": {"ssm:Overwrite": ("Overwrite",)},
    "ssm:GetParametersByPath": {"ssm:Recursive": ("Recursive",)},
    "servicequotas:RequestServiceQuotaIncrease": {"servicequotas:service": ("ServiceCode",)},
    "events:PutTargets": {"events:TargetArn": ("Targets.Arn",)},
    "sns:Subscribe": {"sns:Protocol": ("Protocol",), "sns:Endpoint": ("Endpoint",)},
    "cloudwatch:PutMetricData": {"cloudwatch:namespace": ("Namespace",)},
    "iam:CreateRole": {"iam:PermissionsBoundary": ("PermissionsBoundary",)},
    "iam:AttachRolePolicy": {"iam:PolicyARN": ("PolicyArn",)},
    "iam:AttachUserPolicy": {"iam:PolicyARN": ("PolicyArn",)},
    "sts:AssumeRole": {
        "sts:RoleSessionName": ("RoleSessionName",),
        "sts:ExternalId": ("ExternalId",),
    },
}
"""Action: condition keys with the members that give their values."""

MULTIVALUED = {
    *("sagemaker:InstanceTypes", "sagemaker:VpcSecurityGroupIds", "sagemaker:VpcSubnets"),
    "events:TargetArn",
}
"""Condition keys with lists of values."""
