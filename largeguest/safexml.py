# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse XML that others wrote: without entities and network, and never quoting it, for it can hold passwords."""

from __future__ import annotations

from lxml import etree

from .errors import Problem, Refused


def parse(document: bytes, subject: str, outermost: str) -> etree._ElementTree:
    """Parse `document`, whose outermost element must be `outermost`; raises Refused with `subject` and the place."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, strip_cdata=False)
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        what, mend = f"not well-formed at line {line}, column {column}", "look for who wrote it, maybe another hook"
        raise Refused([Problem(subject, what, mend)]) from None
    tree = root.getroottree()
    if tree.docinfo.internalDTD is not None:
        raise Refused([Problem(subject, "has a document type declaration", "take it out, libvirt needs none")])
    if root.tag != outermost:
        what, mend = f"the outermost element is not <{outermost}>", "give libvirt's XML of that kind"
        raise Refused([Problem(subject, what, mend)])
    return tree
