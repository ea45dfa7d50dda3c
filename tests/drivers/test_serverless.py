"""SQL over HTTP and WebSockets: the serverless driver, unchanged, and what stands on it. The programs are in tests/node."""

import http.client
import json
import os
import re
import socket
import subprocess
import urllib.request
from urllib.parse import urlsplit

import pytest

from fixtures.node import FOLDER, install, node


def run(platform, string, program, **environment):
    return node(platform, string, f"serverless/{program}.mjs", SQL_PORT=str(platform.sql_port), **environment)


def test_queries_over_http(platform, project, pooled):
    run(platform, project.connection_string(pooled=pooled), "http")


def test_web_sockets(platform, project, pooled):
    run(platform, project.connection_string(pooled=pooled), "web_socket")


def test_libraries(platform, project):
    run(platform, project.connection_string(), "orms")


def test_sessions_outlive_their_compute(platform, project):
    install()
    env = {**os.environ, "DATABASE_URL": project.connection_string(), "SQL_PORT": str(platform.sql_port),
           "NODE_EXTRA_CA_CERTS": platform.status()["ca_file"], "NODE_NO_WARNINGS": "1"}
    with subprocess.Popen(["node", "serverless/suspend.mjs"], cwd=FOLDER, env=env, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        seen = ""
        for line in program.stdout:
            seen += line
            if line == "suspend\n":
                project.suspend()
                program.stdin.write("suspended\n")
                program.stdin.flush()
        assert program.wait() == 0 and seen.endswith("done\n"), seen


def test_the_port_is_told_and_no_secret_is_logged(platform, project):
    assert platform.status()["sql_port"] == platform.sql_port
    string = project.connection_string()
    secret = urlsplit(string).password
    wrong = string.replace(secret, "Wr0ngSecret")
    for one in (string, wrong, "postgres://a:Wr0ngSecret@", f"nonsense {secret}"):
        post(platform, one, b'{"query": "select 1"}')
    log = platform.log_text()
    assert secret not in log and "Wr0ngSecret" not in log and "Neon-Connection-String" not in log


def post(platform, string, body, port=None):
    """By plain HTTP, which is for clients on this machine."""
    request = urllib.request.Request(f"http://127.0.0.1:{port or platform.sql_port}/sql", body, {"Neon-Connection-String": string})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_plain_http_on_this_machine(platform, project):
    assert post(platform, project.connection_string(), b'{"query": "select 1 as a"}')[1]["rows"] == [{"a": 1}]


def test_the_port_of_the_api_has_both_too(platform, project):
    """Among requests of the API on one connection; what is asked next there is the API's again."""
    string = project.connection_string()
    assert post(platform, string, b'{"query": "select 2 as a"}', platform.http_port)[1]["rows"] == [{"a": 2}]
    assert post(platform, string.replace(urlsplit(string).password, "wrong"), b'{"query": "select 1"}', platform.http_port)[0] == 400
    connection = http.client.HTTPConnection("127.0.0.1", platform.http_port)
    for path in ("/healthz", "/sql", "/healthz", "/sql"):
        connection.request("GET" if path == "/healthz" else "POST", path, None if path == "/healthz" else b'{"query": "select 1"}',
                           {"Neon-Connection-String": string})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        assert answer.will_close == (path == "/sql")
    node(platform, string, "serverless/api_port.mjs", HTTP_PORT=str(platform.http_port))


def test_addresses_that_are_not_allowed(platform, project):
    platform.cli("projects", "update", project.id, "--allow-ip", "192.0.2.1")
    status, error = post(platform, project.connection_string(), b'{"query": "select 1"}')
    assert status == 400 and error["message"].startswith("This IP address 127.0.0.1 is not allowed to connect to this endpoint.")


@pytest.mark.parametrize("bytes", [
    b"\x00" * 100,
    b"GET /sql HTTP/9.9\r\n\r\n",
    b"POST /sql HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /sql HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /sql HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /sql HTTP/1.1\r\nX: " + b"x" * 200_000,
    b"GET /v2 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
    b"GET /v2 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
])
def test_what_is_no_request_is_refused_and_the_connection_closed(platform, bytes):
    with socket.create_connection(("127.0.0.1", platform.sql_port), timeout=20) as client:
        client.sendall(bytes)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer
    assert b"Connection: close" in answer


def test_requests_in_a_row_on_one_connection(platform, project):
    """Sent at once, answered in order."""
    def request(number):
        body = b'{"query": "select %d as n"}' % number
        return (b"POST /sql HTTP/1.1\r\nHost: api.localhost\r\nNeon-Connection-String: " + project.connection_string().encode() +
                b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with socket.create_connection(("127.0.0.1", platform.sql_port), timeout=20) as client:
        client.sendall(b"".join(map(request, range(10))))
        answer = b""
        while answer.count(b'"rowCount":1') < 10:
            chunk = client.recv(65536)
            assert chunk, answer
            answer += chunk
    assert [int(n) for n in re.findall(rb'"rows":\[\{"n":(\d+)\}\]', answer)] == list(range(10))
