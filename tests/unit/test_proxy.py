"""The fault proxy of the tests: each manner of breaking does what its name says, and heals."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.proxy import Proxy, Way, proxy_to

SOON_S = 5.0
A_MOMENT_S = 0.05

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Opened = Callable[[], Awaitable[Streams]]


class Echo:
    """A server that answers every line with itself and remembers what it got."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.lines.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with proxy_to(*server.sockets[0].getsockname()) as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def opened(proxy: Proxy) -> AsyncIterator[Opened]:
    """Opens connections through the proxy and drops them at the end."""
    writers = []

    async def open_one() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield open_one
    for writer in writers:
        writer.transport.abort()


async def ask(streams: Streams, line: bytes = b"hello\n") -> bytes:
    streams[1].write(line)
    async with asyncio.timeout(SOON_S):
        return await streams[0].readline()


async def is_unanswered(call: Awaitable[bytes]) -> bool:
    done, waiting = await asyncio.wait({asyncio.ensure_future(call)}, timeout=A_MOMENT_S)
    for one in waiting:
        one.cancel()
    return not done


async def test_idle_proxy_passes_bytes_both_ways(opened: Opened) -> None:
    assert await ask(await opened()) == b"hello\n"


async def test_stopped_proxy_resets_and_refuses_connections_until_healed(opened: Opened, proxy: Proxy) -> None:
    streams = await opened()
    await ask(streams)
    await proxy.stop()

    with pytest.raises(ConnectionResetError):
        await ask(streams)
    with pytest.raises(ConnectionRefusedError):
        await opened()
    await proxy.heal()
    assert await ask(await opened()) == b"hello\n"


async def test_cut_resets_the_client_which_may_reconnect(opened: Opened, proxy: Proxy) -> None:
    streams = await opened()
    await ask(streams)
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        await ask(streams)
    assert await ask(await opened()) == b"hello\n"


@pytest.mark.parametrize("way", Way)
async def test_one_way_silence_delays_old_and_new_connections(
    opened: Opened, proxy: Proxy, echo: Echo, way: Way
) -> None:
    old = await opened()
    await ask(old)
    proxy.silence((way,))
    new = await opened()

    assert await is_unanswered(ask(old, b"old\n"))
    assert await is_unanswered(ask(new, b"new\n"))
    assert (b"old\n" in echo.lines) is (way is Way.TO_CLIENT)
    proxy.resume()
    async with asyncio.timeout(SOON_S):
        assert await old[0].readline() == b"old\n"
        assert await new[0].readline() == b"new\n"


@pytest.mark.parametrize("how", [{"latency_s": 0.03}, {"bytes_per_s": 200.0}], ids=["latency", "rate"])
async def test_slow_proxy_delays_answers_until_healed(opened: Opened, proxy: Proxy, how: dict[str, float]) -> None:
    streams, clock = await opened(), asyncio.get_running_loop()
    proxy.slow(**how)
    started = clock.time()
    await ask(streams)
    took_s = clock.time() - started
    proxy.hurry()
    started = clock.time()
    await ask(streams)

    assert took_s >= A_MOMENT_S
    assert clock.time() - started < took_s


async def test_lost_reply_cuts_off_the_writer_once(opened: Opened, proxy: Proxy, echo: Echo) -> None:
    writing, reading = await opened(), await opened()
    lost = proxy.lose_reply_to(b"insert")

    assert await ask(reading, b"find\n") == b"find\n"
    assert not lost.is_set()
    with pytest.raises(ConnectionResetError):
        await ask(writing, b"insert one\n")
    assert lost.is_set()
    assert b"insert one\n" in echo.lines
    assert await ask(await opened(), b"insert two\n") == b"insert two\n"


async def test_pieces_and_busy_connections_are_counted(opened: Opened, proxy: Proxy) -> None:
    assert (proxy.passed[Way.TO_SERVER], proxy.busy()) == (0, 0)
    reader, writer = await opened()
    writer.write(b"hello\n")
    async with asyncio.timeout(SOON_S):
        await reader.readexactly(6)

    assert (proxy.passed[Way.TO_SERVER], proxy.passed[Way.TO_CLIENT], proxy.busy()) == (1, 1, 1)
    assert proxy.busy(within_s=-1.0) == 0


async def test_reply_comes_in_place_of_the_server(opened: Opened, proxy: Proxy, echo: Echo) -> None:
    proxy.answer_instead(b"503\n")
    assert await ask(await opened(), b"get\n") == b"503\n"
    assert echo.lines == []

    proxy.pass_on()
    assert await ask(await opened(), b"get\n") == b"get\n"


async def test_cut_after_n_bytes_drops_the_rest(opened: Opened, proxy: Proxy) -> None:
    streams = await opened()
    proxy.cut_after(3)
    streams[1].write(b"hello\n")

    with pytest.raises(ConnectionResetError):
        await read_whole(streams[0].read)
    assert await ask(await opened()) == b"hello\n"


async def read_whole(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    got = b""
    async with asyncio.timeout(SOON_S):
        while piece := await read(100):
            got += piece
            assert len(got) <= 3
    return got
