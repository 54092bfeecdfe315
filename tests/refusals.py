# SPDX-License-Identifier: GPL-2.0-or-later
"""What is refused on tests/data/plain.xml and a host with four nodes: the properties, and the message."""

from __future__ import annotations

REFUSALS = [
    ({"cputune": "0"}, 'cputune: "0" at 0: "0" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ({"cputune": "a#0"}, 'cputune: "a#0" at 0: "a" is not a vCPU: write a number, a range, all, emulator or iothread1'),
    ({"cputune": "0#b"}, 'cputune: "0#b" at 2: "b" is not a CPU, a range or a place (node0, socket0.core1, cell)'),
    (
        {"cputune": "0#0,,1"},
        'cputune: "0#0,,1" at 4: "" is empty, a CPU is missing here: write one or remove the comma',
    ),
    ({"cputune": "0#3-1"}, 'cputune: "0#3-1" at 2: "3-1" runs backwards: write 1-3'),
    ({"cputune": "0#99999"}, 'cputune: "0#99999" at 2: "99999" is too large: ids go from 0 to 16383'),
    (
        {"cputune": "0#1,^1"},
        'cputune: "0#1,^1" at 2: "1,^1" leaves nothing: name at least one id that no later ^ removes',
    ),
    ({"cputune": "0#0#0"}, 'cputune: "0#0#0" at 3: "#" is an unexpected second "#": put a comma between two entries'),
    ({"cputune": "4#0"}, "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: remove its pin"),
    ({"cputune": "0#0,0#1"}, "cputune: vCPU 0 is pinned more than once: write one pin for each vCPU"),
    (
        {"numatune": "local#0"},
        'numatune: "local#0" at 0: "local" is not a mode: '
        "write strict#, preferred#, interleave# or restrictive# before the nodes",
    ),
    (
        {"numatune": "strict"},
        'numatune: "strict" at 0: "strict" names no nodes: write strict#<nodeset>, as in strict#0',
    ),
    (
        {"numatune": "strict#"},
        'numatune: "strict#" at 7: "" is empty, a node is missing here: write one or remove the comma',
    ),
    (
        {"numatune": "preferred#0-1"},
        "numatune: preferred names nodes 0-1, but older QEMU (7.2) silently uses only the first: name one node, or write interleave#",
    ),
    ({"guestnuma": "0-3"}, 'guestnuma: "0-3" at 0: "0-3" has no memory: write <vcpus>#<memory>, for example 0-3#4G'),
    (
        {"guestnuma": "0-3#lots"},
        'guestnuma: "0-3#lots" at 4: "lots" is not an amount of memory: '
        "write for example 4194304 (KiB), 4096M, 4G or *",
    ),
    (
        {"guestnuma": "all#524288"},
        'guestnuma: "all#524288" at 0: "all" is not a vCPU or a range of vCPUs: write for example 3 or 0-7',
    ),
    (
        {"guestnuma": "0-7#524288"},
        "guestnuma: vCPUs 4-7 do not exist, the VM has vCPUs 0-3: name no vCPU above 3",
    ),
    ({"guestnuma": "0,3#524288"}, "guestnuma: vCPUs 1-2 are in no cell: name all of 0-3"),
    ({"cputune": "0#16"}, "cputune: CPU 16 is not online on this host, which has 0-15: pin to CPUs that are online"),
    (
        {"numatune": "strict#4"},
        "numatune: node 4 is not on this host, which has nodes 0-3: name nodes of this host",
    ),
    (
        {"guestnuma": "0-1#262144,1-3#262144"},
        "guestnuma: vCPU 1 is in more than one cell: name each vCPU once",
    ),
    (
        {"guestnuma": "0-1#262144,2-3#262145"},
        "guestnuma: cell 1 has 262145 KiB, which is not a multiple of 1 MiB: write 256M or 257M; largeguest: "
        "guestnuma: the cells have 524289 KiB, but the VM has 512 MiB: remove 1 KiB from a cell, or write * for one "
        "cell's memory",
    ),
    (
        {"guestnuma": "0-3#524289"},
        "guestnuma: cell 0 has 524289 KiB, which is not a multiple of 1 MiB: write 512M or 513M; largeguest: "
        "guestnuma: the cells have 524289 KiB, but the VM has 512 MiB: remove 1 KiB from a cell, or write * for one cell's memory",
    ),
    (
        {"guestnuma": "0-3#262144"},
        "guestnuma: the cells have 256 MiB, but the VM has 512 MiB: add 256 MiB to a cell, or write * for one cell's memory",
    ),
    (
        {"cputune": "0#\u00e9", "numatune": "strict#\x07"},
        'cputune: "0#\\xe9" at 2: "\\xe9" is not a CPU, a range or a place (node0, socket0.core1, cell); largeguest: '
        'numatune: "strict#\\x07" at 7: "\\x07" is not a node or a range of nodes: write for example 3, 2-5, ^3 or auto',
    ),
    (
        {"cputune": "x", "numatune": "preferred#0-1", "guestnuma": "0-3#1048576"},
        'cputune: "x" at 0: "x" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3; largeguest: '
        "guestnuma: the cells have 1 GiB, but the VM has 512 MiB: remove 512 MiB from a cell, or write * for one "
        "cell's memory; largeguest: "
        "numatune: preferred names nodes 0-1, but older QEMU (7.2) silently uses only the first: name one node, or write interleave#",
    ),
]

THREE_REFUSALS = [REFUSALS[0], REFUSALS[8], REFUSALS[-1]]
"""A syntax error, what the VM does not have, and several at once: for tests of what only passes a refusal on."""
