"""SQL over HTTP and WebSockets: the serverless driver, unchanged, and what stands on it. The programs are in tests/node."""

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

from fixtures.node import FOLDER, install, node
from fixtures.platform import Platform


def run(platform, string, program, **environment):
    return node(platform, string, f"serverless/{program}.mjs", SQL_PORT=str(platform.sql_port), **environment)


def test_queries_over_http(platform, project, pooled):
    """With SEQUENTIAL=10000 in the environment so many queries in a row."""
    run(platform, project.connection_string(pooled=pooled), "http")


def test_the_driver_needs_no_configuration_at_port_443():
    try:
        socket.create_server(("127.0.0.1", 443)).close()
    except OSError as error:
        pytest.skip(f"port 443 cannot be had: {error}")
    with Platform.create("plain", environment={"HALOGEN_SQL_PORT": "443"}) as platform:
        node(platform, platform.create_project().connection_string(), "serverless/plain.mjs")


def test_queries_over_http2(platform, project):
    run(platform, project.connection_string(), "http2")


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


def test_the_port_is_told(platform):
    assert platform.status()["sql_port"] == platform.sql_port


def post(platform, string, body, port=None, host="127.0.0.1", headers=None):
    """By plain HTTP, which is for clients on this machine."""
    request = urllib.request.Request(f"http://{host}:{port or platform.sql_port}/sql", body,
                                     {"Neon-Connection-String": string, **(headers or {})})
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


def test_the_port_of_the_api_speaks_tls(platform, project):
    """With the platform's certificate; many requests on one connection, which goes on after it has rested."""
    string = project.connection_string()
    context = ssl.create_default_context(cafile=platform.status()["ca_file"])
    host = re.sub(r"^[^.]+", "api", urlsplit(string).hostname)
    connection = http.client.HTTPSConnection(host, platform.http_port, context=context, timeout=30)
    connection.connect()
    first = connection.sock
    for _ in range(20):
        connection.request("GET", "/api/v2/projects", headers={"Authorization": f"Bearer {platform.api_key()}"})
        answer = connection.getresponse()
        assert answer.status == 200 and json.load(answer)["projects"]
        assert connection.sock is first
    connection.request("POST", "/sql", b'{"query": "select 3 as a"}', {"Neon-Connection-String": string})
    assert json.load(connection.getresponse())["rows"] == [{"a": 3}]
    node(platform, string, "serverless/api_port.mjs", HTTP_PORT=str(platform.http_port), SECURE="1")


def test_connections_that_rest_hold_no_thread_of_the_api(platform):
    """Of which there are 32; nor do those that say nothing, half a head, or half of a handshake."""
    held = []
    for i in range(200):
        held.append(socket.create_connection(("127.0.0.1", platform.http_port), timeout=20))
        if i % 4 == 1:
            held[-1].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert held[-1].recv(12) == b"HTTP/1.1 200"
        if i % 4 == 2:
            held[-1].sendall(b"GET /healthz HTT")
        if i % 4 == 3:
            held[-1].sendall(b"\x16\x03\x01\x02\x00\x01")
    begin = time.monotonic()
    assert platform.api("GET", "/status")["computes"] is not None
    assert time.monotonic() - begin < 4, "a head has 5 s"
    for one in held:
        one.close()


def test_addresses_that_are_not_allowed(platform, project):
    platform.cli("projects", "update", project.id, "--allow-ip", "198.51.100.1")
    status, error = post(platform, project.connection_string(), b'{"query": "select 1"}')
    assert status == 400 and error["message"].startswith("This IP address 127.0.0.1 is not allowed to connect to this endpoint.")
    told = run_socket(platform, project.connection_string(), "select 1")
    assert re.match(r"28000 This IP address (127.0.0.1|::1) is not allowed to connect to this endpoint.", told), told


