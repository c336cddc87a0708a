"""Benchmarks in pytest-benchmark's form: one file for each op, and one for each task."""
