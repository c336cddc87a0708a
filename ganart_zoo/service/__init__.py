"""Jobs for programs that embed the zoo: a queue of tasks with progress, previews, cancelling and limits.

    from ganart_zoo import Zoo
    from ganart_zoo.service import Jobs

    with Jobs(Zoo()) as jobs:
        job = jobs.submit("stylize", content="photo.jpg", styles=["painting.jpg"], settings={"steps": 100})
        for event in job.events():
            print(event.state, event.step, event.total)
        picture = job.result().images

Importing this package loads no torch; names load when first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names

if TYPE_CHECKING:
    from ganart_zoo.registry.untrusted import UntrustedPolicy
    from ganart_zoo.service.cluster import RayExecutor
    from ganart_zoo.service.description import describe
    from ganart_zoo.service.events import STATES, JobEvent
    from ganart_zoo.service.job import Job, JobStoppedError
    from ganart_zoo.service.jobs import Jobs
    from ganart_zoo.service.limits import Limits
    from ganart_zoo.service.outcome import MadePicture, pictures_of
    from ganart_zoo.service.untrusted import message_for_users
    from ganart_zoo.service.verbs import VERBS, Verb

_LAZY = {
    **dict.fromkeys(("STATES", "JobEvent"), "events"),
    **dict.fromkeys(("Job", "JobStoppedError"), "job"),
    "Jobs": "jobs",
    "describe": "description",
    "Limits": "limits",
    **dict.fromkeys(("MadePicture", "pictures_of"), "outcome"),
    "RayExecutor": "cluster",
    **dict.fromkeys(("UntrustedPolicy", "message_for_users"), "untrusted"),
    **dict.fromkeys(("VERBS", "Verb"), "verbs"),
}

__all__ = [
    "STATES",
    "VERBS",
    "Job",
    "JobEvent",
    "JobStoppedError",
    "Jobs",
    "Limits",
    "MadePicture",
    "RayExecutor",
    "UntrustedPolicy",
    "Verb",
    "describe",
    "message_for_users",
    "pictures_of",
]

__getattr__ = lazy_names(__name__, _LAZY)
