"""The base of every config and options class. Imports pydantic and never torch, as a plugin's settings modules must.

    class Config(Settings):
        resolution: int = Field(64, ge=8, le=1024, description="Side of the pictures, in pixels.")

Field descriptions, bounds and defaults become command-line help, JSON Schema and documentation.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["Field", "Settings", "field_validator", "model_validator"]


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
