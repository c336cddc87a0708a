"""A program as one writes it that embeds the zoo: `make lint` holds it to `mypy --strict`, and nothing runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import torch

from ganart_zoo import GanartError, Zoo
from ganart_zoo.contract import Backbone, Condition, Generator, StepEvent, Style, StyleGenerator, StyleTransfer
from ganart_zoo.imaging import load, save
from ganart_zoo.service import Job, Jobs, Limits, MadePicture, RayExecutor, UntrustedPolicy, message_for_users
from ganart_zoo.tasks.stylize import Stylizer, stylize


def show(here: int, total: int | None) -> None:
    print(here, total)


def restyle(zoo: Zoo, photo: Path) -> torch.Tensor:
    model = zoo.create_as(StyleTransfer, "gatys", fetch=show, steps=10)

    def on_step(event: StepEvent) -> bool | None:
        return event.step < 5

    made = model.stylize(load(photo), [Style(load("painting.jpg"))], options=zoo.options("gatys"), on_step=on_step)
    save(made, "out.png")
    return made


def paint(zoo: Zoo) -> torch.Tensor:
    generator = zoo.create_as(Generator, "latent_flow")
    latents = generator.sample_latents(2, rng=torch.Generator().manual_seed(1))
    walker = zoo.create_as(StyleGenerator, "stylegan2", weights=None)
    backbone = zoo.create_as(Backbone, "efficientnet_lite0")
    print(walker.num_ws, sorted(backbone.layers))
    images: torch.Tensor = generator(latents, Condition(prompts=("red apple",)))
    return images


def tasks(zoo: Zoo) -> None:
    made = stylize(zoo, "photo.jpg", ["painting.jpg"], "out.png", settings={"steps": 10})
    print(made.images.shape, made.record.seed)
    stylizer = Stylizer(zoo, "gatys", ["painting.jpg"], size=256)
    print(stylizer.with_options(steps=20)("photo.jpg").seconds)


async def wait(job: Job) -> tuple[MadePicture, ...]:
    async for event in job.events():
        print(event.step, event.total, event.losses)
    await job
    return job.pictures()


def main() -> None:
    zoo = Zoo()
    with Jobs(zoo, "history", workers=2, limits=Limits(seconds=60), untrusted=UntrustedPolicy()) as jobs:
        try:
            job = jobs.submit("stylize", content=b"...", styles=["painting.jpg"], preview=0.5, limits={"pixels": 1e6})
        except GanartError as error:
            print(message_for_users(error))
            return
        print(job.id, job.state, job.cancel(), [each.encoded("png") for each in asyncio.run(wait(job))])
    with Jobs(zoo, executor=RayExecutor(retries=1)) as jobs:
        print(jobs.list("finished"), zoo.describe()["models"], zoo.release())


if __name__ == "__main__":
    main()
