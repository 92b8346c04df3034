"""Emulated SageMaker training jobs, with stops, interruptions, capacity limits and quotas."""
