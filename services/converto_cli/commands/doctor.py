"""`converto doctor`: checks everything that has to work, one line each, with advice."""

import shutil
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.server import NoServerConfigured, find_server
from converto_cli.session import Session, report_of, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.output import Console
from converto_client.errors import ClientError, ProblemError, ServerUnreachable
from converto_client.models import Health, Identity, WorkerRecord

PROGRAMS = (
    ("soffice", "office files (Debian: the libreoffice-*-nogui packages)"),
    ("vips", "pictures (Debian: libvips-tools)"),
    ("ffmpeg", "video and audio (Debian: ffmpeg)"),
    ("assimp", "models (Debian: assimp-utils)"),
    ("bwrap", "the sandbox (Debian: bubblewrap)"),
    ("rabbitmq-server", "the broker (Debian: rabbitmq-server)"),
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DEPENDENCY_ADVICE = "check its log and the CONVERTO_… variables of the file service"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check; `advice` says what to do when it failed."""

    name: str
    ok: bool
    words: str
    advice: str = ""


def doctor(*, context: Annotated[Context, Parameter(parse=False)]) -> int:
    """Check server, key, dependencies, workers and sandbox; exit status 1 when a check fails."""
    try:
        find_server(context)
    except (NoServerConfigured, ValueError) as error:
        finding = Finding(name="server", ok=False, words="no server is configured", advice=str(error))
        return _report(Console(context), [finding])

    async def work(session: Session) -> int:
        return _report(session.console, [finding async for finding in examine(session)])

    return run(context, work)


async def examine(session: Session) -> AsyncIterator[Finding]:
    """All findings; a check comes after the checks it depends on."""
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
    async for finding in _authenticated_checks(session):
        yield finding
    if session.address.is_laptop_stack:
        for name, purpose in PROGRAMS:
            yield _program(name, purpose)


async def _authenticated_checks(session: Session) -> AsyncIterator[Finding]:
    try:
        identity = await session.client.whoami()
        yield Finding(name="key", ok=True, words=_identity(identity))
        workers = (await session.client.workers()).workers
        routes = (await session.client.formats()).routes
    except ProblemError as error:
        is_key = error.status in (401, 403)
        advice = "set CONVERTO_API_KEY or use --api-key" if is_key else "check the log of the file service"
        yield Finding(name="key" if is_key else "workers", ok=False, words=report_of(error).message, advice=advice)
        return
    if not workers:
        advice = "start one: python -m conversion_worker"
        yield Finding(name="workers", ok=False, words="no recent heartbeat", advice=advice)
    for worker in workers:
        yield _worker(worker)
        for finding in _not_answering(worker):
            yield finding
    engines = sorted({f"{route.engine} {route.engine_version or ''}".strip() for route in routes if route.engine})
    advice = "" if engines else _engines_advice(workers)
    words = f"{len(routes)} routes by {', '.join(engines)}" if engines else "no worker offers any conversion"
    if missing := _installed_nowhere(workers):
        words += f"; not installed: {', '.join(missing)}"
    yield Finding(name="engines", ok=bool(engines), words=words, advice=advice)


def _engines_advice(workers: Sequence[WorkerRecord]) -> str:
    if any(worker.not_answering for worker in workers):
        return "wait: the programs are installed and are asked again until they answer"
    return "install the programs that the workers use, such as LibreOffice and libvips"


def _identity(identity: Identity) -> str:
    words = f"belongs to {identity.owner}"
    if identity.expires_at is None:
        return words
    minutes = max(0, identity.expires_at / 1000 - time.time()) / 60
    return f"{words}, may {', '.join(identity.scopes) or 'do nothing'}, expires in {minutes:.0f} min"


def _encryption(session: Session) -> Finding:
    parts = urlsplit(session.address.url)
    if parts.scheme == "https" or parts.hostname in LOOPBACK:
        return Finding(name="transport", ok=True, words="encrypted" if parts.scheme == "https" else "this machine only")
    advice = "use an https:// URL, or a tunnel"
    return Finding(name="transport", ok=False, words="the key is sent unencrypted over the network", advice=advice)


def _dependencies(health: Health) -> list[Finding]:
    findings = []
    for name, check in health.checks.items():
        is_well = check.status == "ok"
        words = (
            f"answers in {check.latency_ms or 0:.0f} ms" if is_well else f"{check.status}: {check.error or 'no reason'}"
        )
        advice = "" if is_well else DEPENDENCY_ADVICE
        findings.append(Finding(name=name.replace("_", " "), ok=is_well, words=words, advice=advice))
        findings.extend(_fault(name, fault) for fault in check.faults)
    return findings


def _fault(name: str, fault: str) -> Finding:
    """What is wrong with a part of a dependency; its last sentence says what to do."""
    words, _, advice = fault.partition(". ")
    return Finding(name=name.replace("_", " "), ok=False, words=words, advice=advice or DEPENDENCY_ADVICE)


def _worker(worker: WorkerRecord) -> Finding:
    is_sandboxed = worker.sandbox not in ("", "off", "none")
    words = f"{worker.id}: {len(worker.running)} of {worker.slots} slots busy, sandbox {worker.sandbox or 'unknown'}"
    advice = "" if is_sandboxed else "programs run without a sandbox: install bubblewrap and set CONVERTO_SANDBOX=auto"
    return Finding(name="worker", ok=is_sandboxed, words=words, advice=advice)


def _not_answering(worker: WorkerRecord) -> list[Finding]:
    """One finding per engine, however many converters use it."""
    by_engine = {entry.engine: entry for entry in reversed(worker.not_answering)}
    return [
        Finding(
            name="engine",
            ok=False,
            words=f"{entry.engine} is installed on {worker.id} but has not answered for "
            f"{max(0.0, time.time() - entry.since / 1000):.0f} s ({entry.error}); it is asked again",
            advice="what needs it is accepted and waits; if the machine is not busy, see engine.not_answering in the"
            " log of the worker",
        )
        for entry in sorted(by_engine.values(), key=lambda entry: entry.engine)
    ]


def _installed_nowhere(workers: Sequence[WorkerRecord]) -> list[str]:
    """Return the engines that every running worker lacks."""
    lacking = [set(worker.not_installed) for worker in workers]
    return sorted(set.intersection(*lacking)) if lacking else []


def _program(name: str, purpose: str) -> Finding:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/lib/rabbitmq/bin")
    advice = "" if path else f"needed for {purpose}; `make setup` installs it"
    return Finding(name=name, ok=path is not None, words=path or "not found on the PATH", advice=advice)


def _how_to_reach(session: Session) -> str:
    if session.address.is_laptop_stack:
        return "start it with `make up`; its logs are in .converto/logs"
    return f"check that {session.address.url} (from {session.address.found_in}) is right and the server is running"


def _report(console: Console, findings: list[Finding]) -> int:
    for finding in findings:
        console.result(f"{'ok ' if finding.ok else 'BAD'}  {finding.name:<12}  {finding.words}")
        if finding.advice:
            console.result(f"     {'':<12}  → {finding.advice}")
    is_well = all(finding.ok for finding in findings)
    console.document({"ok": is_well, "findings": findings})
    if not is_well:
        console.info(f"{sum(not finding.ok for finding in findings)} of {len(findings)} checks failed.")
    return exits.OK if is_well else exits.FAILURE
