"""SageMaker: jobs are training jobs."""
