"""Measurement of the machine that a job runs on: processor, memory, disk, network, GPUs."""
