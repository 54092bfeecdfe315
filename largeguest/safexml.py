# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse XML that others wrote: without entities or anything from elsewhere, and without exhausting the host."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from . import MAX_DOCUMENT
from .errors import Problem, Refused

MAX_TAGS = 600_000
"""A tree in memory takes some 200 bytes for each."""

MAX_ATTRIBUTES = 10_000
"""Of one element: libxml2 compares each with each."""

_STRIDE = 2**16


def parse(document: bytes, subject: str, outermost: str) -> etree._ElementTree:
    """Parse `document`, whose outermost element must be `outermost`; raises Refused with `subject` and the place."""
    wrong = _hostile(document)
    if wrong:
        raise Refused([Problem(subject, *wrong)])
    # declared encodings are not looked at: what is not UTF-8 could hide something from the checks above
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
        what, mend = f"not well-formed at line {line}, column {column}", "look for who wrote it, maybe another hook"
        raise Refused([Problem(subject, what, mend)]) from None
    if root.tag != outermost:
        what, mend = f"the outermost element is not <{outermost}>", "give libvirt's XML of that kind"
        raise Refused([Problem(subject, what, mend)])
    return root.getroottree()


def _hostile(document: bytes) -> tuple[str, str] | None:
    """What must not even be parsed, and the mend."""
    who = "look for who wrote it, maybe another hook"
    if len(document) > MAX_DOCUMENT:
        return f"is larger than {MAX_DOCUMENT >> 20} MiB", who
    if document.count(b"<") > MAX_TAGS:
        return f"has more than {MAX_TAGS} tags", who
    if any(document.count(b"=", *bounds) > MAX_ATTRIBUTES for bounds in _long_tags(document)):
        return f"has an element with more than {MAX_ATTRIBUTES} attributes", who
    if b"<!DOCTYPE" in document:
        return "has a document type declaration", "take it out, libvirt needs none"
    return None


def _long_tags(document: bytes) -> Iterator[tuple[int, int]]:
    """Where tags, or the texts behind them, are that hold a whole stride."""
    for at in range(0, len(document), _STRIDE):
        if document.find(b"<", at, at + _STRIDE) < 0:
            start, end = document.rfind(b"<", 0, at), document.find(b"<", at)
            yield max(0, start), len(document) if end < 0 else end
