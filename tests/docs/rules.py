"""What is run otherwise than it is printed: all of it stands in the tables of this file, so that pages hide nothing.

A pattern is searched for in one command, or in one block of Python; the first that matches counts.
"""

from __future__ import annotations

__all__ = ["NOT_RUN", "ONE_PROCESS", "PRELUDES", "SMALLER_COMMANDS", "SMALLER_PYTHON", "STAND_INS"]

SMALLER_COMMANDS: tuple[tuple[str, str], ...] = (
    (r"^ganart stylize .*(-m|--model) (halftone|multistyle|adain|johnson|first_oil|runs/mine|runs/any)", "--size 48"),
    (r"^ganart stylize ", "--size 48 --steps 2"),
    # the process of the tests holds more than a command's would
    (r"^ganart dream .*--max-memory", "--max-memory 64GiB --size 48 --steps 2"),
    (r"^ganart stylize .*--max-memory", "--max-memory 64GiB --size 48 --steps 2"),
    (r"^ganart dream .*--zoom", "--zoom 2 --zoom-steps 1 --size 48 --steps 1"),
    (r"^ganart dream .*octaves=6", "--size 48 --steps 2 --set octaves=3"),
    (r"^ganart dream ", "--size 48 --steps 2"),
    (r"^ganart imagine .*-m (dcgan|stylegan2)", "--count 4 --budget 5 --keep 1"),
    (r"^ganart imagine .*-m diffusion", "--count 2 --steps 1"),
    (r"^ganart imagine .*--budget", "--count 4 --budget 5 --keep 1 --steps 2"),
    (r"^ganart imagine ", "--count 4 --keep 1 --steps 2"),
    (r"^ganart sample .*--latents", ""),
    (r"^ganart sample patches", "-n 1 --size 64x48 --steps 1"),
    (r"^ganart sample ", "-n 4"),
    (
        r"^ganart train .*stylegan2",
        "--size 16 --steps 2 --batch 4 --set training.workers=0"
        " --set generator.channel_base=1024 --set critic.channel_base=1024",
    ),
    (
        r"^ganart train .*fastgan",
        "--steps 2 --batch 4 --set training.workers=0 --set training.recalibrate=1 --set generator.width=8",
    ),
    (r"^ganart train --recipe", "--steps 2 --batch 2 --set training.workers=0"),
    (r"^ganart train .*--resume", ""),
    (
        r"^ganart train ",
        "--steps 2 --batch 4 --set training.workers=0 --set training.recalibrate=1 --set training.metric.samples=12"
        " --set training.metric.side=32",
    ),
    (r"^ganart evaluate .*fid_inception", "--samples 12 --side 80"),
    (r"^ganart evaluate ", "--samples 12 --side 48"),
    (r"^ganart project ", "--steps 2 --side 32"),
    (r"^ganart interpolate ", "--frames 3"),
)
"""Options added to a command, so that it is done in seconds. Where an option is given twice, the last counts."""

STAND_INS: tuple[tuple[str, str], ...] = (
    (r"hub:openai/clip-vit-base-patch32@COMMIT", "clip-vit-base-patch32"),
    (r"hub:stabilityai/sd-turbo@COMMIT", "sd-turbo"),
)
"""Published models in commands, and the folders of tiny random weights of the same layout that stand in for them."""

SMALLER_PYTHON: tuple[tuple[str, str], ...] = (
    (r"\bsteps=\d+", "steps=2"),
    (r"(model\.stylize\((?!.*options).*)\)$", r'\1, options=Zoo().options("gatys", steps=2))'),
)
"""Replacements in blocks of Python: as much as is shown, in fewer steps."""

