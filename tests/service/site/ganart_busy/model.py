"""Style transfers that take as long as a test likes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ganart_busy.config import Options
from ganart_zoo.contract import StepEvent, StyleTransfer


class Steady(StyleTransfer):
    """Darkens the picture step by step, and stops when asked."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        options = options or Options()
        for step in range(1, options.steps + 1):
            if options.mark and step == 1:
                Path(options.mark).write_text(str(os.getpid()))
            time.sleep(options.pause)
            picture = content * (1 - step / options.steps)
            event = StepEvent.of(step, options.steps, "work", {"loss": 1 / step}, picture=picture)
            if on_step is not None and on_step(event) is False:
                break
        return picture


class Quick(StyleTransfer):
    """Inverts, without a step."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        return 1 - content


class Deaf(StyleTransfer):
    """Never reports a step."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        options = options or Options()
        if options.mark:
            Path(options.mark).touch()
        time.sleep(options.steps * options.pause)
        return content


class Fatal(StyleTransfer):
    """Ends the process, as a bug in native code would."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        os._exit(11)
