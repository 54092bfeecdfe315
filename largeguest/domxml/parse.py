# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse untrusted XML: without entities or external resources, and without exhausting the host."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from .. import MAX_DOCUMENT
from ..problem import DOMAIN_XML, INPUT, Problem, Refused

MAX_TAGS = 600_000
"""A tree in memory takes some 200 bytes for each."""

MAX_ATTRIBUTES = 10_000
"""Of one element: libxml2 compares each with each."""

_STRIDE = 2**16


def domain(document: bytes) -> etree._ElementTree:
    """Parse a domain XML; raises Refused, whose text holds none of its content."""
    return xml(document, DOMAIN_XML, "domain")


def device(document: bytes) -> etree._ElementTree:
    """Parse the XML of a `<memory>` device; raises Refused."""
    return xml(document, "device XML", "memory")


def xml(
    document: bytes, subject: str, outermost: str, fix: str = "find out what wrote it, perhaps another hook"
) -> etree._ElementTree:
    """Parse `document`, whose root element must be `outermost`.

    Raises Refused with `subject` and the position, and with `fix` for XML that nothing should have written.
    """
    wrong = _hostile(document)
    if wrong:
        raise Refused([Problem(subject, wrong, fix, kind=INPUT)])
    # declared encodings are ignored: any but UTF-8 could hide something from the checks above
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        strip_cdata=False,
        collect_ids=False,
        encoding="utf-8",
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        what = f"not well-formed at line {line}, column {column}"
        raise Refused([Problem(subject, what, fix, kind=INPUT)]) from None
    if root.tag != outermost:
        what = f"the root element is not <{outermost}>"
        raise Refused([Problem(subject, what, f"give libvirt's <{outermost}> XML", kind=INPUT)])
    return root.getroottree()


def _hostile(document: bytes) -> str | None:
    """Why the document must not be parsed; None if it may be."""
    if len(document) > MAX_DOCUMENT:
        return f"is larger than {MAX_DOCUMENT >> 20} MiB"
    if document.count(b"<") > MAX_TAGS:
        return f"has more than {MAX_TAGS} tags"
    if any(document.count(b"=", *bounds) > MAX_ATTRIBUTES for bounds in _long_tags(document)):
        return f"has an element with more than {MAX_ATTRIBUTES} attributes"
    if b"<!DOCTYPE" in document:
        return "has a document type declaration, which libvirt does not need"
    return None


def _long_tags(document: bytes) -> Iterator[tuple[int, int]]:
    """The bounds of tags, with the text after them, that span a whole stride."""
    for at in range(0, len(document), _STRIDE):
        if document.find(b"<", at, at + _STRIDE) < 0:
            start, end = document.rfind(b"<", 0, at), document.find(b"<", at)
            yield max(0, start), len(document) if end < 0 else end
