#!/usr/bin/env python3
"""The API: from asking for a project or a branch to its first query's answer; lists and gets with many projects.

  bench/api.py --rounds 50 --projects 1000 --branches 10

A branch here has one parent and no endpoint but the default branch's. Requests go over one kept connection, one at a time.
"""

import argparse
import http.client
import json
import statistics
import sys
import time
from pathlib import Path

import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fixtures.platform import Platform  # noqa: E402


class Api:
    def __init__(self, platform):
        self.connection = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=60)
        self.headers = {"Authorization": f"Bearer {platform.api_key()}", "Content-Type": "application/json"}

    def __call__(self, method, path, body=None):
        self.connection.request(method, "/api/v2" + path, json.dumps(body) if body is not None else None, self.headers)
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {data.decode()}"
        return json.loads(data)


def told(name, times):
    times = sorted(time * 1000 for time in times)
    print(f"{name:44} p50 {statistics.median(times):7.1f} ms   p99 {times[int(len(times) * 0.99)]:7.1f} ms"
          f"   {1000 / statistics.mean(times):7.0f}/s", flush=True)


def timed(work, rounds):
    times = []
    for number in range(rounds):
        begin = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - begin)
    return times


def query(uri):
    connection = psycopg2.connect(uri)
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def first_queries(api, rounds):
    def new_project(number):
        made = api("POST", "/projects", {"project": {"name": f"p{number}"}})
        query(made["connection_uris"][0]["connection_uri"])
        projects.append(made["project"]["id"])

    def new_branch(number):
        made = api("POST", f"/projects/{projects[0]}/branches",
                   {"branch": {"name": f"b{number}"}, "endpoints": [{"type": "read_write"}]})
        query(made["connection_uris"][0]["connection_uri"])

    projects = []
    told("project created to first query answered", timed(new_project, rounds))
    told("branch created to first query answered", timed(new_branch, rounds))
    for project in projects:
        api("DELETE", f"/projects/{project}?hard_delete=true")


def many_objects(api, projects, branches):
    ids = []
    begin = time.perf_counter()
    for number in range(projects):
        made = api("POST", "/projects", {"project": {"name": f"many{number}"}})
        ids.append((made["project"]["id"], made["branch"]["id"], made["endpoints"][0]["id"]))
        for branch in range(branches - 1):
            api("POST", f"/projects/{ids[-1][0]}/branches", {"branch": {"name": f"b{branch}"}})
    took = time.perf_counter() - begin
    print(f"{projects} projects x {branches} branches made in {took:.0f} s ({took / projects / branches * 1000:.1f} ms each)")
    cursor = ""

    def next_page(_):
        nonlocal cursor
        page = api("GET", f"/projects?limit=100&cursor={cursor}")
        cursor = page["pagination"]["cursor"] if len(page["projects"]) == 100 else ""

    rounds = 1000
    told("list 100 projects, page by page", timed(next_page, rounds // 4))
    told("list a project's branches", timed(lambda n: api("GET", f"/projects/{ids[n % len(ids)][0]}/branches"), rounds))
    told("get a project", timed(lambda n: api("GET", f"/projects/{ids[n % len(ids)][0]}"), rounds))
    told("get a branch", timed(lambda n: api("GET", "/projects/{0}/branches/{1}".format(*ids[n % len(ids)])), rounds))
    told("get an endpoint", timed(lambda n: api("GET", "/projects/{0}/endpoints/{2}".format(*ids[n % len(ids)])), rounds))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--projects", type=int, default=1000)
    arguments.add_argument("--branches", type=int, default=10)
    options = arguments.parse_args()
    with Platform.create("api") as platform:
        api = Api(platform)
        first_queries(api, options.rounds)
        many_objects(api, options.projects, options.branches)


if __name__ == "__main__":
    main()
