"""Decorators that give an asynchronous class a blocking twin: same method names, arguments and docstrings."""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Result = TypeVar("Result")
Wrapped = TypeVar("Wrapped")

_END = object()


class Blocking(Generic[Wrapped]):
    """Base of the blocking classes: one asynchronous object and the event loop in which its methods run."""

    def __init__(self, event_loop: BlockingPortal, wrapped: Wrapped) -> None:
        self._event_loop = event_loop
        self._wrapped = wrapped

    def _run(self, function: Callable[..., Coroutine[Any, Any, Answer]], *args: Any, **kwargs: Any) -> Answer:
        """Run a coroutine to its end in the event loop; Ctrl-C cancels it there."""
        future: Future[Answer] = self._event_loop.start_task_soon(functools.partial(function, *args, **kwargs))
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


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
        return convert(self, self._run(method, self._wrapped, *args, **kwargs))

    return call


def iterating(
    method: Callable[Concatenate[Any, Arguments], AsyncGenerator[Answer, None]],
) -> Callable[Concatenate[Any, Arguments], Iterator[Answer]]:
    """An asynchronous generator as an iterator; leaving the loop early closes the generator."""

    @functools.wraps(method)
    def call(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Answer]:
        answers = method(self._wrapped, *args, **kwargs)
        try:
            while (answer := self._run(_next, answers)) is not _END:
                yield answer
        finally:
            with suppress(RuntimeError):  # the client was closed first, and its event loop with it
                self._run(answers.aclose)

    return call


async def _next(answers: AsyncGenerator[Answer, None]) -> Any:
    return await anext(answers, _END)
