# SPDX-License-Identifier: GPL-2.0-or-later
"""A scene as SVG 1.1, without scripts and external resources."""

from __future__ import annotations

from lxml import etree

from .scene import Box, Scene, Text

_SVG = "http://www.w3.org/2000/svg"


def draw(scene: Scene) -> bytes:
    """The scene as an SVG document."""
    root = etree.Element(f"{{{_SVG}}}svg", nsmap={None: _SVG})  # type: ignore[dict-item]
    root.set("font-family", "DejaVu Sans, Verdana, sans-serif")
    root.set("width", str(scene.width))
    root.set("height", str(scene.height))
    root.set("viewBox", f"0 0 {scene.width} {scene.height}")
    for item in scene.items:
        if isinstance(item, Box):
            _add_box(root, item)
        else:
            _add_text(root, item)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


def _add_box(root: etree._Element, box: Box) -> None:
    element = _add(root, "rect", box)
    element.set("width", _number(box.width))
    element.set("height", _number(box.height))
    element.set("stroke", box.stroke)
    if box.radius:
        element.set("rx", str(box.radius))
    if box.dash:
        element.set("stroke-dasharray", box.dash)
    if box.name:
        element.set("id", box.name)
    if box.tooltip:
        etree.SubElement(element, f"{{{_SVG}}}title").text = box.tooltip


def _add_text(root: etree._Element, text: Text) -> None:
    element = _add(root, "text", text)
    element.set("font-size", str(text.size))
    if text.weight != "normal":
        element.set("font-weight", text.weight)
    if text.anchor != "start":
        element.set("text-anchor", text.anchor)
    element.text = text.text


def _add(root: etree._Element, name: str, item: Box | Text) -> etree._Element:
    return etree.SubElement(root, f"{{{_SVG}}}{name}", {"x": _number(item.x), "y": _number(item.y), "fill": item.fill})


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
