"""The contract, proved by small plugins that use every part of it."""
