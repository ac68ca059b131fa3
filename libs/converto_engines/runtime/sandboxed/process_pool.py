"""Distributes numbered work over forked processes; each takes the next number when it is free.

For libraries that are not thread-safe. The caller must not have started threads yet. Standard library only.
"""

import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

Work = Callable[[int], None]
_NUMBER = struct.Struct("<i")
_PIPE_BYTES = 65_536  # what a pipe holds without a reader: all numbers are written before a process reads them
_SHOWN_CHARACTERS = 300  # keeps a message below the 4,096 bytes that the kernel writes atomically


def run(numbers: Sequence[int], prepare: Callable[[], Work], processes: int, done: Work) -> None:
    """Process all numbers; each process calls `prepare` once, and `done` is called here for every finished number.

    Raises `Refused`. When a process is killed by a signal, this process kills itself with the same signal, so that the
    worker sees which limit was exceeded.
    """
    most = _PIPE_BYTES // _NUMBER.size
    for start in range(0, len(numbers), most):
        _run_batch(numbers[start : start + most], prepare, processes, done)


def exit_by_signal(number: int) -> None:
    """End this process with the signal that ended one of its children."""
    if number not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pause()


def cpu_count() -> int:
    """How many processes can run at the same time here."""
    return len(os.sched_getaffinity(0))


def _run_batch(numbers: Sequence[int], prepare: Callable[[], Work], processes: int, done: Work) -> None:
    queue_out, queue_in = os.pipe()
    messages_out, messages_in = os.pipe()
    os.write(queue_in, b"".join(map(_NUMBER.pack, numbers)))
    os.close(queue_in)
    sys.stdout.flush()
    pids = [_fork(queue_out, messages_in, messages_out, prepare) for _ in range(processes)]
    os.close(messages_in)
    os.close(queue_out)
    try:
        count = _collect(messages_out, len(numbers), done)
        _raise_for_signals(pids)
        if count != len(numbers):
            raise RuntimeError(f"{count} of {len(numbers)} were done")
    finally:
        os.close(messages_out)
        _kill(pids)


def _fork(queue_out: int, messages_in: int, messages_out: int, prepare: Callable[[], Work]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:  # from here on this is the child process, which must never return to the caller
        os.close(messages_out)
        _work(queue_out, messages_in, prepare())
    except Refused as refusal:
        cause = repr(refusal.__cause__)[:_SHOWN_CHARACTERS] if refusal.__cause__ else ""
        _send(messages_in, {"refused": refusal.kind, "message": str(refusal)[:_SHOWN_CHARACTERS], "cause": cause})
    except MemoryError:
        text = "The conversion needs more memory than is allowed for one file"
        _send(messages_in, {"refused": "engine", "message": text})
    except BaseException as error:  # noqa: BLE001 -- sent to the parent process, which raises it
        _send(messages_in, {"failed": repr(error)[:_SHOWN_CHARACTERS]})
    finally:
        os._exit(0)


def _work(queue_out: int, messages_in: int, work: Work) -> None:
    while len(packed := os.read(queue_out, _NUMBER.size)) == _NUMBER.size:
        (number,) = _NUMBER.unpack(packed)
        work(number)
        _send(messages_in, {"done": number})


def _send(messages_in: int, message: dict[str, Any]) -> None:
    os.write(messages_in, json.dumps(message).encode() + b"\n")


def _collect(messages_out: int, expected: int, done: Work) -> int:
    count = 0
    with os.fdopen(os.dup(messages_out), "rb") as lines:
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
    """Wait for all processes, which have exited or are about to; takes them off the list."""
    while pids:
        _, status = os.waitpid(pids.pop(), 0)
        if os.WIFSIGNALED(status):
            exit_by_signal(os.WTERMSIG(status))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)
