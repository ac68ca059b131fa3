"""The worker process against real servers and programs; housekeeping runs inside the test."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from converto_core.conversion.record import Conversion, Status, Step
from converto_core.conversion.transitions import request_cancel
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from converto_core.object_keys import source_key
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from file_service.housekeeping.schedule import run_housekeeping
from tests.ecs_agent import running_agent

ROOT = Path(__file__).resolve().parents[2]
OWNER = "anna"
PICTURE = (Step("vips", "png", "webp"),)
DOCUMENT = (Step("libreoffice", "txt", "pdf"),)


class System:
    """Real servers, housekeeping, and the worker processes that a test starts."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        fields = {name.removeprefix("CONVERTO_").lower(): value for name, value in environment.items()}
        self.settings = Settings(**fields)  # type: ignore[arg-type]
        self.stores = MongoStores.connect(self.settings)
        self.objects = S3ObjectStore.connect(self.settings)
        self.bus = RabbitEventBus.connect(self.settings)
        self.workers: list[asyncio.subprocess.Process] = []
        self.work_dir = folder / "work"

    async def start_worker(self, **settings: str) -> asyncio.subprocess.Process:
        own = {f"CONVERTO_{name.upper()}": value for name, value in settings.items()}
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}/libs:{ROOT}/services", **self.environment, **own}
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "conversion_worker", env=environment, stderr=log, start_new_session=True
            )
        self.workers.append(worker)
        return worker

    async def request(self, filename: str, content: bytes, plan: tuple[Step, ...], **fields: Any) -> Conversion:
        """Store an uploaded file and a pending conversion; housekeeping publishes its message."""
        file_id, extension, now = new_id(), filename.rpartition(".")[2], now_ms()
        file = File(
            id=file_id,
            owner=OWNER,
            filename=filename,
            extension=extension,
            size_bytes=len(content),
            key=source_key(OWNER, file_id, 1),
            status=FileStatus.UPLOADED,
            created_at=now,
            updated_at=now,
        )
        await self.objects.put(file.key, content, content_type="application/octet-stream")
        await self.stores.files.insert(file)
        conversion = Conversion(
            id=new_id(),
            owner=OWNER,
            file_id=file_id,
            filename=filename,
            source_format=extension,
            target_format=plan[-1].target_format,
            plan=plan,
            family=Family.OFFICE if plan is DOCUMENT else Family.IMAGE,
            status=Status.PENDING,
            publish_due=now,
            created_at=now,
            updated_at=now,
        )
        await self.stores.conversions.insert(conversion)
        return conversion

    async def get(self, conversion: Conversion) -> Conversion:
        found = await self.stores.conversions.get(conversion.id)
        assert found is not None
        return found

    async def wait_for(
        self, conversion: Conversion, wanted: Callable[[Conversion], bool], *, within_s: float = 60
    ) -> Conversion:
        """Wait until the record is as wanted; fail after the deadline, or at once when it has ended differently."""
        async with asyncio.timeout(within_s):
            while not wanted(now := await self.get(conversion)):
                assert not now.is_terminal, (now.status, now.errors, self.logs())
                await asyncio.sleep(0.05)
        return now

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    async def close(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
        await self.bus.close()
        await self.objects.close()
        await self.stores.close()


@pytest.fixture
async def system(servers: Any, tmp_path: Path) -> AsyncIterator[System]:
    environment = {
        **servers.environment,
        "CONVERTO_MONGODB_DATABASE": f"worker_{secrets.token_hex(4)}",
        "CONVERTO_WORK_DIR": str(tmp_path / "work"),
        "CONVERTO_WORKER_SLOTS": "1",
        "CONVERTO_BEAT_INTERVAL_S": "0.5",
        "CONVERTO_LEASE_S": "4",
        "CONVERTO_SWEEP_INTERVAL_S": "0.2",
        "CONVERTO_STOP_GRACE_S": "60",
    }
    one = System(environment, tmp_path)
    await one.objects.ensure_bucket()
    housekeeping = asyncio.create_task(run_housekeeping(one.settings, one.stores, one.objects, one.bus))
    yield one
    housekeeping.cancel()
    await asyncio.gather(housekeeping, return_exceptions=True)
    await one.close()


def picture() -> bytes:
    """Return a small PNG."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(channel for x in range(64) for channel in (x * 4, y * 4, 128)) for y in range(64))
    header = pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def long_text() -> bytes:
    """Return text of two hundred pages: seconds of work for LibreOffice."""
    return b"".join(b"%06d the quick brown fox jumps over the lazy dog\n" % line for line in range(12_000))


async def test_message_converts_a_real_file_and_describes_the_result(system: System) -> None:
    """Behaviours C5, I2, I4: the real program runs and the record describes its result."""
    await system.start_worker()
    conversion = await system.request("picture.png", picture(), PICTURE, options={"quality": 80})
    done = await system.wait_for(conversion, lambda now: now.status is Status.COMPLETED)
    (output,) = done.outputs
    body = await system.objects.read_range(output.key, start=0, length=output.size_bytes)
    file = await system.stores.files.get(conversion.file_id)

    assert body[:4] + body[8:12] == b"RIFFWEBP"
    assert output.filename == "picture.webp"
    assert file is not None
    assert file.sha256 == done.source_sha256
    assert file.sha512 is not None
    assert set(done.engine_versions) == {"libvips"}


async def test_worker_registers_its_offers_and_running_conversions(system: System) -> None:
    """Behaviour M15."""
    worker = await system.start_worker()
    conversion = await system.request("long.txt", long_text(), DOCUMENT)
    await system.wait_for(conversion, lambda now: now.status is Status.PROCESSING)

    async def seen() -> bool:
        known = await system.stores.workers.seen_since(0)
        return any(slot.conversion_id == conversion.id for one in known for slot in one.running)

    await until(seen)
    (known,) = await system.stores.workers.seen_since(0)

    assert known.pid == worker.pid
    assert {"libreoffice", "vips"} <= {offer.converter for offer in known.offers}


async def test_another_worker_completes_what_a_killed_one_ran(system: System) -> None:
    """Promises 1 and 3: kill -9 loses nothing and blocks nothing; the next worker also cleans up after the dead one."""
    first = await system.start_worker()
    conversion = await system.request("long.txt", long_text(), DOCUMENT)
    await system.wait_for(conversion, lambda now: now.status is Status.PROCESSING and now.beat >= 2)
    os.kill(first.pid, signal.SIGKILL)
    await first.wait()
    left_behind = [path.name for path in system.work_dir.iterdir() if path.is_dir()]
    await system.start_worker()
    done = await system.wait_for(conversion, lambda now: now.status is Status.COMPLETED, within_s=90)
    remaining = {path.name for path in system.work_dir.iterdir()}

    assert (done.lost, done.attempt, done.token) == (1, 1, 2)
    assert done.outputs[0].key.endswith("/2/result.pdf")
    assert len(left_behind) == 1
    assert not remaining & set(left_behind)


async def test_second_stop_signal_hands_back_to_another_worker(system: System) -> None:
    """Behaviour M14."""
    first = await system.start_worker()
    conversion = await system.request("long.txt", long_text(), DOCUMENT)
    await system.wait_for(conversion, lambda now: now.status is Status.PROCESSING and now.beat >= 2)
    first.send_signal(signal.SIGTERM)
    await wait_for_log(system, "worker.stopping")
    first.send_signal(signal.SIGTERM)
    status = await asyncio.wait_for(first.wait(), 10)
    await system.start_worker()
    done = await system.wait_for(conversion, lambda now: now.status is Status.COMPLETED)

    assert status == 0
    assert (done.lost, done.attempt) == (0, 1)


async def test_task_is_protected_while_a_conversion_runs(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behaviour M14: on ECS, neither scale-in nor a deployment stops a worker that converts."""
    with running_agent() as agent:
        monkeypatch.setenv("ECS_AGENT_URI", agent.address)
        worker = await system.start_worker()
        conversion = await system.request("long.txt", long_text(), DOCUMENT)
        await system.wait_for(conversion, lambda now: now.status is Status.PROCESSING and now.beat >= 2)
        while_busy = [body for _, _, body in agent.requests]
        await system.wait_for(conversion, lambda now: now.status is Status.COMPLETED)

        async def is_released() -> bool:
            return len(agent.requests) > len(while_busy)

        await until(is_released)
        worker.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(worker.wait(), 10)

    assert while_busy == [{"ProtectionEnabled": True, "ExpiresInMinutes": 15}]
    assert [body for _, _, body in agent.requests[1:]] == [{"ProtectionEnabled": False}]
    assert status == 0


async def test_refusing_agent_disturbs_no_conversion(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_agent() as agent:
        agent.status, agent.answer = 429, {"error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
        monkeypatch.setenv("ECS_AGENT_URI", agent.address)
        await system.start_worker()
        conversion = await system.request("picture.png", picture(), PICTURE)
        done = await system.wait_for(conversion, lambda now: now.status is Status.COMPLETED)
        await wait_for_log(system, "task_protection.refused")

    assert (done.attempt, done.lost) == (1, 0)
    assert "Rate exceeded" in system.logs()


async def test_cancel_request_ends_the_program(system: System) -> None:
    await system.start_worker()
    conversion = await system.request("long.txt", long_text(), DOCUMENT)
    await system.wait_for(conversion, lambda now: now.status is Status.PROCESSING and now.beat >= 2)
    await system.stores.conversions.apply(request_cancel(conversion.id, owner=OWNER, now_ms=now_ms()))
    cancelled = await system.wait_for(conversion, lambda now: now.status is Status.CANCELLED, within_s=10)
    following = await system.request("picture.png", picture(), PICTURE)
    await system.wait_for(following, lambda now: now.status is Status.COMPLETED)

    assert cancelled.outputs == ()


async def test_worker_waits_for_a_server_and_can_be_stopped(system: System) -> None:
    worker = await system.start_worker(mongodb_url="mongodb://127.0.0.1:9", mongodb_timeout_s="0.5")
    await wait_for_log(system, "worker.waits_for_server")
    worker.send_signal(signal.SIGTERM)

    assert await asyncio.wait_for(worker.wait(), 10) == 0


async def test_worker_that_cannot_work_ends_and_names_the_setting(system: System) -> None:
    worker = await system.start_worker(families="gardening")

    assert await asyncio.wait_for(worker.wait(), 30) == 2
    assert "CONVERTO_FAMILIES" in system.logs()


async def wait_for_log(system: System, event: str) -> None:
    async def is_logged() -> bool:
        return event in system.logs()

    await until(is_logged)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 20) -> None:
    """Wait until the condition holds; raise `TimeoutError` after the deadline."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.02)


async def test_housekeeping_runs_once_as_its_own_process(system: System) -> None:
    """Behaviour I10: the sweeps do not need the API."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/libs:{ROOT}/services", **system.environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "file_service.housekeeping",
        "--once",
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, log = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0
    assert b"housekeeping.done" in log
    assert b"sweep.waits" not in log
