"""Metrics, one file each; a metric is a function of arrays."""
