"""AWS Batch: job definitions, requests, states of jobs, queues, and the backend of a run."""
