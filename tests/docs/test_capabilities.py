"""The page for authors lists every capability, with the meaning that the code gives it."""

from __future__ import annotations

import re

from ganart_zoo.contract import CAPABILITIES
from tests.docs.pages import ROOT


def test_the_page_lists_all_capabilities_with_their_meanings() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    section = page.partition("## Capabilities")[2].partition("\n## ")[0]
    assert dict(re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", section, re.MULTILINE)) == dict(CAPABILITIES)
