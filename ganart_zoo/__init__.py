"""ganart-zoo: a plugin-based model zoo for machine-made art."""

__version__ = "0.1.0"
