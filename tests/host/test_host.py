# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from largeguest import record
from largeguest.cpuset import CpuSet
from largeguest.host import capabilities, sysfs, topology
from largeguest.host.topology import Cpu, Host, Node, Pages
from largeguest.planner import Request, plan
from largeguest.problem import Refused
from largeguest.values import Guest
from largeguest.view import table
from tests import ROOT, hosts
from tests.hosts import GIB

NO_PAGES: dict[int, Pages] = {}

HOSTS = {
    "four nodes": hosts.FOUR_NODES,
    "one node": hosts.build(sockets=1, nodes_per_socket=1),
    "siblings far apart": hosts.build(siblings_apart=True),
    "four threads": hosts.build(sockets=1, threads=4),
    "sparse nodes, one without CPUs, one without memory": Host(
        {
            0: Node(CpuSet([0, 1]), 8 * GIB, 4 * GIB, NO_PAGES, {0: 10, 33: 40, 72: 80}),
            33: Node(CpuSet([2, 3]), 0, 0, NO_PAGES, {0: 40, 33: 10, 72: 80}),
            72: Node(CpuSet(), 64 * GIB, 60 * GIB, {2048: Pages(512, 100)}, {0: 80, 33: 80, 72: 10}),
        },
        {number: Cpu(number // 2, 0, number % 2, CpuSet([number])) for number in range(4)},
    ),
    "an offline CPU": Host(
        {0: Node(CpuSet([0, 1, 3]), GIB, GIB, NO_PAGES, {0: 10})},
        {0: Cpu(0, 0, 0, CpuSet([0, 1])), 1: Cpu(0, 0, 0, CpuSet([0, 1])), 3: Cpu(0, 0, 1, CpuSet([3]))},
    ),
    "two dies": Host(
        {0: Node(CpuSet([0, 1]), GIB, GIB, NO_PAGES, {0: 10})},
        {0: Cpu(0, 0, 0, CpuSet([0])), 1: Cpu(0, 1, 0, CpuSet([1]))},
    ),
}

TREES = os.environ.get("LARGEGUEST_HOST_TREES", "").split(":") if os.environ.get("LARGEGUEST_HOST_TREES") else []
"""More saved trees, by hwloc-gather-topology (each with a folder sys), to compare with hwloc's view."""


@pytest.fixture(params=HOSTS)
def some_host(request: pytest.FixtureRequest) -> Host:
    return HOSTS[request.param]


def test_from_sys(some_host: Host, tmp_path: Path) -> None:
    assert sysfs.from_sys(hosts.save(some_host, tmp_path)) == some_host


def test_from_capabilities(some_host: Host) -> None:
    nodes = {
        number: record.replace(
            node, free=None, pages={size: Pages(pages.total, None) for size, pages in node.pages.items()}
        )
        for number, node in some_host.nodes.items()
    }
    assert capabilities.from_capabilities(hosts.capabilities(some_host)) == Host(nodes, some_host.cpus)


def test_an_offline_cpu_in_capabilities_has_an_id_only() -> None:
    document = hosts.capabilities(hosts.FOUR_NODES).replace(
        b'<cpu id="3" socket_id="0" die_id="0" core_id="1" siblings="2-3"/>', b'<cpu id="3"/>'
    )
    found = capabilities.from_capabilities(document)
    assert (found.online, found.nodes[0].cpus) == (CpuSet([*range(3), *range(4, 16)]), CpuSet(range(3)))


def test_an_offline_node_is_not_there(tmp_path: Path) -> None:
    root = Path(hosts.save(hosts.FOUR_NODES, tmp_path))
    (root / "devices/system/node/online").write_text("0,2-3\n")
    assert list(sysfs.from_sys(str(root)).nodes) == [0, 2, 3]


def test_a_kernel_without_numa_has_one_node(tmp_path: Path) -> None:
    one = HOSTS["one node"]
    root = Path(hosts.save(one, tmp_path))
    folder = root / "devices/system/node"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text((folder / "node0/meminfo").read_text().replace("Node 0 ", ""))
    shutil.copytree(folder / "node0/hugepages", root / "kernel/mm/hugepages")
    shutil.rmtree(folder)
    assert sysfs.from_sys(str(root)) == one


def test_what_is_not_known_is_none(tmp_path: Path) -> None:
    root = Path(hosts.save(HOSTS["one node"], tmp_path))
    shutil.rmtree(root / "devices/system/node")
    node = sysfs.from_sys(str(root)).nodes[0]
    assert (node.memory, node.free) == (None, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [("physical_package_id", "-1"), ("die_id", "-1"), ("die_id", None), ("physical_package_id", "2147483647")],
)
def test_a_number_that_the_kernel_does_not_know_is_0(tmp_path: Path, name: str, text: str | None) -> None:
    root = Path(hosts.save(HOSTS["one node"], tmp_path))
    path = root / "devices/system/cpu/cpu0/topology" / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert sysfs.from_sys(str(root)) == HOSTS["one node"]


def test_each_cpu_is_in_one_core_even_if_cpus_contradict_each_other() -> None:
    its_siblings = {0: [0], 1: [0, 1], 2: [2, 3, 5], 3: [1], 4: [3], 5: [5]}
    cpus = {number: Cpu(0, 0, number, CpuSet(siblings)) for number, siblings in its_siblings.items()}
    for lazily in (None, its_siblings.__getitem__):
        some_host = Host({}, cpus, siblings=lazily)
        assert list(some_host.cores(CpuSet(range(5)))) == [[0], [1], [2, 3], [4]]
        assert list(some_host.by_core(CpuSet([3, 5]))) == [3, 5]


def test_a_cpu_that_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        sysfs.from_sys(hosts.save(HOSTS["one node"], tmp_path)).cpus[99]


def test_numad_is_looked_for_where_the_tree_has_programs(tmp_path: Path) -> None:
    root = hosts.save(HOSTS["one node"], tmp_path)
    assert sysfs.from_sys(root).numad is None
    (tmp_path / "usr/bin").mkdir(parents=True)
    assert sysfs.from_sys(root).numad is False
    (tmp_path / "usr/bin/numad").touch()
    assert sysfs.from_sys(root).numad is True


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (
            "cpu",
            None,
            'host: "{root}" is not the /sys of a Linux host: name a folder like /sys, or a file with the output of '
            "virsh capabilities (--host caps.xml)",
        ),
        (
            "node/online",
            "many",
            'host: "{root}/devices/system/node/online" contains no list of ids: save the tree of the host again',
        ),
        ("node/online", "3", 'host: "{root}" has no node3, although it lists it as online: save the whole tree again'),
    ],
)
def test_no_tree(tmp_path: Path, path: str, text: str | None, message: str) -> None:
    root = Path(hosts.save(HOSTS["one node"], tmp_path))
    if text is None:
        shutil.rmtree(root / "devices/system" / path)
    else:
        (root / "devices/system" / path).write_text(text)
    with pytest.raises(Refused) as caught:
        sysfs.from_sys(str(root))
    assert str(caught.value) == f"largeguest: {message.format(root=root)}"


