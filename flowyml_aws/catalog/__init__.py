"""Catalog of instance types and prices, and what is known of families and disks."""
