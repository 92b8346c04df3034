"""The emulated AWS Batch: queues, compute environments, and the scheduling of jobs."""
