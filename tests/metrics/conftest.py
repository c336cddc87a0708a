"""Metric tests run on one thread, so that they neither wait for each other's threads nor differ in their sums."""

from ..training.conftest import one_thread as one_thread