@pytest.mark.parametrize(
    "document", [b"<capabilities/>", hosts.capabilities(hosts.FOUR_NODES).replace(b'id="3"', b'id="three"')]
)
def test_capabilities_without_a_topology(document: bytes) -> None:
    with pytest.raises(Refused, match="the capabilities contain no readable topology"):
        capabilities.from_capabilities(document)


@pytest.mark.parametrize(
    ("question", "files"),
    [
        # the list of CPUs, and that of nodes
        ("host.online", 2),
        # besides the node's cpulist, distance, meminfo, and how many huge pages there are of each of 2 sizes
        ("host.nodes[63].free", 2 + 3 + 2),
        ("host.cpus[2047].siblings", 2 + 4),
    ],
)
def test_reads_only_what_is_asked_for(large_host: str, question: str, files: int) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from largeguest.host import sysfs
opened = []
sys.addaudithook(lambda event, args: event == "open" and {large_host!r} in str(args[0]) and opened.append(args))
host = sysfs.from_sys({large_host!r})
{question}
print(len(opened))
"""
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) == files


MASKS = ["node/node*/cpulist", "cpu/cpu*/topology/thread_siblings_list"]


@pytest.mark.parametrize("missing", [["cpu/online"], ["node/online"], MASKS, ["cpu/online", "node/online", *MASKS]])
def test_other_formats_of_a_tree_are_read(missing: list[str], some_host: Host, tmp_path: Path) -> None:
    root = hosts.save(some_host, tmp_path)
    for pattern in missing:
        found = list(Path(root, "devices/system").glob(pattern))
        assert found
        for path in found:
            path.unlink()
    assert sysfs.from_sys(root) == some_host


def test_a_tree_without_siblings_has_cores_of_one_thread(tmp_path: Path) -> None:
    root = Path(hosts.save(HOSTS["one node"], tmp_path))
    for path in root.glob("devices/system/cpu/cpu*/topology/thread_siblings*"):
        path.unlink()
    assert {str(cpu.siblings) for cpu in sysfs.from_sys(str(root)).cpus.values()} == {"0", "1", "2", "3"}


def test_memory_that_is_not_known_is_not_0(tmp_path: Path) -> None:
    root = Path(hosts.save(HOSTS["one node"], tmp_path))
    node = root / "devices/system/node/node0"
    (node / "meminfo").write_text("Node 0 MemTotal: 4096 kB\n")
    (node / "hugepages/hugepages-2048kB/nr_hugepages").unlink()
    (node / "hugepages/hugepages-1048576kB/nr_hugepages").write_text("3\n")
    (node / "hugepages/hugepages-1048576kB/free_hugepages").unlink()
    found = sysfs.from_sys(str(root))
    assert (found.nodes[0].memory, found.nodes[0].free) == (4096, None)
    assert dict(found.nodes[0].pages) == {2048: Pages(None, 0), GIB: Pages(3, None)}
    assert found.nodes[0].room(2048).total == topology.UNKNOWN_MEMORY
    heads, row = table.host_table(found).splitlines()[2:4]
    assert heads.split("  ")[-2:] == ["free 2M pages", "free 1G pages"]
    assert " ".join(row.split()[2:]) == "4 MiB ? 0 of ? ? of 3"


def test_capabilities_without_memory() -> None:
    document = hosts.capabilities(hosts.FOUR_NODES).replace(b'<memory unit="KiB">4194304</memory>', b"")
    assert {node.memory for node in capabilities.from_capabilities(document).nodes.values()} == {None}


def test_nodes_that_share_cpus_are_not_planned_for(tmp_path: Path) -> None:
    """As with numa=fake: each node has all CPUs of the real node that it is part of."""
    real = hosts.build(sockets=1, nodes_per_socket=2)
    node = real.nodes[0]
    fake = Host({0: node, 1: node, 2: real.nodes[1]}, real.cpus)
    fake = record.replace(
        fake, nodes={n: record.replace(node, distances={0: 10, 1: 10, 2: 10}) for n, node in fake.nodes.items()}
    )
    for found in (sysfs.from_sys(hosts.save(fake, tmp_path)), capabilities.from_capabilities(hosts.capabilities(fake))):
        with pytest.raises(Refused, match="host: CPU 0 is in node 0 and in node 1: boot the host without numa=fake"):
            plan(Request(Guest(max_vcpus=8, memory=GIB)), found)


def seen_by_hwloc(*arguments: str) -> tuple[dict[int, tuple[CpuSet, int]], dict[int, CpuSet], set[CpuSet]]:
    """Node to CPUs and KiB, socket to CPUs, and the threads of each core, as hwloc sees them."""
    command = ["lstopo-no-graphics", "--of", "xml", "--whole-system", *arguments]
    root = etree.fromstring(subprocess.run(command, capture_output=True, check=True).stdout)

    def cpus(item: etree._Element) -> CpuSet:
        words = [word or "0" for word in item.get("cpuset", "").split(",")]
        bits = int("".join(f"{int(word, 16):08x}" for word in words), 16)
        return CpuSet(number for number in range(bits.bit_length()) if bits >> number & 1)

    def found(kind: str) -> list[tuple[int, etree._Element]]:
        return [(int(item.get("os_index", "")), item) for item in root.iter("object") if item.get("type") == kind]

    return (
        {number: (cpus(item), int(item.get("local_memory", "0")) // 1024) for number, item in found("NUMANode")},
        {number: cpus(item) for number, item in found("Package")},
        {cpus(item) for _, item in found("Core")},
    )


@pytest.mark.skipif(shutil.which("lstopo-no-graphics") is None, reason="apt-get install hwloc-nox")
@pytest.mark.parametrize("where", ["this machine", "four nodes", "siblings far apart", "four threads", *TREES])
def test_hwloc_sees_the_same(where: str, tmp_path: Path) -> None:
    if where in HOSTS:
        hosts.save(HOSTS[where], tmp_path)
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").touch()
        where = str(tmp_path)
    elif where == "this machine":
        where = "/"
    ours = sysfs.from_sys(f"{where}/sys")
    sockets: dict[int, CpuSet] = {}
    for number, cpu in ours.cpus.items():
        sockets[cpu.socket] = sockets.get(cpu.socket, CpuSet()) | CpuSet([number])
    nodes = {number: (node.cpus, node.memory) for number, node in ours.nodes.items()}
    cores = {cpu.siblings for cpu in ours.cpus.values()}
    assert (nodes, sockets, cores) == seen_by_hwloc(*([] if where == "/" else ["--input", where]))


@pytest.mark.skipif(shutil.which("virsh") is None, reason="apt-get install libvirt-clients")
def test_libvirts_test_host() -> None:
    command = ["virsh", "-c", "test:///default", "capabilities"]
    found = capabilities.from_capabilities(subprocess.run(command, capture_output=True, check=True).stdout)
    assert {number: (node.cpus, node.memory) for number, node in found.nodes.items()} == {
        0: (CpuSet(range(8)), 2 * GIB),
        1: (CpuSet(range(8, 16)), 4 * GIB),
    }
    assert found.cpus == {number: Cpu(number // 8, 0, number % 8, CpuSet([number])) for number in range(16)}


@pytest.mark.parametrize(
    ("per_l3", "per_cluster", "groups"),
    [
        (0, 0, ["0-15"]),
        (2, 0, ["0-3", "4-7", "8-11", "12-15"]),
        (8, 4, ["0-7", "8-15"]),  # one L3 for all
        (2, 4, ["0-3", "4-7", "8-11", "12-15"]),
        (1, 1, ["0-15"]),  # of a core alone: nothing is shared
    ],
)
@pytest.mark.parametrize("kind", ["sys", "capabilities"])
def test_cores_that_share_a_cache_or_a_cluster(
    kind: str, per_l3: int, per_cluster: int, groups: list[str], tmp_path: Path
) -> None:
    built = hosts.build(1, 1, 8, 2, cores_per_l3=per_l3, cores_per_cluster=per_cluster)
    if kind == "sys":
        host = sysfs.from_sys(hosts.save(built, tmp_path))
    else:
        host = capabilities.from_capabilities(hosts.capabilities(built))
    assert [*map(str, host.groups(host.online))] == groups
