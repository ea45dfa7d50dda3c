"""LISTEN and NOTIFY, direct and pooled: once, in order, on time, with the notifying client's pid; and never deaf."""

import contextlib
import select

import psycopg2
import pytest

from fixtures.platform import wait_until


def connect(string, **options):
    connection = psycopg2.connect(string, **options)
    connection.autocommit = True
    return connection


def run(connection, sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def heard(connection, count, seconds=20):
    """The first notifications that have come, once there are so many."""
    def enough():
        select.select([connection], [], [], 0.05)
        connection.poll()
        return len(connection.notifies) >= count
    wait_until(enough, seconds, f"{count} notifications")
    told = [(note.pid, note.channel, note.payload) for note in connection.notifies]
    connection.notifies.clear()
    return told


@pytest.fixture
def pair(string):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(connect(string))) for _ in range(2)]


def test_ones_own_notifications_are_there_with_their_command_and_from_oneself(pair):
    ann, _ = pair
    run(ann, "listen c")
    for sql in ("notify c, 'x'", "select pg_notify('c', 'x')", "do $$ begin perform pg_notify('c', 'x'); end $$",
                "begin; notify c, 'y'; savepoint s; notify c, 'x'; rollback to s; notify c, 'x'; commit"):
        run(ann, sql)
        assert ann.notifies, sql  # libpq has read them before the end of the command.
        assert {note.pid for note in ann.notifies} == {ann.get_backend_pid()}
        assert ann.notifies[-1].payload == "x"
        ann.notifies.clear()


def test_a_notification_names_the_client_that_notified(pair):
    ann, bob = pair
    run(ann, "listen c")
    run(bob, "listen c")
    for i in range(20):
        run((ann, bob)[i % 2], "select pg_notify('c', %s)", str(i))
    expected = [((ann, bob)[i % 2].get_backend_pid(), "c", str(i)) for i in range(20)]
    assert heard(ann, 20) == expected
    assert heard(bob, 20) == expected


def test_each_comes_once_and_in_order_while_clients_begin_to_listen(string, pair):
    """From the end of LISTEN on nothing is missed and nothing comes twice, however much is notified meanwhile."""
    _, bob = pair
    for round in range(5):
        with contextlib.closing(connect(string)) as ann:
            sent = 0
            run(ann, "listen c")
            for _ in range(3):
                run(bob, "select pg_notify('c', (%s + i)::text) from generate_series(0, 99) i", sent)
                sent += 100
                run(ann, f"listen d{sent}")  # The channels change, those before are heard on.
            run(bob, "notify c, 'last'")
            told = [payload for _, _, payload in heard(ann, sent + 1)]
            assert told == [str(i) for i in range(sent)] + ["last"], round


def test_listening_ends_with_unlisten_and_with_the_transaction_that_is_rolled_back(pair):
    ann, bob = pair
    run(ann, "listen a")
    run(ann, "listen b")
    run(ann, "begin; listen c; rollback")
    run(ann, "unlisten a")
    for channel in "acb":
        run(bob, f"notify {channel}")
    assert [channel for _, channel, _ in heard(ann, 1)] == ["b"]


def test_payloads_come_in_each_clients_encoding(string):
    with contextlib.closing(connect(string)) as ann, contextlib.closing(connect(string)) as bob:
        ann.set_client_encoding("LATIN1")
        run(ann, "listen c")
        run(bob, "listen c")
        run(bob, "notify c, 'grüße'")
        assert [payload for _, _, payload in heard(ann, 1) + heard(bob, 1)] == ["grüße", "grüße"]


def test_listeners_hear_on_after_a_suspend_though_the_role_of_the_first_is_gone(project, string):
    with contextlib.closing(project.connect()) as owner:
        run(owner, "drop role if exists first_listener")
        run(owner, "create role first_listener login password 'Passw0rd_x'")
        with contextlib.closing(connect(string, user="first_listener", password="Passw0rd_x")) as first:
            run(first, "listen c")
            second = connect(string)
            run(second, "listen c")
        run(owner, "drop role first_listener")
    project.suspend()
    with contextlib.closing(second), contextlib.closing(connect(string)) as bob:
        run(bob, "notify c, 'after'")
        assert [payload for _, _, payload in heard(second, 1)] == ["after"]


def test_a_listener_is_told_when_notifications_may_have_been_missed(project, platform, pair):
    """The connection that listens for all is ended on the server: what was notified meanwhile nobody has heard."""
    ann, bob = pair
    run(ann, "listen c")
    listening = "select pid from pg_stat_activity where query like 'LISTEN %halogen.notify%'"
    with contextlib.closing(project.superuser("neondb")) as superuser:
        (pid,) = run(superuser, listening)[0]
        run(superuser, "select pg_terminate_backend(%s)", pid)

        def ended():
            try:
                ann.poll()
            except psycopg2.OperationalError:
                return "".join(ann.notices)
        assert "notifications may have been missed" in wait_until(ended, what="the end of the listener's connection")
        run(bob, "listen c")  # Those that come later are heard for by another one.
        run(bob, "notify c")
        assert bob.notifies
    run(bob, "unlisten *")


def test_nobody_listens_for_those_that_have_gone(project, pair):
    ann, bob = pair
    run(ann, "listen c")
    ann.close()
    with contextlib.closing(project.superuser("neondb")) as superuser:
        listening = "select count(*) from pg_stat_activity where query like '%%LISTEN %%halogen.notify%%' and pid <> pg_backend_pid()"
        wait_until(lambda: run(superuser, listening) == [(0,)], what="the end of the listening connection")


def test_a_listener_that_does_not_read_is_ended_and_the_others_hear_on(platform, pair, string):
    ann, bob = pair
    run(bob, "listen c")
    deaf = connect(string)
    run(deaf, "listen c")
    for _ in range(14):  # 28 MB; bob reads them with its own commands.
        run(bob, "select pg_notify('c', repeat('x', 2000) || i) from generate_series(1, 1000) i")
        bob.notifies.clear()
    run(bob, "notify c, 'last'")
    assert bob.notifies[-1].payload == "last"
    wait_until(lambda: "listens and does not read: ended" in platform.log_text(), what="a line in the log")
    deaf.close()
