"""What a client may say around a COPY FROM STDIN, and what it breaks: pooled and direct as Postgres itself answers it."""

import pytest

from fixtures.wire import FLUSH, SYNC, bind, close_statement, execute, fields, parse
from session.wire import Wire

DATA, BAD, DONE, FAIL = ("d", b"1\n"), ("d", b"x\n"), ("c", b""), ("f", b"why\0")


def query(sql):
    return "Q", sql.encode() + b"\0"


def once(sql):
    return parse("", sql), bind("", ""), execute()


COPY, NEVER = "copy copied from stdin", "copy copied_view from stdin"
RUN, END = (bind("", "s"), execute()), query("select 'end'")

# Each is said up to where its data are asked for, and then to its end.
SCRIPTS = {
    "libpq": [(*once(COPY), SYNC), (DATA, DONE, SYNC, END)],
    "libpq, bad": [(*once(COPY), SYNC), (DATA, BAD, DATA, DONE, SYNC, END)],
    "libpq, failed by the client": [(*once(COPY), SYNC), (DATA, FAIL, SYNC, END)],
    "never reads": [(*once(NEVER), SYNC, DATA, DONE, SYNC, END)],
    "never reads, more behind it": [(*once(NEVER), SYNC, DATA, DONE, *RUN, SYNC, END)],
    "bad, more behind it": [(*once(COPY), SYNC), (BAD, DONE, *RUN, close_statement("s"), SYNC, END)],
    "more behind it": [(*once(COPY), SYNC), (DATA, DONE, *RUN, SYNC, END)],
    "failing behind it": [(*once(COPY), SYNC), (DATA, DONE, *once("select 1/0"), SYNC, query("table copied"), END)],
    "syncs among data": [(*once(COPY), SYNC, SYNC), (DATA, SYNC, DATA, SYNC, DONE, SYNC, END)],
    "syncs among bad data": [(*once(COPY), SYNC), (DATA, SYNC, BAD, SYNC, DONE, *RUN, SYNC, END)],
    "no copy": [(*once("select 1"), SYNC, DATA, DONE, *RUN, SYNC, END)],
    "a query": [(query(COPY),), (END,)],
    "a query, ahead": [(query(COPY), END)],
    "a query behind data": [(query(COPY),), (DATA, END)],
    "a parse": [(query(COPY),), (parse("t", "select 1"), SYNC, END)],
    "a bind": [(*once(COPY), FLUSH), (*RUN, SYNC, END)],
    "what is no message": [(*once(COPY), SYNC), (("z", b""), SYNC, END)],
}


def short(kind, body):
    if kind == "E":
        return kind, fields(body)["V"], fields(body)["C"], fields(body)["M"]
    return kind, body


def transcript(wire, script):
    heard = []
    wire.simple("truncate copied")
    wire.send(parse("s", "select 7"), SYNC)
    wire.until_ready()
    for number, messages in enumerate(script):
        last = number == len(script) - 1
        wire.send(*messages)
        try:
            while not heard or heard[-1][0] != "G" or last:
                heard.append(short(*wire.receive()))
                if heard[-1][0] == "D" and b"end" in heard[-1][1]:
                    break
        except EOFError:
            heard.append("gone")
            return heard
    wire.until_ready()
    return heard


@pytest.fixture(scope="module")
def project(session_platform):
    project = session_platform.create_project()
    project.query("create table copied (i int)")
    project.query("create view copied_view as select 1 as i")
    yield project
    project.delete()


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_copy_is_answered_as_postgres_does(project, connect, script):
    own = project.own_socket()
    postgres = Wire(f"{own['host']}/.s.PGSQL.{own['port']}", own["user"], "neondb", options=own["options"])
    expected = transcript(postgres, script)
    postgres.socket.close()
    for pooled in True, False:
        assert transcript(connect(project.connection_string(pooled=pooled)), script) == expected, pooled
