"""Checks one form, or one response, in a process of its own: `python -m controller.form_worker`.

Standard input: {"what": "...", "form": ..., "response": ..., "message_id": "..."}, the last two where a response is
to be checked; what: for the words.
Standard output: a Reply. It is killed when it takes too much.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, Final, TypedDict

from controller.errors import InvalidArgument
from controller.forms import check_form, problems

CPU_LIMIT_S: Final = 5
MEMORY_LIMIT_BYTES: Final = 1 << 30

# Exit status: the memory was not enough.
TOO_MUCH: Final = 3


class Reply(TypedDict):
    """error: empty, or why the form can't be followed. problems: path, place and words of each."""

    error: str
    problems: list[tuple[list[str | int], str, str]]


def main() -> None:
    """Answer one request."""
    _limit()
    reply: Reply = {"error": "", "problems": []}
    request = json.load(sys.stdin)
    try:
        reply["problems"] = _problems(request)
    except InvalidArgument as error:
        reply["error"] = str(error)
    except RecursionError:
        reply["error"] = f"{request['what']} is nested too deep, or refers to itself without end"
    except MemoryError:
        raise SystemExit(TOO_MUCH) from None
    json.dump(reply, sys.stdout)


def _problems(request: dict[str, Any]) -> list[tuple[list[str | int], str, str]]:
    form = request["form"]
    if "message_id" not in request:
        check_form(form)
        return []
    found = problems(form, request["response"], request["message_id"])
    return [(list(one.path), one.place, one.words) for one in found]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


if __name__ == "__main__":
    main()
