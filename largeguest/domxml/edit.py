# SPDX-License-Identifier: GPL-2.0-or-later
"""Change a tree of XML: elements are added and removed with the indentation that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lxml import etree

Element = etree._Element


def is_empty(element: Element) -> bool:
    """Whether it has neither children nor text."""
    return not len(element) and not (element.text or "").strip()


def child(parent: Element, name: str, after: tuple[str, ...]) -> Element:
    """The child `name`; if missing, it is created after the last child named in `after`, or at the end."""
    found = parent.find(name)
    if found is None:
        places = [index for index, other in enumerate(parent) if other.tag in after]
        (found,) = insert(parent, places[-1] + 1 if places else len(parent), [f"<{name}/>"])
    return found


def insert(parent: Element, index: int, children: Iterable[str]) -> list[Element]:
    """Create the elements `children` before the child `index` of `parent`, indented like its other children."""
    between, closing = indentation(parent), _closing(parent)
    empty = not len(parent)
    before = parent[index - 1] if index else None
    # parsing thousands takes a third of the time that creating them one by one takes
    new = list(etree.fromstring(f"<aside>{''.join(children)}</aside>"))
    if not new:
        return new
    if before is not None:
        new[-1].tail, before.tail = before.tail, between
    else:
        if empty and not (parent.text or "").strip():
            parent.text = between
        new[-1].tail = closing if empty else between
    if between:
        for child in new[:-1]:
            child.tail = between
    parent[index:index] = new
    return new


def element(name: str, **attributes: object) -> str:
    """An element; its values are numbers, lists of ids and libvirt's words, none of which need escaping."""
    values = [f' {key}="{value}"' for key, value in attributes.items()]
    return f"<{name}{''.join(values)}/>"


def indentation(parent: Element) -> str:
    """The white space before a child of `parent`."""
    if len(parent):
        return _blank(parent.text)
    outer = _closing(parent)
    return outer + "  " if "\n" in outer else ""


def _closing(element: Element) -> str:
    """The white space before `element`, and so before its end tag when it has children."""
    before = element.getprevious()
    above = element.getparent()
    if before is not None:
        return _blank(before.tail)
    return "" if above is None else _blank(above.text)


def _blank(text: str | None) -> str:
    return text if text and text.isspace() else ""


def remove(elements: list[Element]) -> Counter[str]:
    """Remove elements with the indentation before them; text next to them is kept. Counts the names."""
    for element in elements:
        parent, before = element.getparent(), element.getprevious()
        assert parent is not None, "the root element is never removed"
        ahead = (parent.text if before is None else before.tail) or ""
        behind = element.tail or ""
        if (ahead + behind).strip():
            left = ahead + behind
        else:
            left = behind if element.getnext() is None else ahead
        parent.remove(element)
        if before is None:
            parent.text = left or None
        else:
            before.tail = left or None
    return Counter(str(element.tag) for element in elements)