@pytest.mark.parametrize("way", ["http", "pooled", "direct", "past the proxy", "by the API"])
def test_a_change_of_a_role_counts_for_the_next_request(platform, project, way):
    """Whoever made it, and however often the role has been asked for before."""
    string = project.connection_string()
    user, secret = urlsplit(string).username, urlsplit(string).password
    connections = {"pooled": lambda: project.connect(pooled=True), "direct": project.connect, "past the proxy": project.superuser}
    project.wake()
    connection = connections[way]() if way in connections else None

    def change(sql):
        if connection:
            connection.cursor().execute(sql)
        else:
            assert post(platform, string, json.dumps({"query": sql}).encode())[0] == 200, sql

    def enters(password, role="guest"):
        one = string.replace(f"{user}:{secret}@", f"{role}:{password}@")
        results = {post(platform, one, b'{"query": "select 1"}')[0] for _ in range(3)}
        assert len(results) == 1
        return results == {200}

    if way == "by the API":
        for _ in range(5):
            path = f"/api/v2/projects/{project.id}/branches"
            branch = platform.api("GET", path)["branches"][0]["id"]
            fresh = platform.api("POST", f"{path}/{branch}/roles/{user}/reset_password")["role"]["password"]
            assert enters(fresh, user) and not enters(secret, user)
            secret = fresh
            string = string.replace(urlsplit(string).password, fresh)
        return
    assert not enters("first")
    change("create role guest login password 'first'")
    assert enters("first") and not enters("second")
    change("alter role guest password 'second'")
    assert enters("second") and not enters("first")
    change("alter role guest nologin")
    assert not enters("second")
    change("alter role guest login valid until '2001-01-01'")
    assert not enters("second")
    change("alter role guest valid until 'infinity'")
    assert enters("second")
    change("do $$ begin execute 'alter role guest rename to visitor'; end $$")
    assert not enters("second")
    change("alter role visitor password 'second'")  # Of older passwords, the name may be a part.
    assert enters("second", "visitor")
    change("drop role visitor")
    assert not enters("second", "visitor")
    if connection:
        connection.close()


def run_socket(platform, string, query):
    """What a query over a WebSocket says, or the code and message of the error that ends it."""
    return node(platform, string, "--input-type=module", "-e", f"""
import {{ Client }} from "@neondatabase/serverless";
import {{ url }} from "./setup.mjs";
const client = new Client({{ connectionString: url }});
const tell = (error) => {{ if (error.code) {{ console.log(error.code, error.message); process.exit(0); }} }};
client.on("error", tell);
client.connect().then(async () => {{ console.log(JSON.stringify((await client.query({json.dumps(query)})).rows)); process.exit(0); }}).catch(tell);
""", cwd="serverless", SQL_PORT=str(platform.sql_port)).strip()


@pytest.fixture(scope="module")
def open_platform():
    """One that listens everywhere and logs all there is to log."""
    with Platform.create("open", "--host", "0.0.0.0", environment={"HALOGEN_LOG": "debug"}) as platform:
        yield platform


