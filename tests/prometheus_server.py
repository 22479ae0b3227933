"""A real Prometheus for tests: on samples written into its blocks, or scraping a simulator."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from planner.temporal.client import free_port

MISSING = "no Prometheus: apt-get install prometheus"

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None, reason=MISSING
)

UP_WITHIN = 60.0


def backfill(data: Path, texts: Iterable[Iterable[str]]) -> None:
    """Write the samples of OpenMetrics *texts* into blocks below *data*."""
    data.mkdir(parents=True, exist_ok=True)
    source = data.parent / "samples.om"
    for lines in texts:
        with source.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        subprocess.run(
            [
                *("promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"),
                # Hidden among promtool's options: without it, the file is read once for 2 hours.
                *("--max-block-duration=744h", str(source), str(data)),
            ],
            check=True,
            capture_output=True,
        )
    source.unlink(missing_ok=True)


@asynccontextmanager
async def prometheus(
    home: Path, *, scrapes: str = "", options: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Run a Prometheus on the blocks in ``home/data``; its address, once it answers.

    Args:
        home: A directory of its own.
        scrapes: YAML of its ``scrape_configs``.
        options: Further arguments.
    """
    (home / "prometheus.yml").write_text(f"scrape_configs: {scrapes or '[]'}\n", encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (home / "prometheus.log").open("w", encoding="utf-8") as log:
        process = await asyncio.create_subprocess_exec(
            *("prometheus", f"--config.file={home / 'prometheus.yml'}", "--log.level=warn"),
            *(f"--storage.tsdb.path={home / 'data'}", "--storage.tsdb.retention.time=100y"),
            *(f"--web.listen-address={address}", *options),
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(UP_WITHIN), httpx.AsyncClient() as client:
            while not await _is_ready(client, address):
                assert process.returncode is None, (home / "prometheus.log").read_text()
                await asyncio.sleep(0.05)
        yield f"http://{address}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _is_ready(client: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await client.get(f"http://{address}/-/ready")).is_success
    except httpx.TransportError:
        return False
