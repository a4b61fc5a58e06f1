"""Form checks: a flow wrote the form, and so its check must not hold the controller up, whatever the form is.

A pattern may backtrack, and references may multiply, for longer than the world stands; meanwhile Python's regular
expressions let no other thread run. Small forms that have neither are checked here, all others in a process of their
own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from controller import form_worker
from controller.errors import InvalidArgument, Unavailable
from controller.form_worker import CPU_LIMIT_S, MEMORY_LIMIT_BYTES, TOO_MUCH, Reply
from controller.forms import Problem, check_form, is_plain, problems, problems_text
from controller.values import packed

# Of all forms, at the same time.
_PROCESSES: Final = 2
# A process that gets no processor time for so long is given up, too.
_TIME_LIMIT_S: Final = 60.0
# A plain form's check takes as long as it is large, and as often as the response has items.
_PLAIN_FORM_BYTES: Final = 16 * 1024
_PLAIN_BYTES: Final = 1024 * 1024  # one times the other
_MIB: Final = 1024 * 1024


class FormChecks:
    """Checks forms, and responses against them, within limits of time and memory."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_PROCESSES)

    async def check_form(self, form: object) -> None:
        """Raises InvalidArgument where it is no form, or finding out takes too much; Unavailable."""
        if _is_plain(form):
            await asyncio.to_thread(check_form, form)
            return
        await self._outside({"form": form}, "the message's body")

    async def problems(self, form: Mapping[str, Any], response: object, message_id: str) -> Sequence[Problem]:
        """By place; empty for a response that meets the form.

        Raises InvalidArgument for a form that can't be followed, or takes too much; Unavailable.
        """
        if _is_plain(form, len(packed(response))):
            return await asyncio.to_thread(problems, form, response, message_id)
        request = {"form": form, "response": response, "message_id": message_id}
        found = await self._outside(request, f"message {message_id}: its form")
        return [Problem(tuple(path), place, words) for path, place, words in found]

    async def check_response(self, form: Mapping[str, Any], response: object, message_id: str) -> None:
        """As problems. Raises InvalidArgument that names the first fields which do not meet the form, too."""
        if not isinstance(response, dict):
            raise InvalidArgument(
                f"message {message_id}: the response has to be an object, not {type(response).__name__}"
            )
        if found := await self.problems(form, response, message_id):
            raise InvalidArgument(problems_text(found, message_id))

    async def _outside(self, request: Mapping[str, Any], what: str) -> Sequence[Any]:
        async with self._turn:
            try:
                # No user= and no preexec_fn: Python would fork, and gRPC's threads are not made for that.
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", form_worker.__name__),
                    cwd=Path(form_worker.__file__).parents[form_worker.__name__.count(".")],
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"{what} can't be checked: no process for it can be started: {error}") from error
            output, said = await _output(process, packed({**request, "what": what}), what)
        if process.returncode:
            raise _failure(what, process.returncode, said)
        reply: Reply = json.loads(output)
        if reply["error"]:
            raise InvalidArgument(reply["error"])
        return reply["problems"]


async def _output(process: Process, given: bytes, what: str) -> tuple[bytes, bytes]:
    try:
        async with asyncio.timeout(_TIME_LIMIT_S):
            return await process.communicate(given)
    except TimeoutError as error:
        raise InvalidArgument(
            f"{what} could not be checked within {_TIME_LIMIT_S:g} s; a simpler form is needed"
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _failure(what: str, status: int, said: bytes) -> Exception:
    if status < 0 or status == TOO_MUCH:
        memory = f"{MEMORY_LIMIT_BYTES // _MIB} MiB of memory"
        return InvalidArgument(
            f"{what} takes more than {CPU_LIMIT_S} s of processor time, or {memory}, to be checked: a pattern may"
            " backtrack without end, or references and combined schemas multiply; a simpler form is needed"
        )
    words = said.decode(errors="replace").strip().splitlines() or [f"exit status {status}"]
    return InvalidArgument(f"{what} can't be checked: {words[-1]}")


def _is_plain(form: object, response_bytes: int = 0) -> bool:
    size = len(packed(form))
    return size <= _PLAIN_FORM_BYTES and size * response_bytes <= _PLAIN_BYTES and is_plain(form)
