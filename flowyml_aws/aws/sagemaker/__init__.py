"""SageMaker: training jobs, their requests, limits and quotas, and the backend of a run."""
