# SPDX-License-Identifier: GPL-2.0-or-later
"""A hook written the way VDSM's hooks are: minidom reads the file, elements are appended, the file is written.

Only for the benchmark. It does part of what the real hook does with cputune: it pins without any checks.
"""

import os
from xml.dom import minidom

path = os.environ["_hook_domxml"]
document = minidom.parse(path)
domain = document.getElementsByTagName("domain")[0]
found = domain.getElementsByTagName("cputune")
cputune = found[0] if found else domain.appendChild(document.createElement("cputune"))
for pin in os.environ["cputune"].split(","):
    vcpu, cpus = pin.split("#")
    element = document.createElement("vcpupin")
    element.setAttribute("vcpu", vcpu)
    element.setAttribute("cpuset", cpus)
    cputune.appendChild(element)
with open(path, "w", encoding="utf-8") as file:
    document.writexml(file, encoding="utf-8")
