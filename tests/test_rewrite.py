# SPDX-License-Identifier: GPL-2.0-or-later
"""What is true of every rewrite, and of every text that the hook gets."""

from __future__ import annotations

import copy
import gc
import os
import re
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from largeguest import VERSION, hooks
from largeguest.problem import Refused
from largeguest.rewrite import rewrite

from . import DATA
from .hosts import FOUR_NODES
from .properties import corpus
from .refusals import REFUSALS

DOCUMENTS = [(DATA / f"{name}.xml").read_bytes() for name in ("plain", "vnuma", "hotplug")]

FITTING = {
    "cputune": ["", "0#0", "0-1#=node0", "0-3#node1,^4", "emulator#^0", "0#1,1#2,emulator#8", "1#=socket0.core1"],
    "numatune": ["", "strict#0-3", "0-3", "^3", "interleave#0-1", "restrictive#0-3", "auto"],
    "guestnuma": ["", "0#*", "0-1#*,2-3#*", "0-3#*@1", "0#*@0,1-3#*@1", "0-1#128M,2-3#*"],
}

fitting = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FITTING.items()})
documents = st.sampled_from(DOCUMENTS)

OWNED = {
    "cputune": ("cputune/vcpupin", "cputune/emulatorpin", "cputune/iothreadpin", "cputune"),
    "numatune": ("numatune",),
    "guestnuma": ("cpu/numa", "numatune/memnode", "numatune"),
}


@pytest.mark.parametrize(("values", "message"), REFUSALS, ids=lambda value: repr(value)[:60])
def test_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(Refused) as caught:
        rewrite(values, DOCUMENTS[0], FOUR_NODES)
    assert str(caught.value) == f"largeguest: {message}"


def rewritten(values: dict[str, str], document: bytes) -> bytes | None:
    try:
        return rewrite(values, document, FOUR_NODES).document
    except Refused:
        return None


@given(fitting, documents)
def test_twice_is_the_same_as_once(values: dict[str, str], document: bytes) -> None:
    once = rewritten(values, document)
    if once is not None:
        assert rewritten(values, once) == once


def without_what_is_owned(document: bytes, values: dict[str, str]) -> bytes:
    """The document as canonical XML, without what the properties replace, and without white space."""
    root = copy.deepcopy(etree.fromstring(document))
    for name, value in values.items():
        for path in OWNED[name] if value else ():
            for element in root.findall(path):
                only_a_frame = path in ("cputune", "numatune") and (len(element) or element.attrib)
                if not only_a_frame or name == "numatune":
                    parent = element.getparent()
                    assert parent is not None
                    parent.remove(element)
    for element in root.iter():
        if not (element.text or "").strip():
            element.text = None
        element.tail = None
    return etree.tostring(root, method="c14n")


@given(fitting, documents)
def test_what_the_hook_does_not_own_stays(values: dict[str, str], document: bytes) -> None:
    new = rewritten(values, document)
    if new is not None:
        assert without_what_is_owned(new, values) == without_what_is_owned(document, values)


@pytest.fixture(scope="module")
def hook_of_four_nodes(four_nodes: str) -> Iterator[None]:
    before, hooks.SYS = hooks.SYS, four_nodes
    yield
    hooks.SYS = before
    gc.enable()  # which the hook has disabled


def run_hook(environ: dict[str, str]) -> tuple[int, str]:
    """The hook in this process; gives its exit code, and what it said on stderr."""
    shown = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            code = hooks.before_vm_start(environ)
        finally:
            os.dup2(shown, 2)
            os.close(shown)
        return code, os.pread(file.fileno(), 2**20, 0).decode("ascii")


texts = st.one_of(
    st.text(max_size=50),
    st.text("0123456789,#^@*+-= .nodesocketrauKMGT", max_size=60),
    st.sampled_from([text for _, text, *_ in corpus.GOOD + corpus.WRONG_IN_SHAPE + corpus.WRONG_IN_MEANING]),
    st.sampled_from([text for values in FITTING.values() for text in values]),
)


@pytest.mark.usefixtures("hook_of_four_nodes")
@settings(max_examples=400)
@given(values=st.fixed_dictionaries(dict.fromkeys(FITTING, texts)), document=documents)
def test_whatever_is_typed_the_hook_ends_well(
    values: dict[str, str], document: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "typed"
    path.write_bytes(document)
    code, said = run_hook({**values, "_hook_domxml": str(path)})
    assert code in (0, 2)
    assert "unexpected error" not in said
    if any(value.strip(" ") for value in values.values()):
        assert re.fullmatch(rf"largeguest(?: {re.escape(VERSION)})?: [ -~]+\n", said)
    else:
        assert (code, said) == (0, "")
    if code == 2:
        assert path.read_bytes() == document
