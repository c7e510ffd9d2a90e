"""The application behind a real port."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from asking import listening, words
from fake_index import FakeIndex

from manymodal.errors import ManymodalError
from manymodal.server import Limits, ServerSettings
from manymodal.server.run import listen
from manymodal.server.run import serve as serve_index


@pytest.fixture(scope="module")
def port():
    with listening(FakeIndex(), ServerSettings(limits=Limits(body_bytes=100_000), drain_seconds=2)) as taken:
        yield taken


def raw(port, text):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text)
        answer = b""
        while more := connection.recv(65536):
            answer += more
            if b"\r\n\r\n" in answer and b"HTTP/1.1 4" in answer:
                break
        return answer


def test_it_answers_and_keeps_the_connection(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for text in ("asleep", "awake"):
        connection.request("POST", "/search", json.dumps(words(text)), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200 and len(json.load(answer)["hits"]) == 10
        assert answer.getheader("server") is None
    connection.request("POST", "/search", b" " * 200_000, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "path",
    ["/page/../app.py", "/page/../../../../etc/passwd", "//etc/passwd", "/docs/../app.py", "/page/%2e%2e/run.py"],
)
def test_no_raw_path_leads_out(port, path):
    answer = raw(port, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404") and b"import" not in answer and b"root:" not in answer


@pytest.mark.parametrize(
    "text", [b"GET\r\n\r\n", b"\x16\x03\x01\0\0", b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 200_000]
)
def test_what_is_no_http_is_refused_and_the_next_is_answered(port, text):
    assert raw(port, text + b"\r\n\r\n").startswith(b"HTTP/1.1 4")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/live")
    assert connection.getresponse().status == 200
    connection.close()


def test_who_dribbles_a_head_is_hung_up_on_and_who_sends_a_whole_one_is_not():
    with listening(FakeIndex(), ServerSettings(head_seconds=0.3, idle_seconds=1)) as port:
        for said in (b"", b"GET /live HTTP/1.1\r\n", b"GET /live HTTP/1.1\r\nHost: a\r\n\r\nGET /li"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(said)
                answer = b""
                while more := connection.recv(65536):  # ends: the server hangs up
                    answer += more
                assert answer.count(b"200 OK") == (said.count(b"\r\n\r\n"))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = b"POST /search HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            body = json.dumps(words()).encode()
            connection.sendall(head % len(body) + body[:9])
            time.sleep(0.5)
            connection.sendall(body[9:])  # a body has a time of its own
            assert b"200 OK" in connection.recv(65536)


def test_no_other_protocol_is_spoken_and_the_log_does_not_fill_with_who_asks_for_one(port, caplog):
    asked = "GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: {}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    for protocol in ("websocket", "h2c"):
        assert b"200 OK" in raw(port, asked.format(protocol).encode())
    assert not caplog.records


def test_an_answer_does_not_wait_for_acknowledgements():
    with listen(port=0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_an_error_in_words():
    with listen(port=0) as taken, pytest.raises(ManymodalError, match="cannot listen on 127.0.0.1 port"):
        listen(port=taken.getsockname()[1])
    with pytest.raises(ManymodalError, match="name another port"):
        listen(port=99_999)


def test_an_open_door_is_said(monkeypatch, capsys):
    served = []
    monkeypatch.setattr("manymodal.server.run.Server.run", lambda self, sockets: served.append(sockets))
    for host, settings, warned in [
        ("0.0.0.0", None, True),
        ("0.0.0.0", ServerSettings(keys=("a",)), False),
        ("127.0.0.1", None, False),
    ]:
        serve_index(FakeIndex(), host, 0, settings)
        out, err = capsys.readouterr()
        assert ("everybody may search" in err) == warned and out.startswith(f"http://{host}:")
    assert len(served) == 3


@pytest.mark.parametrize("host, hosts", [("127.0.0.1", ("pets.example",)), ("127.0.0.2", ())])
def test_the_address_that_is_said_is_answered(monkeypatch, capsys, host, hosts):
    made = []
    monkeypatch.setattr("manymodal.server.run.server", lambda index, settings: made.append(settings) or Idle())
    serve_index(FakeIndex(), host, 0, ServerSettings(hosts=hosts))
    assert {host, "localhost", *hosts} <= set(made[0].hosts)
    serve_index(FakeIndex(), host, 0, ServerSettings(keys=("a",), hosts=hosts))
    assert made[1].hosts == hosts


class Idle:
    """A server that has nothing to do."""

    def run(self, sockets):
        """Do it."""


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_it_stops_when_told_and_says_nothing_then(told, code):
    script = "from fake_index import FakeIndex; from manymodal.server import serve; serve(FakeIndex(), port=0)"
    started = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    address = started.stdout.readline().strip()
    connection = http.client.HTTPConnection(address.removeprefix("http://").strip("/"), timeout=20)
    connection.request("GET", "/live")
    assert connection.getresponse().status == 200
    connection.close()
    started.send_signal(told)
    _, errors = started.communicate(timeout=60)
    assert (errors, started.returncode) == ("", code)
