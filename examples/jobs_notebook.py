"""Cells of a notebook that restyles a photo: run whole, or cell by cell in Jupyter, VS Code or Spyder.

python examples/jobs_notebook.py photo.jpg painting.jpg 60
"""

# %% Choose
from __future__ import annotations

import sys

from ganart_zoo import Zoo
from ganart_zoo.service import Jobs

photo, painting, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
zoo = Zoo()
jobs = Jobs(zoo, "painted")  # the folder keeps requests and results; without one, memory does

# %% Start; the cell ends at once, and the work goes on in a thread
job = jobs.submit("stylize", content=photo, styles=[painting], size=384, settings={"steps": steps}, preview=2.0)

# %% Look how far it is; in a notebook the last line of the cell shows the preview
event = job.last_event
print(f"{event.state}: step {event.step} of {event.total}")
job.newest_preview  # noqa: B018

# %% Wait; job.cancel() in another cell would end it with the best picture so far
result = job.result()
print(job.state, result.path)

# %% Show it: results display themselves, and the file has the record of how it was made
result  # noqa: B018

# %% Everything that was ever made here, also after a restart
for earlier in jobs.list("finished"):
    print(earlier.id, earlier.task, earlier.result().path)

# %% Give memory back
jobs.close()
zoo.release()
