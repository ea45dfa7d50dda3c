"""What a crowd of clients does to tell whether its server connections are shared without a mistake.

Every client writes under its own number and reads its own settings; money only ever moves between accounts.
"""

import concurrent.futures

CLIENTS = 40
ROUNDS = 15
ACCOUNTS = 200
START = 1000

SETUP = f"""
create table account (id int primary key, balance bigint not null);
insert into account select i, {START} from generate_series(0, {ACCOUNTS - 1}) i;
create table entry (client int, round int, amount int, primary key (client, round));
"""


def transfer(client, round):
    """From, to, amount: the lower account first, so that no two clients wait for each other in a circle."""
    a, b = (client * 7 + round * 13) % ACCOUNTS, (client * 11 + round * 17 + 1) % ACCOUNTS
    if a == b:
        b = (b + 1) % ACCOUNTS
    return min(a, b), max(a, b), round + 1


def in_threads(work, clients=CLIENTS):
    """work(client) for each, all at once; their results in order. The first error is raised."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return list(pool.map(work, range(clients)))


def check(project, clients=CLIENTS, rounds=ROUNDS):
    assert project.query("select sum(balance), count(*) from account") == [(ACCOUNTS * START, ACCOUNTS)]
    assert project.query("select client, count(*), sum(amount) from entry group by 1 order by 1") == \
        [(client, rounds, sum(range(1, rounds + 1))) for client in range(clients)]
    expected = [START] * ACCOUNTS
    for client in range(clients):
        for round in range(rounds):
            a, b, amount = transfer(client, round)
            expected[a] -= amount
            expected[b] += amount
    assert project.query("select balance from account order by id") == [(balance,) for balance in expected]
