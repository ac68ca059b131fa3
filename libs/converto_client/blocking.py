"""Decorators that give an asynchronous class a blocking twin: same method names, arguments and docstrings."""

import atexit
import functools
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from weakref import WeakSet

import anyio
from anyio.from_thread import BlockingPortal

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Result = TypeVar("Result")
Wrapped = TypeVar("Wrapped")

_END = object()


class LoopThread:
    """A thread that runs an event loop until `stop`."""

    # Not `anyio.from_thread.start_blocking_portal`: its generator, once collected in a forked process, waits for ever.

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`at_end` is awaited in the event loop when all calls have ended."""
        self._at_end = at_end
        self._is_stopped = False
        self._pid = os.getpid()
        self._iterated: set[AsyncGenerator[Any, None]] = set()
        started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="converto-client", daemon=True)
        self._thread.start()
        self._loop_calls = started.result()

    def run(self, function: Callable[..., Coroutine[Any, Any, Answer]], *args: Any, **kwargs: Any) -> Answer:
        """Run a coroutine to its end; Ctrl-C cancels it. Raises RuntimeError after `stop` and in a forked process."""
        if self._pid != os.getpid():
            raise RuntimeError("An iterator can be used only in the process that began it")
        if self._is_stopped:
            raise RuntimeError("The client is closed")
        future: Future[Answer] = self._loop_calls.start_task_soon(functools.partial(function, *args, **kwargs))
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            if self._is_stopped:
                raise RuntimeError("The client was closed during the call") from None
            raise

    def each(self, answers: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
        """The answers of an asynchronous generator, which is closed at the end."""
        self._iterated.add(answers)
        try:
            while (answer := self.run(_next, answers)) is not _END:
                yield answer
        finally:
            self._iterated.discard(answers)
            with suppress(RuntimeError):  # the client was closed first, or this is a forked process
                self.run(answers.aclose)

    def stop(self) -> None:
        """Cancel the calls of all threads and wait for the end of the event loop."""
        self._is_stopped = True
        with suppress(RuntimeError):  # the event loop has ended already
            self._loop_calls.call(self._loop_calls.stop, True)
        self._thread.join()

    def _serve(self, started: Future[BlockingPortal]) -> None:
        async def serve() -> None:
            async with BlockingPortal() as loop_calls:
                started.set_result(loop_calls)
                await loop_calls.sleep_until_stopped()
            for answers in tuple(self._iterated):
                with suppress(RuntimeError):
                    await answers.aclose()
            await self._at_end()

        try:
            anyio.run(serve)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)


class EventLoop:
    """The event loop of one client: its thread starts with the first call, and anew in a forked process."""

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, None]], after_fork: Callable[[], None]) -> None:
        """`at_end` is awaited by `close`; `after_fork` must drop whatever belongs to the parent's event loop."""
        self._at_end = at_end
        self._after_fork = after_fork
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._is_closed = False
        _event_loops.add(self)

    def thread(self) -> LoopThread:
        """The running thread, started if needed; raises RuntimeError after `close`."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("The client is closed")
            if self._thread is None:
                self._thread = LoopThread(self._at_end)
                atexit.register(self.close)  # closes the connections of a program that never closes its client
            return self._thread

    def close(self) -> None:
        """End all calls and the thread."""
        with self._lock:
            thread, self._thread, self._is_closed = self._thread, None, True
        atexit.unregister(self.close)
        if thread is not None:  # without the lock: a callback in the event loop may be asking for it
            thread.stop()

    def forget(self) -> None:
        """Called in a forked process, where the parent's thread does not run and its lock may be held for ever."""
        atexit.unregister(self.close)
        self._lock = threading.Lock()
        self._thread = None
        self._after_fork()


_event_loops: WeakSet[EventLoop] = WeakSet()


def _forget_all() -> None:
    for event_loop in tuple(_event_loops):
        event_loop.forget()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_all)


class Blocking(Generic[Wrapped]):
    """Base of the blocking classes: one asynchronous object and the event loop in which its methods run."""

    def __init__(self, event_loop: EventLoop, wrapped: Wrapped) -> None:
        self._event_loop = event_loop
        self._wrapped = wrapped


def blocking(
    method: Callable[Concatenate[Any, Arguments], Coroutine[Any, Any, Answer]],
) -> Callable[Concatenate[Any, Arguments], Answer]:
    """The method, run to its end."""
    return blocking_as(method, lambda blocking, answer: answer)


def blocking_as(
    method: Callable[Concatenate[Any, Arguments], Coroutine[Any, Any, Answer]],
    convert: Callable[[Any, Answer], Result],
) -> Callable[Concatenate[Any, Arguments], Result]:
    """The method, run to its end; returns `convert(blocking object, asynchronous answer)`."""

    @functools.wraps(method)
    def call(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return convert(self, self._event_loop.thread().run(method, self._wrapped, *args, **kwargs))

    return call


def iterating(
    method: Callable[Concatenate[Any, Arguments], AsyncGenerator[Answer, None]],
) -> Callable[Concatenate[Any, Arguments], Iterator[Answer]]:
    """An asynchronous generator as an iterator; leaving the loop early closes the generator."""

    @functools.wraps(method)
    def call(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Answer]:
        return _each(self._event_loop, method(self._wrapped, *args, **kwargs))

    return call


def _each(event_loop: EventLoop, answers: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
    """A generator, so that the thread starts with the first answer and not before."""
    yield from event_loop.thread().each(answers)


async def _next(answers: AsyncGenerator[Answer, None]) -> Any:
    return await anext(answers, _END)
