# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job as an example: three properties, the hook from the installed RPM, a guest on real libvirt and QEMU.

python -m tests.e2e.example
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests import DATA

from . import guest, host

TYPED = {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}


def main() -> int:
    domxml = (DATA / "plain.xml").read_text(encoding="utf-8")
    print("The domain XML is tests/data/plain.xml: 4 vCPUs, 512 MiB. The administrator typed:")
    for name, value in TYPED.items():
        print(f"    {name:10} {value}")
    with tempfile.TemporaryDirectory(prefix="largeguest-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        print("Building the RPM, installing it in a folder, running its hook as VDSM does. The hook says:", flush=True)
        rpm = host.build_rpm(host.copy_sources(folder))
        domxml, said = host.install_rpm(rpm, folder / "tree").run_hooks("before_vm_start", domxml, TYPED)
    print(f"    {said}Starting the VM with libvirt and QEMU (emulated). Its Linux sees:", flush=True)
    with guest.session() as libvirt, libvirt.running(domxml.encode()) as vm:
        for number, node in libvirt.seen_by_guest().items():
            print(f"    node {number}: CPUs {node.cpus}, {node.memory} KiB for programs")
        print("And the host's Linux says of the VM:")
        for vcpu, thread in sorted(libvirt.threads(vm).items()):
            print(f"    vCPU {vcpu} runs on CPUs {thread.cpus_allowed}")
        for ram in libvirt.ram(vm):
            print(f"    {ram.memory} KiB of RAM have the memory policy {ram.policy} and are on node {ram.nodes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
