"""`converto doctor`: one line per thing that has to work, ok or bad, and what to do about it."""

import shutil
import time
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.server import NoServerKnown, find_server
from converto_cli.session import Session, run, trouble_of
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.output import Screen
from converto_client.errors import ClientError, ProblemError, ServerUnreachable
from converto_client.models import Health, WorkerRecord

PROGRAMS = (
    ("soffice", "office files (Debian: libreoffice-writer-nogui and its sisters)"),
    ("vips", "pictures (Debian: libvips-tools)"),
    ("ffmpeg", "video and sound (Debian: ffmpeg)"),
    ("assimp", "models (Debian: assimp-utils)"),
    ("bwrap", "the sandbox (Debian: bubblewrap)"),
    ("rabbitmq-server", "the broker (Debian: rabbitmq-server)"),
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DEPENDENCY_ADVICE = "look at its log and at the CONVERTO_… variables of the file service"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `advice` says what to do when it is bad."""

    name: str
    ok: bool
    words: str
    advice: str = ""


def doctor(*, context: Annotated[Context, Parameter(parse=False)]) -> int:
    """Check server, key, dependencies, workers and sandbox; exit status 1 when anything is bad."""
    try:
        find_server(context)
    except (NoServerKnown, ValueError) as error:
        finding = Finding(name="server", ok=False, words="no server is known", advice=str(error))
        return _report(Screen(context), [finding])

    async def work(session: Session) -> int:
        return _report(session.screen, [finding async for finding in examine(session)])

    return run(context, work)


async def examine(session: Session) -> AsyncIterator[Finding]:
    """All findings in the order in which one thing needs the other."""
    started = time.monotonic()
    try:
        health = await session.client.health()
    except ServerUnreachable as error:
        yield Finding(name="server", ok=False, words=str(error), advice=_how_to_reach(session))
        return
    except ClientError as error:
        yield Finding(name="server", ok=False, words=str(error), advice="check the server URL")
        return
    elapsed_ms = (time.monotonic() - started) * 1000
    words = f"{session.address.url} (from {session.address.found_in}) answers in {elapsed_ms:.0f} ms"
    yield Finding(name="server", ok=True, words=words)
    yield _encryption(session)
    for finding in _dependencies(health):
        yield finding
    async for finding in _behind_the_key(session):
        yield finding
    if session.address.is_laptop_stack:
        for name, purpose in PROGRAMS:
            yield _program(name, purpose)


async def _behind_the_key(session: Session) -> AsyncIterator[Finding]:
    try:
        identity = await session.client.whoami()
        yield Finding(name="key", ok=True, words=f"belongs to {identity.owner}")
        workers = (await session.client.workers()).workers
        routes = (await session.client.formats()).routes
    except ProblemError as error:
        is_key = error.status in (401, 403)
        advice = "set CONVERTO_API_KEY or give --api-key" if is_key else "see the log of the file service"
        yield Finding(name="key" if is_key else "workers", ok=False, words=trouble_of(error).message, advice=advice)
        return
    if not workers:
        advice = "start one: python -m conversion_worker"
        yield Finding(name="workers", ok=False, words="none was heard of lately", advice=advice)
    for worker in workers:
        yield _worker(worker)
    engines = sorted({f"{route.engine} {route.engine_version or ''}".strip() for route in routes if route.engine})
    advice = "" if engines else "install the programs of the workers, such as LibreOffice and libvips"
    words = f"{len(routes)} routes by {', '.join(engines)}" if engines else "no worker offers any conversion"
    yield Finding(name="engines", ok=bool(engines), words=words, advice=advice)


def _encryption(session: Session) -> Finding:
    parts = urlsplit(session.address.url)
    if parts.scheme == "https" or parts.hostname in LOOPBACK:
        return Finding(name="transport", ok=True, words="encrypted" if parts.scheme == "https" else "this machine only")
    advice = "use an https:// URL, or a tunnel"
    return Finding(name="transport", ok=False, words="the key travels unencrypted over the network", advice=advice)


def _dependencies(health: Health) -> list[Finding]:
    findings = []
    for name, check in health.checks.items():
        is_well = check.status == "ok"
        words = (
            f"answers in {check.latency_ms or 0:.0f} ms" if is_well else f"{check.status}: {check.error or 'no reason'}"
        )
        advice = "" if is_well else DEPENDENCY_ADVICE
        findings.append(Finding(name=name.replace("_", " "), ok=is_well, words=words, advice=advice))
    return findings


def _worker(worker: WorkerRecord) -> Finding:
    is_locked_in = worker.sandbox not in ("", "off", "none")
    words = f"{worker.id}: {len(worker.running)} of {worker.slots} slots busy, sandbox {worker.sandbox or 'unknown'}"
    advice = "" if is_locked_in else "programs run unprotected: install bubblewrap and set CONVERTO_SANDBOX=auto"
    return Finding(name="worker", ok=is_locked_in, words=words, advice=advice)


def _program(name: str, purpose: str) -> Finding:
    place = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/lib/rabbitmq/bin")
    advice = "" if place else f"needed for {purpose}; `make setup` installs it"
    return Finding(name=name, ok=place is not None, words=place or "not found on the PATH", advice=advice)


def _how_to_reach(session: Session) -> str:
    if session.address.is_laptop_stack:
        return "`make up` starts it; its logs are in .converto/logs"
    return f"check that {session.address.url} (from {session.address.found_in}) is right and the server is running"


def _report(screen: Screen, findings: list[Finding]) -> int:
    for finding in findings:
        screen.result(f"{'ok ' if finding.ok else 'BAD'}  {finding.name:<12}  {finding.words}")
        if finding.advice:
            screen.result(f"     {'':<12}  → {finding.advice}")
    is_well = all(finding.ok for finding in findings)
    screen.document({"ok": is_well, "findings": findings})
    if not is_well:
        screen.say(f"{sum(not finding.ok for finding in findings)} of {len(findings)} are bad.")
    return exits.OK if is_well else exits.FAILURE
