"""Asking an application in the tests of this folder."""

import asyncio
import base64
import io
import struct
import tempfile
import threading
import zlib
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile
from fastapi import FastAPI
from PIL import Image

from manymodal.server import create_app
from manymodal.server.run import listen, server

ROOT = Path(__file__).parents[2]
LEAKS = (str(ROOT), tempfile.gettempdir(), "Traceback", 'File "', ".py")


@asynccontextmanager
async def client(index, settings=None, **headers):
    """A client of an application around an index; or of the application itself, where one is given."""
    app = index if isinstance(index, FastAPI) else create_app(index, settings)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pets", headers=headers, timeout=30) as asker:
        yield asker
    if app is not index:
        app.state.service.close()


@contextmanager
def listening(index, settings=None):
    """The port of a real server around an index, in a thread; it has to stop when told."""
    running = server(index, settings)
    with listen(port=0) as taken:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [taken]})
        thread.start()
        yield taken.getsockname()[1]
        running.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


async def until(said):
    """Wait for something that is bound to come."""
    for _ in range(4000):
        if said():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def words(text="asleep", **more):
    return {"query": [{"modality": "caption", "values": [text]}], "target": "photo", **more}


def part(modality, *values, **more):
    return {"query": [{"modality": modality, "values": list(values), **more}], "target": "photo"}


def encoded(content):
    return {"base64": base64.b64encode(content).decode()}


def picture(size=(4, 4), format="PNG", **more):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, format, **more)
    return file.getvalue()


def sound(seconds=0.1, rate=8000, format="WAV", channels=1):
    file = io.BytesIO()
    time = np.arange(int(seconds * rate)) / rate
    samples = np.repeat(np.sin(2000 * time)[:, None], channels, axis=1)
    soundfile.write(file, samples.astype(np.float32), rate, format=format)
    return file.getvalue()


def chunk(kind, content=b""):
    """A piece of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width, height):
    """A PNG whose header says so; what follows is a single row."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND")


def pieces(before):
    """A PNG with a hundred thousand empty pieces before the first of this kind."""
    content = picture()
    place = content.index(before) - 4
    return content[:place] + chunk(b"prVt") * 100_000 + content[place:]


def refused(answer, *statuses):
    """The detail of a problem document, which shows nothing of the inside."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"} and problem["status"] == answer.status_code
    assert not [leak for leak in LEAKS if leak in answer.text], answer.text[:500]
    return problem["detail"]
