# SPDX-License-Identifier: GPL-2.0-or-later
"""Boxes and texts as SVG."""

from __future__ import annotations

from largeguest.view import svg
from largeguest.view.scene import Box, Scene, Text


def test_boxes_and_texts() -> None:
    items = (
        Box(0, 0, 100, 50, "#ffffff", "none"),
        Box(1.25, 2, 30.04, 20, "#dddddd", "#888888", 3, "3 2", "CPU 0 <&>"),
        Text(4, 10.5, "<0&1>", 8),
        Text(15, 20, "0", 11, "#555555", "bold", "middle"),
    )
    assert (
        svg.draw(Scene(100, 50, items)).decode()
        == """\
<?xml version='1.0' encoding='UTF-8'?>
<svg xmlns="http://www.w3.org/2000/svg" font-family="DejaVu Sans, Verdana, sans-serif" width="100" height="50" \
viewBox="0 0 100 50">
  <rect x="0" y="0" fill="#ffffff" width="100" height="50" stroke="none"/>
  <rect x="1.2" y="2" fill="#dddddd" width="30" height="20" stroke="#888888" rx="3" stroke-dasharray="3 2">
    <title>CPU 0 &lt;&amp;&gt;</title>
  </rect>
  <text x="4" y="10.5" fill="#000000" font-size="8">&lt;0&amp;1&gt;</text>
  <text x="15" y="20" fill="#555555" font-size="11" font-weight="bold" text-anchor="middle">0</text>
</svg>
"""
    )
