"""Plugins that break in every way we know of, and the proof that each costs only itself."""
