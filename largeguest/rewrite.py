# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole way at once: the texts of the properties and a domain XML in, the new domain XML out. No files, no host."""

from __future__ import annotations

from collections.abc import Mapping

from . import domxml, placement, properties
from .errors import Refused


def rewrite(values: Mapping[str, str], document: bytes) -> tuple[bytes, str]:
    """Carry the properties (name to text) out in the domain XML `document`.

    Returns the new document and, in a few words, what was done. Raises Refused with every problem there is.
    """
    wanted, problems = properties.parse(values)
    try:
        tree = domxml.parse(document)
        placed = placement.place(wanted, domxml.read_guest(tree))
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None
    if problems:
        raise Refused(problems)
    domxml.write(tree, placed)
    return domxml.serialise(tree, declaration=document.lstrip().startswith(b"<?xml")), str(placed)
