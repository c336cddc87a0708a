"""An asyncio program that paints several pictures, shows their progress, and stops one that takes too long.

python examples/jobs_asyncio.py photo.jpg painting.jpg 60
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from ganart_zoo import GanartError, Zoo
from ganart_zoo.service import Job, Jobs


async def watch(job: Job) -> None:
    """Print the steps of a job as they come."""
    async for event in job.events():
        left = "" if event.eta is None else f", {event.eta:.0f} s left"
        print(f"{job.id} {event.state} {event.step}/{event.total or '?'}{left}")


async def main(photo: str, painting: str, steps: int) -> None:
    """Paint the photo twice at once, and a third time within a second."""
    with Jobs(Zoo(), workers=2, limits={"pixels": 4e6}) as jobs:
        request: dict[str, Any] = {"content": photo, "styles": [painting], "size": 256}
        made = [jobs.submit("stylize", **request, seed=seed, settings={"steps": steps}) for seed in (1, 2)]
        hasty = jobs.submit("stylize", **request, settings={"steps": 2000}, priority=-1, limits={"seconds": 1})
        await asyncio.gather(*map(watch, made))
        for job in made:
            print(job.id, [picture.record.seed for picture in job.pictures() if picture.record])
        try:
            result = await hasty  # the best that a second gave
            print(f"stopped: {result.stopped}, {hasty.reason}")
        except GanartError as error:
            print(f"nothing yet: {error}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
