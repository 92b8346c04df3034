"""Checks of an AWS account. Each makes read-only calls and returns findings."""
