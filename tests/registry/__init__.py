"""The registry: discovery, names, settings, weights."""
