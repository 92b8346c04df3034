"""SageMaker's operations on training jobs.

All of them are implemented here: moto (5.2) reports every training job as completed immediately,
drops its environment, lets a second job of the same name replace the first, and can't stop a job.

Not emulated: multiple instances, algorithms without an image, inputs other than S3 objects,
debugger, profiler, metrics, training plans, serverless jobs; the memory and GPUs of instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.sagemaker.errors import ValidationException
from flowyml_aws.testing.sagemaker.images import check_image
from flowyml_aws.testing.sagemaker.listing import list_training_jobs
from flowyml_aws.testing.sagemaker.service import TrainingService
from flowyml_aws.testing.sagemaker.training_job import TrainingJob
from flowyml_aws.testing.sagemaker.validation import check_creation, check_request

__all__ = ["SageMakerApi"]

# Spot price as a fraction of the on-demand price; on AWS it varies by type and hour.
_SPOT_PRICE_RATIO = 0.3


class SageMakerApi:
    """SageMaker's operations on training jobs.

    Args:
        service: Life cycle of the jobs.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Always empty: no request is passed on to moto.
    """

    def __init__(self, service: TrainingService) -> None:
        self._service = service
        self.handlers: Mapping[str, Handler] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "StopTrainingJob": self._stop,
            "UpdateTrainingJob": self._update,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
        }
        self.rewrites: Mapping[str, Rewrite] = {}

    def _create(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_creation(request)
        check_image(request["AlgorithmSpecification"]["TrainingImage"], request["RoleArn"])
        name = request["TrainingJobName"]
        arn = f"arn:aws:sagemaker:{region}:{DEFAULT_ACCOUNT_ID}:training-job/{name}"
        return {"TrainingJobArn": self._service.create(request, arn).arn}

    def _describe(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        return self._job("DescribeTrainingJob", request).detail(_SPOT_PRICE_RATIO)

    def _list(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_request("ListTrainingJobs", request)
        return list_training_jobs(self._service.listed, request)

    def _stop(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        self._service.stop(self._job("StopTrainingJob", request))
        return {}

    def _update(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        job = self._job("UpdateTrainingJob", request)
        resources = request.get("ResourceConfig")
        if not resources or set(request) != {"TrainingJobName", "ResourceConfig"}:
            raise ValidationException(
                "flowyml_aws.testing can update KeepAlivePeriodInSeconds only"
            )
        self._service.keep_alive(job, resources["KeepAlivePeriodInSeconds"])
        return {"TrainingJobArn": job.arn}

    def _add_tags(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_request("AddTags", request)
        tags = self._by_arn(request["ResourceArn"]).tags
        tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {"Tags": _tag_list(tags)}

    def _list_tags(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_request("ListTags", request)
        return {"Tags": _tag_list(self._by_arn(request["ResourceArn"]).tags)}

    def _job(self, operation: str, request: Mapping[str, Any]) -> TrainingJob:
        check_request(operation, request)
        job = self._service.jobs.get(request["TrainingJobName"])
        if job is None:
            raise ValidationException("Requested resource not found.")
        return job

    def _by_arn(self, arn: str) -> TrainingJob:
        job = self._service.jobs.get(arn.rpartition(":training-job/")[2])
        if job is None or job.arn != arn:
            raise ValidationException(f"Could not find the resource {arn}")
        return job


def _tag_list(tags: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
