"""Shares numbered work out among forked processes; whoever is free takes the next number. Runs sandboxed.

For libraries that serve one thread only. The calling process must not have started threads yet. It imports the
standard library only.
"""

import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

from converto_engines.runtime.sandboxed.answering import Refused

Do = Callable[[int], None]
_NUMBER = struct.Struct("<i")
_PIPE_BYTES = 65_536  # what a pipe holds without a reader: all numbers are put into it before anybody is there
_SHOWN_CHARACTERS = 300  # a message is written in one piece, below what the kernel keeps together (4,096)


def share_out(numbers: Sequence[int], prepare: Callable[[], Do], processes: int, done: Do) -> None:
    """Do all numbers, `prepare` being called once in each process; `done` hears of each here. Raises `Refused`.

    A process that is ended by a signal ends this one in the same way, so that the limit it broke is told as such.
    """
    most = _PIPE_BYTES // _NUMBER.size
    for start in range(0, len(numbers), most):
        _share_out(numbers[start : start + most], prepare, processes, done)


def die_of(number: int) -> None:
    """End this process by a signal, as one that it waited for was ended."""
    if number not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pause()


def cores() -> int:
    """How many processes can work at the same time here."""
    return len(os.sched_getaffinity(0))


def _share_out(numbers: Sequence[int], prepare: Callable[[], Do], processes: int, done: Do) -> None:
    waiting, fill = os.pipe()
    told, tell = os.pipe()
    os.write(fill, b"".join(map(_NUMBER.pack, numbers)))
    os.close(fill)
    sys.stdout.flush()
    pids = [_forked(waiting, tell, told, prepare) for _ in range(processes)]
    os.close(tell)
    os.close(waiting)
    try:
        count = _listen(told, len(numbers), done)
        _raise_for_signals(pids)
        if count != len(numbers):
            raise RuntimeError(f"{count} of {len(numbers)} were done")
    finally:
        os.close(told)
        _end(pids)


def _forked(waiting: int, tell: int, told: int, prepare: Callable[[], Do]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:  # from here on this is the other process, which must never return to its caller
        os.close(told)
        _work(waiting, tell, prepare())
    except Refused as refusal:
        cause = repr(refusal.__cause__)[:_SHOWN_CHARACTERS] if refusal.__cause__ else ""
        _say(tell, {"refused": refusal.kind, "message": str(refusal)[:_SHOWN_CHARACTERS], "cause": cause})
    except MemoryError:
        words = "The conversion needs more memory than is allowed for one file"
        _say(tell, {"refused": "engine", "message": words})
    except BaseException as error:  # noqa: BLE001 -- carried over to the first process, which raises it
        _say(tell, {"failed": repr(error)[:_SHOWN_CHARACTERS]})
    finally:
        os._exit(0)


def _work(waiting: int, tell: int, do: Do) -> None:
    while len(packed := os.read(waiting, _NUMBER.size)) == _NUMBER.size:
        (number,) = _NUMBER.unpack(packed)
        do(number)
        _say(tell, {"done": number})


def _say(tell: int, message: dict[str, Any]) -> None:
    os.write(tell, json.dumps(message).encode() + b"\n")


def _listen(told: int, expected: int, done: Do) -> int:
    count = 0
    with os.fdopen(os.dup(told), "rb") as lines:
        for line in lines:
            message = json.loads(line)
            if "refused" in message:
                raise Refused(message["refused"], message["message"]) from RuntimeError(message.get("cause"))
            if "failed" in message:
                raise RuntimeError(message["failed"])
            count += 1
            done(message["done"])
            if count == expected:
                break
    return count


def _raise_for_signals(pids: list[int]) -> None:
    """All have left, or are about to: see how."""
    while pids:
        _, status = os.waitpid(pids.pop(), 0)
        if os.WIFSIGNALED(status):
            die_of(os.WTERMSIG(status))


def _end(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)
