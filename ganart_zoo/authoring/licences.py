"""Whether a text is an SPDX licence expression."""

from __future__ import annotations

import re

__all__ = ["is_spdx"]

_COMMON = frozenset(
    """0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0
    CC-BY-3.0 CC-BY-4.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0
    CDDL-1.0 ECL-2.0 EPL-2.0 EUPL-1.2 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 MS-PL NCSA ODbL-1.0 OFL-1.1 PSF-2.0 Python-2.0
    Unlicense UPL-1.0 WTFPL X11 Zlib""".replace("\n", " ").split(" ")
)
_WORD = re.compile(r"\(|\)|[^\s()]+")
_REFERENCE = re.compile(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")


def is_spdx(text: str) -> bool:
    """Return whether `text` is an SPDX expression, by the list of `packaging` or, in old versions, a list of our own.

    Example:
        >>> [is_spdx(text) for text in ("MIT", "Apache-2.0 OR MIT", "LicenseRef-ours", "Apache 2", "")]
        [True, True, True, False, False]
    """
    try:
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    except ImportError:
        return _looks_like_spdx(text)
    try:
        canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return False
    return True


def _looks_like_spdx(text: str) -> bool:
    words = _WORD.findall(text)
    names = [word for word in words if word not in ("AND", "OR", "WITH", "(", ")")]
    known = all(name in _COMMON or _REFERENCE.fullmatch(name) or "exception" in name for name in names)
    return (
        bool(names)
        and known
        and words.count("(") == words.count(")")
        and len(names) == 1 + sum(word in ("AND", "OR", "WITH") for word in words)
    )
