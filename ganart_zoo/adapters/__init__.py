"""The zoo inside other programs: a Gradio app, ComfyUI nodes and an MCP server, each made from its description.

Authors of plugins write nothing for them. Each module needs the package it adapts to: `ganart-zoo[gradio]` for
`ganart_zoo.adapters.gradio`, `ganart-zoo[mcp]` for `ganart_zoo.adapters.mcp`, and ComfyUI itself for
`ganart_zoo.adapters.comfyui`.
"""

from __future__ import annotations

__all__: list[str] = []