PRELUDES: dict[str, str] = {
    "docs/ops.md": """
        import torch
        features = torch.rand(1, 8, 12, 12, requires_grad=True)
        target_gram = torch.rand(1, 8, 8)
    """,
    "docs/benchmarks.md": """
        __file__ = "my_plugin/ops.py"
    """,
    "docs/kernels.md": """
        import warnings
        __file__ = "quick_paint/ops.py"
        warnings.filterwarnings("ignore", "quick_paint::soft_clip runs as plain PyTorch")
    """,
    "plugins/ganart-text-critic/README.md": """
        import torch
        pictures = torch.rand(2, 3, 64, 64)
    """,
    "plugins/ganart-backbones/README.md": """
        import torch
        images = torch.rand(2, 3, 48, 64)
    """,
}
"""Python that is run before the first block of a page whose blocks name what the reader has: pictures, features."""

DOWNLOADS = "downloads; tests/registry fetches from a local server"

SERVES = "serves until Ctrl-C; tests/service/http/test_server.py starts it"

NOT_RUN: dict[tuple[str, str], str] = {
    ("docs/clips.md", "pip install"): "the tests have the extra already",
    ("docs/serving.md", "pip install"): "the tests have the extra already",
    (
        "docs/embedding.md",
        "from ganart_zoo import Zoo\nfrom ganart_zoo.service import Jobs, RayExecutor",
    ): "starts a cluster; tests/service/test_ray.py does",
    ("docs/serving.md", "ganart serve"): SERVES,
    ("README.md", "ganart serve"): SERVES,
    ("docs/serving.md", "python examples/serve_client.py"): "needs a server; tests/service/http/test_server.py runs it",
    ("README.md", "make demo"): "it builds a virtual environment; CI runs the demo in tools/check_install.py",
    ("README.md", "make test"): "it is what runs this test",
    ("docs/plugins.md", "pytest --ganart ganart-gatys"): "a test run of its own; tests/authoring/test_full.py has one",
    ("docs/kernels.md", "pip install ./quick-paint"): "compiles; tests/authoring/test_scaffold.py builds one",
    ("docs/kernels.md", "ganart doctor --ops"): "would list the op of that package",
    ("docs/kernels.md", "ganart bench"): "would time the op of that package; tests/bench/test_replay.py times one",
    ("docs/kernels.md", "ganart stylize"): "needs that package; tests/cli/test_profiling.py writes traces",
    ("docs/benchmarks.md", "ganart tune"): "times kernels; tests/bench/test_tune.py tunes",
    ("docs/benchmarks.md", "GANART_TUNING="): "needs the file of ganart tune; tests/bench/test_tune.py uses one",
    ("docs/benchmarks.md", "ganart bench"): "times kernels for minutes; tests/bench runs each form of the command",
    ("docs/styling.md", "ganart weights fetch vgg19"): DOWNLOADS,
    ("docs/styling.md", "ganart export"): "traces for half a minute; the plugin's tests/test_export.py exports",
    ("docs/styling.md", "ganart stylize - "): "a shell's redirections; tests/cli/test_stylize.py pipes pictures",
    ("docs/styling.md", "ganart bench style_loss"): "times kernels for minutes; tests/bench runs the command",
    (
        "plugins/ganart-backbones/README.md",
        "ganart weights fetch",
    ): DOWNLOADS,
    ("plugins/ganart-clip/README.md", "ganart weights fetch"): DOWNLOADS,
    ("plugins/ganart-diffusers/README.md", "ganart weights fetch"): DOWNLOADS,
    ("docs/clip-and-diffusers.md", "ganart weights fetch"): DOWNLOADS,
    ("plugins/ganart-text-critic/README.md", "ganart train --recipe"): "trains for seconds; the plugin's tests train",
    ("plugins/ganart-stylegan2/README.md", "import pickle"): "opens NVIDIA's pickle, in a checkout of their repository",
}
"""(page, how the command or block begins) -> why it is not run. An entry that matches nothing fails a test."""

ONE_PROCESS = r"^(torchrun|accelerate launch) .*?-m ganart_zoo "
"""Launchers: what they start is run in this process alone. tests/training runs two processes."""
