"""The statement that a model made a picture, in IPTC's words, as other programs read it. Torch-free.

Source: IPTC, "Digital Source Type NewsCodes", and the property DigitalSourceType of IPTC Photo Metadata 2023.1.
"""

from __future__ import annotations

__all__ = ["MADE_BY_A_MODEL", "SOURCE_TYPE", "jpeg_xmp"]

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

MADE_BY_A_MODEL = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
"""The XMP packet."""

_JPEG_START = b"http://ns.adobe.com/xap/1.0/\0"


def jpeg_xmp(packet: str) -> bytes:
    """Return the marker APP1 of a JPEG that holds an XMP packet."""
    content = _JPEG_START + packet.encode()
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
