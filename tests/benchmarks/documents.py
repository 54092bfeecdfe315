# SPDX-License-Identifier: GPL-2.0-or-later
"""Domain XML of any size, and properties for it."""

from __future__ import annotations

BYTES_OF_A_DISK = 2180
"""What a disk adds to the XML: its device, and in the metadata where its image and the volume below it are."""

# as the engine and VDSM write them
DEVICE = (
    '<disk type="block" device="disk" snapshot="no"><target dev="sd{number}" bus="scsi"/>'
    '<source dev="/rhev/data-center/mnt/blockSD/{one}/images/{two}/{three}">'
    '<seclabel model="dac" type="none" relabel="no"/></source>'
    '<driver name="qemu" iothread="1" io="native" type="qcow2" error_policy="stop" cache="none"/>'
    '<alias name="ua-{two}"/><address bus="0" controller="0" unit="{number}" type="drive" target="0"/>'
    "<serial>{two}</serial></disk>"
)
NODE = (
    "<ovirt-vm:volumeChainNode><ovirt-vm:domainID>{one}</ovirt-vm:domainID><ovirt-vm:imageID>{two}</ovirt-vm:imageID>"
    '<ovirt-vm:leaseOffset type="int">{number}</ovirt-vm:leaseOffset><ovirt-vm:leasePath>/dev/{one}/leases'
    "</ovirt-vm:leasePath><ovirt-vm:path>/rhev/data-center/mnt/blockSD/{one}/images/{two}/{three}</ovirt-vm:path>"
    "<ovirt-vm:volumeID>{three}</ovirt-vm:volumeID></ovirt-vm:volumeChainNode>"
)
METADATA = (
    '<ovirt-vm:device devtype="disk" name="sd{number}"><ovirt-vm:poolID>{one}</ovirt-vm:poolID>'
    "<ovirt-vm:volumeID>{three}</ovirt-vm:volumeID><ovirt-vm:imageID>{two}</ovirt-vm:imageID>"
    f"<ovirt-vm:domainID>{{one}}</ovirt-vm:domainID><ovirt-vm:volumeChain>{NODE * 2}</ovirt-vm:volumeChain>"
    "</ovirt-vm:device>"
)


def domain(vcpus: int, memory: int, disks: int = 0) -> bytes:
    """The domain XML of a VM with so many vCPUs, KiB of memory and disks."""
    numbers = [
        {"number": number, **{name: f"{number:08}-0000-4000-8000-{name:>012}" for name in ("one", "two", "three")}}
        for number in range(disks)
    ]
    return (
        f"<domain type='kvm' xmlns:ovirt-vm='http://ovirt.org/vm/1.0'><name>db01</name><memory>{memory}</memory>"
        f"<vcpu current='{vcpus}'>{vcpus}</vcpu><iothreads>1</iothreads>"
        f"<cpu><topology sockets='{vcpus // 8}' cores='4' threads='2'/></cpu><cputune/>"
        f"<devices>{''.join(DEVICE.format(**disk) for disk in numbers)}</devices>"
        "<os><type arch='x86_64'>hvm</type></os>"
        f"<metadata><ovirt-vm:vm>{''.join(METADATA.format(**disk) for disk in numbers)}"
        "<ovirt-vm:cpuPolicy>none</ovirt-vm:cpuPolicy></ovirt-vm:vm></metadata></domain>"
    ).encode()


def one_to_one(vcpus: int, nodes: int = 64) -> dict[str, str]:
    """Each vCPU on a CPU of its own, with cells on all nodes, or on as many as are needed."""
    nodes = min(nodes, vcpus // 8)
    share = vcpus // nodes
    spans = [(f"{node * share}-{(node + 1) * share - 1}", node) for node in range(nodes)]
    return {
        "cputune": ",".join(f"{span}#=node{node}" for span, node in spans),
        "numatune": f"strict#0-{nodes - 1}",
        "guestnuma": ",".join(f"{span}#*@{node}" for span, node in spans),
    }
