"""The tests of the core: this folder mirrors `ganart_zoo/`."""
