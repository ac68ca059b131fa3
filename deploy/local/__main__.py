"""`python -m deploy.local up|down|status`: the laptop stack on the command line."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.errors import AlreadyRunning, StackError, SupervisorGone
from deploy.local.home import Home
from deploy.local.stack.ports import Ports
from deploy.local.stack.stack import EVERYTHING, Stack, StackState
from deploy.local.stack.status_changes import StatusChanges
from deploy.local.stack.supervisor import Process

POLL_INTERVAL_S = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Process entry; a `StackError` becomes one message and exit status 1."""
    arguments = parse(sys.argv[1:])
    commands: dict[str, Callable[[argparse.Namespace], int]] = {"up": run_up, "down": run_down, "status": show_status}
    try:
        sys.exit(commands[arguments.command](arguments))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The converto stack on this machine.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--home", type=Path, help="state folder (default: $CONVERTO_HOME, else .converto)")
    parser.add_argument("--ports", choices=["default", "auto"], default="default", help="auto: use any free ports")
    parser.add_argument("--workers", type=int, help="worker processes (default: one per core)")
    parser.add_argument("--only", type=names, default=EVERYTHING, help=f"some of {','.join(EVERYTHING)}")
    parser.add_argument(
        "--detach", action="store_true", help="return when all parts are healthy and leave them running"
    )
    return parser.parse_args(argv)


def names(text: str) -> tuple[str, ...]:
    """Parse comma-separated parts of the stack; argparse reports the error."""
    chosen = tuple(name.strip() for name in text.split(","))
    if unknown := set(chosen) - set(EVERYTHING):
        raise argparse.ArgumentTypeError(f"unknown part: {', '.join(sorted(unknown))}")
    return chosen


def build_stack(arguments: argparse.Namespace) -> Stack:
    """The stack that the arguments describe."""
    return Stack(
        Home(arguments.home) if arguments.home else Home.default(),
        ports=Ports.free() if arguments.ports == "auto" else Ports.from_environment(os.environ),
        workers=arguments.workers,
        is_watched=not arguments.detach,
        report=say_healthy,
    )


def run_up(arguments: argparse.Namespace) -> int:
    """Start the stack; without --detach, stay until Ctrl-C."""
    return asyncio.run(up(build_stack(arguments), only=arguments.only, is_detached=arguments.detach))


def run_down(arguments: argparse.Namespace) -> int:
    """Stop the stack of this folder, even if another terminal started it or it crashed."""
    stack = build_stack(arguments)
    was_running = stack.supervisor_pid() is not None
    asyncio.run(stack.stop())
    say("converto is stopped." if was_running else "converto was not running.")
    return 0


def show_status(arguments: argparse.Namespace) -> int:
    """Print what is running; exit status 1 if nothing is."""
    stack = build_stack(arguments)
    state = stack.state()
    if state is None:
        say("converto is not running. `make up` starts it.")
        return 1
    for name, process in stack.processes().items():
        say(status_line(name, process, stack.log_of(name)))
    say_where(state)
    return 0


def status_line(name: str, process: Process, log: Path) -> str:
    """What one program does; for one that keeps ending, also why, and what happens next."""
    line = f"  {name:<10} {process.statename.lower():<9} pid {process.pid or '-'}"
    if not process.keeps_ending:
        return line
    return f"{line}  ends at once ({process.how_it_ended}); it is started again every few seconds. Its log is {log}"


async def up(stack: Stack, *, only: Sequence[str], is_detached: bool) -> int:
    """Start the stack, print its URL, watch it until a signal, stop it in order."""
    stopping = StopRequests(stack)
    started = time.monotonic()
    say("Starting converto …")
    starting = asyncio.ensure_future(stack.start(only))
    stopping.on_first(starting.cancel)
    try:
        await starting
    except AlreadyRunning as running:
        say(str(running))
        return 0
    except asyncio.CancelledError:
        say("Stopped before it was up.")
        return 130
    say(f"All healthy after {time.monotonic() - started:.1f} s.")
    processes = await asyncio.to_thread(stack.processes)
    if state := await asyncio.to_thread(stack.state):
        say_where(state)
    if is_detached:
        say("It keeps running; `make down` stops it.")
        return 0
    say("Ctrl-C stops everything; the data stays.")
    return await follow_until_asked(stack, stopping, processes)


async def follow_until_asked(stack: Stack, stopping: "StopRequests", before: dict[str, Process]) -> int:
    """Print a line for each part that ended or restarted; stop the stack when asked."""
    if not await follow(stack, stopping.asked, before):
        return 1
    say("Stopping: workers, then the file service, then the servers … (Ctrl-C again kills everything)")
    started = time.monotonic()
    await stack.stop()
    say(f"Everything is stopped after {time.monotonic() - started:.1f} s. The data is in {stack.home.data}")
    return 0


async def follow(stack: Stack, asked: asyncio.Event, before: dict[str, Process]) -> bool:
    """Report changes until a stop is requested (True) or the stack was stopped elsewhere (False)."""
    changes = StatusChanges(before, stack.home.logs)
    while not asked.is_set():
        try:
            now = await asyncio.to_thread(stack.processes)
        except SupervisorGone:
            say(await end_of_supervisor(stack))
            return asked.is_set()
        for line in changes.report(now):
            say(line)
        try:
            await asyncio.wait_for(asked.wait(), POLL_INTERVAL_S)
        except TimeoutError:
            continue
    return True


async def end_of_supervisor(stack: Stack) -> str:
    """The message when supervisord is gone; if it died, stops what is left."""
    if not stack.home.stack_file.exists():
        return "converto was stopped from another terminal."
    await stack.stop()
    return f"The supervisor died, so everything was stopped. Its log is {stack.home.logs / 'supervisord.log'}"


class StopRequests:
    """Turns the first signal into an orderly stop, the second one into a kill."""

    def __init__(self, stack: Stack) -> None:
        self.asked = asyncio.Event()
        self._stack = stack
        self._first: Callable[[], object] = lambda: None
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    def on_first(self, call: Callable[[], object]) -> None:
        """Set what else to do at the first signal."""
        self._first = call

    def _ask(self) -> None:
        if self.asked.is_set():
            self._stack.kill_everything()
            say("Everything was killed. The data is kept; the next start recovers interrupted work.")
            os._exit(130)
        self.asked.set()
        self._first()


def say_healthy(name: str, seconds: float) -> None:
    """One line for each part, except the watchdog, which no user waits for."""
    if name != "watchdog":
        say(f"  {name:<10} healthy after {seconds:4.1f} s")


def say_where(state: StackState) -> None:
    """Print URL, API page and key."""
    if "api" not in state.pids:
        return
    say(f"  URL        {state.url}")
    say(f"  API page   {state.url}/api/docs")
    say(f"  Key        {state.api_key}")


def say(text: str) -> None:
    """Print at once, also through a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