def own_address():
    """Of this machine, as others have it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # Sends nothing.
        return probe.getsockname()[0]


def test_without_tls_only_this_machine_is_answered(open_platform):
    """By its own port and by the API's, whoever asks and whatever for."""
    string = open_platform.create_project("clear").connection_string()
    address = own_address()
    for port in (open_platform.sql_port, open_platform.http_port):
        assert post(open_platform, string, b'{"query": "select 1"}', port)[0] == 200
        status, error = post(open_platform, string, b'{"query": "select 1"}', port, host=address)
        assert status == 400 and error["message"] == "connection is insecure (use https)"
    request = urllib.request.Request(f"http://{address}:{open_platform.http_port}/api/v2/projects",
                                     headers={"Authorization": f"Bearer {open_platform.api_key()}"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=30)
    context = ssl.create_default_context(cafile=open_platform.status()["ca_file"])
    context.check_hostname = False  # The certificate has names, no addresses.
    with urllib.request.urlopen(f"https://{address}:{open_platform.http_port}/healthz", timeout=30, context=context) as answer:
        assert answer.status == 200
    request = urllib.request.Request(f"https://{address}:{open_platform.sql_port}/sql", b'{"query": "select 4 as a"}',
                                     {"Neon-Connection-String": string})
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        assert json.load(answer)["rows"] == [{"a": 4}]


def test_no_secret_is_in_any_log(open_platform):
    """Not of those that are right, nor of those that are wrong, by any way in and any way that it fails."""
    string = open_platform.create_project("secrets").connection_string()
    secret = urlsplit(string).password
    wrong = string.replace(secret, "Wr0ngSecret")
    headers = {"Authorization": "Bearer T0kenSecret.a.b", "Cookie": "session=C00kieSecret"}
    queries = [b'{"query": "select 1"}', b'{"query": "select 1/0"}', b'{"query": "select V4lueSecret"', b'{"query": 1}', b""]
    for one in (string, wrong, "postgres://a:Wr0ngSecret@", f"nonsense {secret}",
                string.replace("/neondb", "/none"), string.replace("postgresql:", "Wr0ngSecret:")):
        for query in queries:
            for port in (open_platform.sql_port, open_platform.http_port):
                post(open_platform, one, query, port, headers=headers)
    assert run_socket(open_platform, string, "select 1 as a") == '[{"a":1}]'
    assert run_socket(open_platform, wrong, "select 1").startswith("28P01")
    for request in (f"POST /sql HTTP/1.1\r\nNeon-Connection-String: {string}\r\nContent-Length: nonsense\r\n\r\n",
                    f"GET /v2?{secret} HTTP/1.1\r\nUpgrade: websocket\r\nCookie: C00kieSecret\r\n\r\n",
                    f"BREW /{secret} HTTP/1.1\r\nAuthorization: T0kenSecret\r\n\r\n"):
        for port in (open_platform.sql_port, open_platform.http_port):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(request.encode())
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
    logs = [file for file in open_platform.home.rglob("*") if file.is_file() and (".log" in file.name or file.name == "log")]
    assert open_platform.log_file in logs and any("ep-" in str(file) for file in logs), logs
    for file in logs:
        text = file.read_text(errors="replace")
        for word in (secret, "Wr0ngSecret", "T0kenSecret", "C00kieSecret", "V4lueSecret", "Neon-Connection-String"):
            assert word not in text, f"{word} is in {file}"
    assert "DEBUG" in open_platform.log_text()


def test_who_fails_too_often_has_to_wait(open_platform):
    """Whatever it says then, and by whatever way; nobody else."""
    project = open_platform.create_project("guessed")
    string, other = project.connection_string(), open_platform.create_project("other").connection_string()
    wrong = string.replace(urlsplit(string).password, "wrong")
    messages = [post(open_platform, wrong, b'{"query": "select 1"}')[1]["message"] for _ in range(60)]
    assert messages[0].startswith("password authentication failed for user")
    assert messages[-1].startswith("too many failed attempts to authenticate: wait ")
    assert post(open_platform, string, b'{"query": "select 1"}')[1]["message"].startswith("too many failed attempts")
    assert post(open_platform, other, b'{"query": "select 1 as a"}')[1]["rows"] == [{"a": 1}]


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


def frame(kind, flags, stream, payload=b""):
    """Of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header field, not indexed, not compressed."""
    def text(word):
        size = len(word)
        head = bytes([size]) if size < 127 else bytes([127, (size - 127) % 128 | 128, (size - 127) // 128])
        return head + word
    return b"\0" + text(name) + text(value)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frame(4, 0, 0)
DATA, HEADERS, PRIORITY, RST_STREAM, PUSH, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 5, 6, 8, 9
REQUEST = b"".join(literal(name, value) for name, value in (
    (b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/sql"), (b":authority", b"api.us-east-1.localhost")))
LARGE = b"\x40" + b"\x01x" + bytes([127, (4000 - 127) % 128 | 128, (4000 - 127) // 128]) + b"y" * 4000  # And remembered.
HOSTILE = {
    "no preface": b"POST /sql HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "noise": bytes(range(256)) * 100,
    "noise behind the preface": PREFACE + SETTINGS + bytes(range(255, -1, -1)) * 100,
    "a frame that is too large": PREFACE + SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 100_000,
    "data on no stream": PREFACE + SETTINGS + frame(DATA, 0, 0, b"x"),
    "data on a stream that is not open": PREFACE + SETTINGS + frame(DATA, 0, 5, b"x"),
    "headers on an even stream": PREFACE + SETTINGS + frame(HEADERS, 5, 2, REQUEST),
    "headers that are none": PREFACE + SETTINGS + frame(HEADERS, 5, 1, b"\xff" * 1000),
    "a table of more than was agreed to": PREFACE + SETTINGS + frame(HEADERS, 5, 1, b"\x3f\xff\xff\xff\x0f" + REQUEST),
    "a continuation of nothing": PREFACE + SETTINGS + frame(CONTINUATION, 4, 1, REQUEST),
    "headers without an end": PREFACE + SETTINGS + frame(HEADERS, 1, 1, REQUEST) + frame(CONTINUATION, 0, 1, b"") * 50_000,
    "headers that grow": PREFACE + SETTINGS + frame(HEADERS, 1, 1, REQUEST + LARGE) + frame(CONTINUATION, 4, 1, b"\xbe" * 16_000),
    "another's push": PREFACE + SETTINGS + frame(PUSH, 4, 1, b"\0\0\0\x02" + REQUEST),
    "a window of nothing": PREFACE + SETTINGS + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    "a window beyond all": PREFACE + SETTINGS + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "settings that make no sense": PREFACE + frame(4, 0, 0, b"\0\x05\0\0\0\0"),
    "many settings": PREFACE + SETTINGS * 50_000,
    "many pings": PREFACE + SETTINGS + frame(PING, 0, 0, b"12345678") * 50_000,
    "many requests that are taken back": PREFACE + SETTINGS + b"".join(
        frame(HEADERS, 5, i, REQUEST) + frame(RST_STREAM, 0, i, b"\0\0\0\x08") for i in range(1, 20_001, 2)),
    "many requests": PREFACE + SETTINGS + b"".join(frame(HEADERS, 5, i, REQUEST) for i in range(1, 20_001, 2)),
    "many requests that never end": PREFACE + SETTINGS + b"".join(frame(HEADERS, 4, i, REQUEST) for i in range(1, 20_001, 2)),
    "a stream that depends on itself": PREFACE + SETTINGS + frame(PRIORITY, 0, 1, b"\0\0\0\x01\x10"),
    "line ends in a header": PREFACE + SETTINGS + frame(HEADERS, 5, 1, REQUEST + literal(b"x", b"a\r\nb: c")),
    "a header of a connection": PREFACE + SETTINGS + frame(HEADERS, 5, 1, REQUEST + literal(b"transfer-encoding", b"chunked")),
}


def resident_kib(platform):
    status = open(f"/proc/{platform.pid()}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frames_of_http2(platform, project, name):
    """They end their connection or are answered, and cost nobody else anything."""
    context = ssl.create_default_context(cafile=platform.status()["ca_file"])
    context.set_alpn_protocols(["h2"])
    before = resident_kib(platform)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", platform.sql_port), timeout=20),
                             server_hostname="api.us-east-1.localhost") as client:
        assert client.selected_alpn_protocol() == "h2"
        try:
            client.sendall(HOSTILE[name])
            client.settimeout(0.5)
            while client.recv(65536):
                pass
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        assert post(platform, project.connection_string(), b'{"query": "select 1 as a"}')[1]["rows"] == [{"a": 1}]
    assert resident_kib(platform) - before < 64 * 1024


def test_an_answer_that_is_not_taken_over_http2_is_held_back(platform, project):
    """With no window at all; and when its client leaves its query is over."""
    string = project.connection_string()
    context = ssl.create_default_context(cafile=platform.status()["ca_file"])
    context.set_alpn_protocols(["h2"])
    body = b'{"query": "select repeat(\'x\', 1000) from generate_series(1, 9000)"}'
    with context.wrap_socket(socket.create_connection(("127.0.0.1", platform.sql_port), timeout=20),
                             server_hostname="api.us-east-1.localhost") as client:
        client.sendall(PREFACE + frame(4, 0, 0, b"\0\x04\0\0\0\0") + frame(HEADERS, 4, 1, REQUEST + literal(b"neon-connection-string", string.encode()))
                       + frame(DATA, 1, 1, body))
        client.settimeout(1)
        heard = b""
        try:
            while chunk := client.recv(65536):
                heard += chunk
        except TimeoutError:
            pass
        assert b"xxxxxxxx" not in heard
        client.sendall(frame(WINDOW_UPDATE, 0, 1, (1000).to_bytes(4, "big")))
        client.settimeout(20)
        while b"xxxxxxxx" not in heard:
            heard += client.recv(65536)
        assert heard.count(b"x" * 100) < 20
    assert post(platform, string, b'{"query": "select 1 as a"}')[1]["rows"] == [{"a": 1}]


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
