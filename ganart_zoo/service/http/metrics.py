"""Figures of a server in Prometheus' format."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ganart_zoo.registry.processes import resident
from ganart_zoo.service import STATES, Jobs

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """Counts requests, and reads the state of the jobs when it is asked. Each server has its own registry."""

    def __init__(self, jobs: Jobs) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "ganart_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "ganart_request_seconds",
            "Time to the first byte of the answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._started = Gauge(
            "ganart_start_time_seconds", "When the server started, in Unix time.", registry=self._registry
        )
        self._started.set(time.time())
        self._registry.register(_JobStates(jobs))

    def text(self) -> bytes:
        """Return all figures as a scrape expects them."""
        return generate_latest(self._registry)


class _JobStates(Collector):
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = dict.fromkeys(STATES, 0)
        for job in self._jobs.list():
            counts[job.state] += 1
        family = GaugeMetricFamily("ganart_jobs", "Jobs that the server remembers.", labels=("state",))
        for state, count in counts.items():
            family.add_metric((state,), count)
        yield family
        if held := resident():
            yield GaugeMetricFamily("ganart_resident_bytes", "Resident memory of the server.", value=held)
