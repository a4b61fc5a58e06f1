"""Every error of the core has a gRPC code of its own."""

from __future__ import annotations

import grpc

from controller import errors
from controller.api.codes import CODES, _shortened


def _all(kind: type[errors.FlowsnapError]) -> set[type[errors.FlowsnapError]]:
    return set(kind.__subclasses__()).union(*(_all(below) for below in kind.__subclasses__()))


def test_each_error_is_mapped_to_a_code_of_its_own() -> None:
    # Other tests have errors of their own.
    core = {kind for kind in _all(errors.FlowsnapError) if kind.__module__.startswith("controller.")}
    assert core == set(CODES)
    assert len(set(CODES.values())) == len(CODES)
    assert grpc.StatusCode.OK not in CODES.values()


def test_long_words_keep_their_beginning_and_their_end() -> None:
    words = "restore failed: " + "ü" * 5000 + " the last line"
    short = _shortened(words)
    assert short.startswith("restore failed")
    assert short.endswith("the last line")
    assert len(short.encode()) < 2100
    assert _shortened("short") == "short"
