"""Requests of strangers: what a job may be asked for by somebody whose word counts for nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.untrusted import UntrustedPolicy
from ganart_zoo.service.verbs import Verb

__all__ = ["FORBIDDEN", "UNTRUSTED_VERBS", "UntrustedPolicy", "check_request", "message_for_users"]

UNTRUSTED_VERBS = ("stylize", "dream", "sample", "mix", "interpolate", "project", "imagine", "zoom")
"""Verbs that work on pictures in memory and names of models alone."""

FORBIDDEN = ("output", "latents", "animation", "data", "run", "folder", "inputs", "device", "fetch", "dtype", "force")
"""Arguments that name files, or what only the owner of the machine decides."""

_PATH = re.compile(r"(?<![\w:/])/(?:[^\s:;,'\"()/]+/)+[^\s:;,'\"()]*")

_MODELS = {"model", "weights", "settings"}
_COUNTS = ("n", "count", "keep", "frames", "columns", "fps", "budget")


def check_request(zoo: Zoo, verb: Verb, arguments: Mapping[str, Any], policy: UntrustedPolicy) -> None:
    """Refuse a request that a stranger may not make.

    Pictures are bytes, Pillow images, arrays or tensors, never names of files.

    Raises:
        SettingsError: It is refused.
    """
    if verb.name not in UNTRUSTED_VERBS:
        raise SettingsError(f"{verb.name} is not allowed here; there are {', '.join(UNTRUSTED_VERBS)}")
    for name, value in arguments.items():
        default = verb.arguments.model_fields[name].default
        if name in FORBIDDEN:
            if value != default:
                raise SettingsError(f"{name} is not allowed here; leave it out")
        elif name in verb.pictures:
            for each in value if isinstance(value, list) else [value]:
                _check_picture(name, each, policy)
        elif name == "critics":
            for choice in value or ():
                model, settings = getattr(choice, "model", choice), dict(getattr(choice, "settings", None) or {})
                weights = settings.pop("weights", "default")
                policy.check_model(zoo, model, weights=weights, settings=settings)
        elif name == "backbone":
            given = {"model": value} if isinstance(value, str) else dict(value)
            model, weights = given.pop("model", None), given.pop("weights", "default")
            policy.check_model(zoo, model, weights=weights, settings=given)
        elif name not in _MODELS:
            policy.check_value(name, value)
            if name in _COUNTS and isinstance(value, int) and name != "fps" and value > _most(name, policy):
                raise SettingsError(f"{name} is {value}, expected at most {_most(name, policy)} here")
    _check_work(verb, arguments, policy)
    model = arguments.get("model") or _default_model(verb)
    if model is not None:
        weights = arguments.get("weights", "default")
        policy.check_model(zoo, model, weights=weights, settings=arguments.get("settings") or {})


def message_for_users(error: BaseException) -> str:
    """Return what an error says to somebody who may not know the machine: one line without paths.

    Errors that are not of this library become "an internal error"; their text may hold anything.
    """
    if not isinstance(error, GanartError):
        return f"an internal error ({type(error).__name__})"
    return " ".join(_PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], str(error)).split())


def _most(name: str, policy: UntrustedPolicy) -> int:
    return policy.steps if name == "budget" else 4 * policy.pictures if name == "frames" else policy.pictures


def _check_work(verb: Verb, arguments: Mapping[str, Any], policy: UntrustedPolicy) -> None:
    """Refuse work that is much because its parts are multiplied."""
    if verb.name == "mix":
        made = len(arguments["rows"]) * len(arguments["columns"])
    elif verb.name == "interpolate":
        made = len(arguments["seeds"]) * int(arguments.get("steps", 30)) // 4
    else:
        return
    if made > policy.pictures:
        raise SettingsError(f"{verb.name} would paint too many pictures for here; give fewer seeds or steps")


def _default_model(verb: Verb) -> str | None:
    default = verb.arguments.model_fields["model"].default
    return default if isinstance(default, str) else None


def _check_picture(name: str, picture: Any, policy: UntrustedPolicy) -> None:
    if hasattr(picture, "source_region"):  # a style
        if picture.name is not None:
            policy.check_value(name, picture.name)
        policy.check_value("weight", picture.weight)
        for part in (picture.image, picture.region, picture.source_region):
            _check_picture(name, part, policy)
    elif picture is not None and not (
        isinstance(picture, bytes) or hasattr(picture, "shape") or hasattr(picture, "getexif")
    ):
        raise SettingsError(f"{name} names a file, and files are not allowed here; give the bytes of the picture")
