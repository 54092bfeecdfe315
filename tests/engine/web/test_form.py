# SPDX-License-Identifier: GPL-2.0-or-later
"""The form and the text say the same, and what the buttons do to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largeguest import PROPERTIES, properties
from largeguest.cpuset import CpuSet
from largeguest.engine.web import edit, form
from largeguest.engine.web.edit import NotPossibleError
from largeguest.engine.web.form import Form, Row
from largeguest.record import replace
from largeguest.values import MODES, Topology
from tests.hosts import FOUR_NODES, GIB
from tests.properties.corpus import GOOD

TOPOLOGY = Topology(2, 1, 4, 2)
MIB = 1024


def corpus(name: str) -> list[str]:
    return ["", *(text for kind, text, _ in GOOD if kind == name)]


@given(st.fixed_dictionaries({name: st.sampled_from(corpus(name)) for name in PROPERTIES}), st.integers(0, 3))
def test_any_values_are_shown_by_a_form_that_means_the_same(values: dict[str, str], iothreads: int) -> None:
    shown = form.of_values(values, iothreads)
    assert shown is not None
    assert properties.parse(form.to_values(shown, iothreads)) == properties.parse(values)


@pytest.mark.parametrize("values", [{"cputune": "0"}, {"numatune": "x#0"}, {"cputune": "0#0", "guestnuma": "0"}])
def test_a_value_with_an_error_has_no_form(values: dict[str, str]) -> None:
    assert form.of_values(values, 0) is None


ONE = Form("manual", "strict", "0", (Row("0-15", "*", "0"),), "each")
TWO = Form("manual", "strict", "0-1", (Row("0-7", "3G", "0"), Row("8-15", "1G", "1")), "float")

EDITS: dict[str, tuple[Callable[[], Form], Form]] = {
    "none forgets everything": (lambda: edit.choose(TWO, "none"), Form()),
    "automatic keeps the policy": (lambda: edit.choose(TWO, "auto"), Form("auto", "strict", "0-1", (), "auto")),
    "by hand from none": (lambda: edit.choose(Form(), "manual"), Form("manual", pinning="each")),
    "by hand from automatic": (
        lambda: edit.choose(Form("auto", pinning="auto"), "manual"),
        Form("manual", pinning="each"),
    ),
    "a first node": (
        lambda: edit.toggle(Form(), 2, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "2", (Row("0-15", "*", "2"),), "each"),
    ),
    "a second node: a socket each": (
        lambda: edit.toggle(ONE, 3, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0,3", (Row("0-7", "*", "0"), Row("8-15", "*", "3")), "each"),
    ),
    "a third node: whole cores": (
        lambda: edit.toggle(TWO, 2, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0-2", (Row("0-5", "*", "0"), Row("6-11", "*", "1"), Row("12-15", "*", "2")), "float"),
    ),
    "the last node out": (lambda: edit.toggle(ONE, 0, None, TOPOLOGY, FOUR_NODES), Form("manual", pinning="each")),
    "a node of one cell in": (
        lambda: edit.toggle(TWO, 2, 0, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0-2", (Row("0-7", "3G", "0,2"), Row("8-15", "1G", "1")), "float"),
    ),
    "a node of a cell without nodes of its own out: the policy's were behind it": (
        lambda: edit.toggle(Form("manual", nodes="0-2", cells=(Row("0-15", "*", ""),)), 1, 0, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0-2", (Row("0-15", "*", "0,2"),)),
    ),
    "a second node, preferred: only one is allowed in the policy": (
        lambda: edit.toggle(replace(ONE, mode="preferred"), 3, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "preferred", "0", (Row("0-7", "*", "0"), Row("8-15", "*", "3")), "each"),
    ),
    "split, preferred": (
        lambda: edit.split(replace(TWO, mode="preferred", nodes="0"), 1, TOPOLOGY, MIB),
        Form(
            "manual",
            "preferred",
            "0",
            (Row("0-7", "3G", "0"), Row("8-11", "512M", "1"), Row("12-15", "512M", "1")),
            "float",
        ),
    ),
    "the last node out of what pins by the cells": (
        lambda: edit.toggle(replace(ONE, pinning="auto"), 0, None, TOPOLOGY, FOUR_NODES),
        Form("manual", pinning="each"),
    ),
    "a node to choose from": (
        lambda: edit.toggle(Form("auto", nodes="1", pinning="auto"), 0, None, TOPOLOGY, FOUR_NODES),
        Form("auto", nodes="0-1", pinning="auto"),
    ),
    "a node beside those that a policy leaves": (
        lambda: edit.toggle(Form("manual", nodes="^3"), 3, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0-3", tuple(Row(f"{4 * n}-{4 * n + 3}", "*", str(n)) for n in range(4)), "none"),
    ),
    "a node beside those that the pins name, which then hold no longer": (
        lambda: edit.toggle(Form("manual", pinning="typed", cputune="all#node0"), 1, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0-1", (Row("0-7", "*", "0"), Row("8-15", "*", "1")), "each", "all#node0"),
    ),
    "pins that follow the cells stay": (
        lambda: edit.toggle(replace(ONE, pinning="typed", cputune="all#=cell.core1"), 3, None, TOPOLOGY, FOUR_NODES),
        Form("manual", "strict", "0,3", (Row("0-7", "*", "0"), Row("8-15", "*", "3")), "typed", "all#=cell.core1"),
    ),
    "a node fewer to choose from": (
        lambda: edit.toggle(Form("auto", nodes="^3", pinning="auto"), 0, None, TOPOLOGY, FOUR_NODES),
        Form("auto", nodes="1-2", pinning="auto"),
    ),
    "split": (
        lambda: edit.split(TWO, 0, TOPOLOGY, MIB),
        Form(
            "manual",
            "strict",
            "0-1",
            (Row("0-3", "1536M", "0"), Row("4-7", "1536M", "0"), Row("8-15", "1G", "1")),
            "float",
        ),
    ),
    "split what has no amount": (
        lambda: edit.split(ONE, 0, TOPOLOGY, MIB),
        Form("manual", "strict", "0", (Row("0-7", "*", "0"), Row("8-15", "*", "0")), "each"),
    ),
    "split in whole cores": (
        lambda: edit.split(Form("manual", cells=(Row("0-5", "*", ""),)), 0, TOPOLOGY, MIB),
        Form("manual", cells=(Row("0-1", "*", ""), Row("2-5", "*", ""))),
    ),
    "split in whole sockets": (
        lambda: edit.split(Form("manual", cells=(Row("0-23", "*", ""),)), 0, TOPOLOGY, MIB),
        Form("manual", cells=(Row("0-7", "*", ""), Row("8-23", "*", ""))),
    ),
    "split in whole steps of memory": (
        lambda: edit.split(Form("manual", cells=(Row("0-15", "3G", ""),)), 0, TOPOLOGY, GIB),
        Form("manual", cells=(Row("0-7", "2G", ""), Row("8-15", "1G", ""))),
    ),
    "join what only one names nodes for": (
        lambda: edit.join(replace(TWO, cells=(TWO.cells[0], Row("8-15", "1G", ""))), 0),
        Form("manual", "strict", "0-1", (Row("0-15", "4G", ""),), "float"),
    ),
    "join": (lambda: edit.join(TWO, 0), Form("manual", "strict", "0-1", (Row("0-15", "4G", "0-1"),), "float")),
    "add": (
        lambda: edit.add(ONE, TOPOLOGY, MIB, FOUR_NODES),
        Form("manual", "strict", "0-1", (Row("0-7", "*", "0"), Row("8-15", "*", "1")), "each"),
    ),
    "add to cells without nodes": (
        lambda: edit.add(Form("manual", cells=(Row("0-15", "*", ""),)), TOPOLOGY, MIB, FOUR_NODES),
        Form("manual", cells=(Row("0-7", "*", ""), Row("8-15", "*", ""))),
    ),
}


@pytest.mark.parametrize(("work", "result"), EDITS.values(), ids=EDITS)
def test_an_edit(work: Callable[[], Form], result: Form) -> None:
    assert work() == result


NOT_POSSIBLE: dict[str, tuple[Callable[[], Form], str]] = {
    "no such cell": (lambda: edit.split(ONE, 1, TOPOLOGY, MIB), "there is no cell 1"),
    "no next cell": (lambda: edit.join(ONE, 0), "there is no cell 1"),
    "one vCPU": (
        lambda: edit.split(Form("manual", cells=(Row("3", "*", ""),)), 0, TOPOLOGY, MIB),
        "cell 0 has no two vCPUs",
    ),
    "no cells": (
        lambda: edit.add(Form("manual"), TOPOLOGY, MIB, FOUR_NODES),
        "there is no cell to split: click a node",
    ),
    "more nodes than vCPUs": (
        lambda: edit.toggle(ONE, 1, None, Topology(1, 1, 1, 1), FOUR_NODES),
        "there are more nodes than vCPUs",
    ),
    "memory for one cell": (
        lambda: edit.split(Form("manual", cells=(Row("0-1", "1G", ""),)), 0, TOPOLOGY, GIB),
        "cell 0 has too little memory for two",
    ),
    "vCPUs that are none": (lambda: edit.split(Form("manual", cells=(Row("x", "*", ""),)), 0, TOPOLOGY, MIB), "is not"),
    "memory that is none": (
        lambda: edit.split(Form("manual", cells=(Row("0-1", "4GB", ""),)), 0, TOPOLOGY, MIB),
        "is not an amount",
    ),
    "memory that holds more": (
        lambda: edit.split(Form("manual", cells=(Row("0-1", "*,1#*", ""),)), 0, TOPOLOGY, MIB),
        "is not an amount",
    ),
}


@pytest.mark.parametrize(("work", "said"), NOT_POSSIBLE.values(), ids=NOT_POSSIBLE)
def test_an_edit_that_does_not_fit(work: Callable[[], Form], said: str) -> None:
    with pytest.raises(NotPossibleError, match=said):
        work()


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=8),
    st.builds(Topology, st.integers(1, 5), st.just(1), st.integers(1, 6), st.integers(1, 2)),
    st.sampled_from(MODES),
)
def test_clicks_deal_every_vcpu_once_and_evenly(clicks: list[int], topology: Topology, mode: str) -> None:
    shown = Form(mode=mode)
    vcpus = topology.sockets * topology.vcpus_per_socket
    for node in clicks:
        try:
            shown = edit.toggle(shown, node, None, topology, FOUR_NODES)
        except NotPossibleError:
            assert len(edit.used(shown, FOUR_NODES)) == vcpus
    parts = [properties.parse({"guestnuma": str(row)})[0] for row in shown.cells]
    owned = [cell.vcpus for part in parts if part.guestnuma for cell in part.guestnuma.cells]
    assert sum(map(len, owned)) == len(CpuSet.union(owned)) == (vcpus if shown.cells else 0)
    nodes = edit.used(shown, FOUR_NODES)
    assert shown.nodes == str(CpuSet([nodes.first]) if mode == "preferred" and nodes else nodes)
    assert all(owned)
