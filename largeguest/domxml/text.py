# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers, amounts and lists of ids in the text of a domain XML; each function raises Refused for invalid text."""

from __future__ import annotations

import re

from lxml import etree

from .. import cpuset
from ..cpuset import MAX_ID, CpuSet
from ..problem import DOMAIN_XML, INPUT, ParseError, Problem, Refused

Element = etree._Element

_BYTES_IN_UNIT = {
    "b": 1, "bytes": 1,
    "k": 2**10, "kib": 2**10, "kb": 10**3,
    "m": 2**20, "mib": 2**20, "mb": 10**6,
    "g": 2**30, "gib": 2**30, "gb": 10**9,
    "t": 2**40, "tib": 2**40, "tb": 10**12,
    "p": 2**50, "pib": 2**50, "pb": 10**15,
    "e": 2**60, "eib": 2**60, "eb": 10**18,
}  # fmt: skip
"""libvirt's units of memory (virScaleInteger), which are case-insensitive."""


def memory(parent: Element, element: Element | None) -> int:
    """KiB in a child such as `<memory unit='GiB'>4</memory>`."""
    if element is None:
        raise refused(f"<{parent.tag}> gives no amount of memory", "use the XML that the engine wrote")
    return kib(element, element.text)


def kib(element: Element, amount: str | None) -> int:
    """`amount` in the element's unit, as KiB, rounded up as libvirt does."""
    unit = element.get("unit", "KiB")
    if unit.lower() not in _BYTES_IN_UNIT:
        raise refused(f"<{element.tag}> has a unit that libvirt does not know", "use one of its units, such as KiB")
    return -(-integer(element, amount) * _BYTES_IN_UNIT[unit.lower()] // 1024)


def count(element: Element, text: str | None) -> int:
    """A number of things that have ids, at least 1."""
    number = integer(element, text)
    if not 0 < number <= MAX_ID + 1:
        raise refused(f"<{element.tag}> has the value {number}", f"use a number from 1 to {MAX_ID + 1}")
    return number


def id_of(element: Element, text: str | None) -> int:
    """A number from 0 to MAX_ID."""
    number = integer(element, text)
    if number > MAX_ID:
        raise refused(f"<{element.tag}> has the value {number}", f"use a number from 0 to {MAX_ID}")
    return number


def integer(element: Element, text: str | None) -> int:
    """A number from 0, in a form that libvirt accepts too."""
    if not re.fullmatch(r"\s*\+?[0-9]{1,18}\s*", text or "", re.ASCII):
        raise refused(f"<{element.tag}> contains no whole number", "use the XML that the engine wrote")
    return int(text or "")


def word(element: Element, name: str, words: tuple[str, ...]) -> str | None:
    """One of libvirt's words, which needs no escaping."""
    text = element.get(name)
    if text not in (None, *words):
        raise refused(f"<{element.tag}> has an unknown {name}", f"use {' or '.join(words)}")
    return text


def ids(element: Element, text: str) -> CpuSet:
    """A list such as `0-3,^2`."""
    try:
        return cpuset.parse(text)
    except ParseError:
        raise refused(f"<{element.tag}> contains no list of ids", "use the XML that the engine wrote") from None


def refused(what: str, fix: str) -> Refused:
    """The error for something invalid in the XML."""
    return Refused([Problem(DOMAIN_XML, what, fix, kind=INPUT)])
