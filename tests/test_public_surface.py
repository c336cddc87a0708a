"""What was public stays: names can still be imported, and importing loads no more than it did."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings

import pytest

# Public names as they were before the rooms were moved about (commit 343da0f). One may leave after a minor release in
# which it warned; new names need no entry here.
PUBLIC = {
    "ganart_zoo": """
        GanartError ModelSpec Use Weights WeightsFile Zoo __version__ hookimpl
    """,
    "ganart_zoo.contract": """
        CAPABILITIES KINDS RESERVED_SETTINGS AmbiguousModelError Backbone Condition Critic CriticOutput Field
        GanartError Generator ImageError LayerInfo Model ModelError ModelSpec OfflineError OnStep
        PluginFaultError Provenance Rng RunEvent Settings SettingsError StepEvent Style StyleGenerator
        StyleTransfer UnknownModelError Use Weights WeightsError WeightsFile WeightsMissingError class_labels
        did_you_mean field_validator generator hookimpl load_tensors model_validator per_row randn
    """,
    "ganart_zoo.ops": """
        Activation FallbackWarning NativeOp NativeUnavailableError OpStatus WinogradKernel adain bias_act blur
        conv2d_bias_act downsample2d glu gram_matrix instance_norm_act minibatch_stddev modulated_conv2d pixel_norm
        spectral_norm status style_loss style_losses upfirdn2d upsample2d use winograd_conv2d winograd_kernel
    """,
    "ganart_zoo.imaging": """
        MAX_PIXELS InputFile Record compare_pixels find_inputs from_pil linear_to_srgb load match_covariance
        match_histogram read_record resize rgb_to_yiq save srgb_to_linear to_grid to_pil yiq_to_rgb
    """,
    "ganart_zoo.registry": """
        Entry Fault Plugin Zoo
    """,
    "ganart_zoo.testing": """
        Check Subject checks_for
    """,
    "ganart_zoo.training": """
        LOSSES AdaptiveProbability AdversarialLoss ArrayData Augment Augmentation BatchNorm Data Measurement
        MovingAverage Penalty TrainConfig Trained Trainer mean_over_processes open_data recalibrate
        sum_over_processes
    """,
    "ganart_zoo.tasks.batch": """
        Job Outcome plan stylize_all
    """,
    "ganart_zoo.tasks.evaluate": """
        DEFAULT_BACKBONE INCEPTION Evaluation evaluate
    """,
    "ganart_zoo.tasks.export": """
        Exported export
    """,
    "ganart_zoo.tasks.generating": """
        LoadedGenerator check_seeds generator_entry load_generator load_recorded
    """,
    "ganart_zoo.tasks.interpolate": """
        Frame Interpolated Route Space frames interpolate rerun
    """,
    "ganart_zoo.tasks.mix": """
        Mixed mix mixed_styles rerun
    """,
    "ganart_zoo.tasks.project": """
        Projected ProjectionSpace project rerun
    """,
    "ganart_zoo.tasks.rank": """
        Ranked Scored rank
    """,
    "ganart_zoo.tasks.reproduce": """
        Reproduction reproduce
    """,
    "ganart_zoo.tasks.sample": """
        Sampled rerun sample
    """,
    "ganart_zoo.tasks.stylize": """
        DEFAULT_MODEL DEFAULT_SIZE StyleInput Stylized Stylizer rerun stylize
    """,
    "ganart_zoo.tasks.train": """
        train
    """,
}

# Heavy packages, and what each of these lines may load of them.
HEAVY = (
    "torch", "torch._dynamo", "torch._inductor", "sympy", "numpy", "scipy", "pydantic", "rich", "click", "PIL",
    "safetensors", "accelerate", "tensorboard", "webdataset", "matplotlib", "av", "cv2", "onnx", "onnxruntime",
    "transformers", "diffusers", "packaging", "filelock", "yaml",
)  # fmt: skip
TORCH = {"torch", "numpy"}  # torch imports numpy where it is installed
SETTINGS = {"pydantic"}
PICTURES = TORCH | {"PIL"}
VERB = PICTURES | SETTINGS | {"packaging", "safetensors"}
COSTS = {
    "import ganart_zoo": set(),
    "from ganart_zoo import ModelSpec, Use, Weights, WeightsFile, GanartError, hookimpl": set(),
    "import ganart_zoo.contract": set(),
    "import ganart_zoo.native": set(),
    "import ganart_zoo.registry": {"packaging"},
    "from ganart_zoo import Zoo; Zoo().list()": {"packaging"},
    "import ganart_zoo.cli": {"click", "packaging"},
    "from ganart_zoo.contract import Settings, Field": SETTINGS,
    "import ganart_zoo.ops": TORCH,
    "import ganart_zoo.imaging": set(),
    "from ganart_zoo.imaging import read_record": {"numpy", "PIL"},
    "import ganart_zoo.metrics": PICTURES | SETTINGS,
    "import ganart_zoo.training": set(),
    "from ganart_zoo.training import TrainConfig": SETTINGS,
    "from ganart_zoo.testing import checks_for": TORCH | SETTINGS | {"packaging"},
    "import ganart_zoo.tasks": set(),
    "import ganart_zoo.tasks.stylize": VERB,
    "import ganart_zoo.tasks.sample": VERB,
}


def public_names() -> list[tuple[str, str]]:
    """Return each module with each of its public names."""
    return [(module, name) for module, names in PUBLIC.items() for name in names.split()]


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_can_still_be_imported(module: str) -> None:
    names = PUBLIC[module].split()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = importlib.import_module(module)
        missing = [name for name in names if not hasattr(loaded, name)]
    assert missing == []
    assert {warning.category for warning in caught} <= {DeprecationWarning}


@pytest.mark.parametrize(("module", "name"), public_names())
def test_a_name_warns_once_it_has_left_the_public_list(module: str, name: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = importlib.import_module(module)
        getattr(loaded, name)
    warned = [warning for warning in caught if warning.category is DeprecationWarning]
    assert bool(warned) == (name not in loaded.__all__), f"list {name} in __all__, or let it warn"
    assert all(warning.filename == __file__ for warning in warned), "the warning points at the line that uses the name"


def test_names_that_moved_out_of_training_warn_and_are_the_same() -> None:
    from ganart_zoo import data, training

    for name in ("ArrayData", "Data", "open_data"):
        with pytest.warns(DeprecationWarning, match=rf"training\.{name} has moved to ganart_zoo\.data\.{name}"):
            assert getattr(training, name) is getattr(data, name)
    with pytest.warns(DeprecationWarning, match="moved"):
        from ganart_zoo.training.data import FolderData
    assert FolderData is data.FolderData


def loaded_after(code: str) -> set[str]:
    """Return which of the heavy packages a fresh interpreter has loaded after `code`."""
    report = f"import json, sys; print(json.dumps(sorted({set(HEAVY)!r} & {{*sys.modules}})))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("code", COSTS)
def test_importing_loads_no_more_than_it_did(code: str) -> None:
    assert loaded_after(code) <= COSTS[code]


def test_ganart_list_loads_nothing_heavy() -> None:
    code = "import contextlib, io\nfrom ganart_zoo.cli import main\n"
    code += "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main(['list'])"
    assert loaded_after(code) <= {"click", "packaging"}


@pytest.mark.parametrize("module", ["ganart_zoo.metrics", "ganart_zoo.tasks.stylize"])
def test_importing_changes_nothing_of_the_process_that_torch_does_not(module: str) -> None:
    code = f"""
import os, signal, locale, torch, warnings
def state():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return dict(os.environ), [*warnings.filters], handlers, os.getcwd(), torch.get_default_dtype(), \\
        torch.get_num_threads(), torch.initial_seed(), locale.setlocale(locale.LC_ALL)
before = state()
import {module}
for was, now in zip(before, state()):
    assert was == now, (was, now)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
