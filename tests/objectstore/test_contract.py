"""The contract of object stores (src/objectstore/contract_test.cc), against a real service and through faults."""

import os
import subprocess

import pytest

from fixtures.platform import BUILD
from fixtures.s3 import FaultyProxy, credentials, service

PROGRAM = BUILD / "bin/objectstore_test"


@pytest.fixture(scope="module")
def upstream():
    with service() as port:
        yield port


@pytest.fixture
def port(upstream):
    """Of a service that checks signatures and has no faults."""
    with FaultyProxy(upstream) as proxy:
        yield proxy.port


def run(port, *filters, secret=None):
    env = dict(os.environ, HALOGEN_TEST_S3=f"http://127.0.0.1:{port}/bucket", **credentials(*[secret] if secret else []))
    return subprocess.run([PROGRAM, "--gtest_filter=" + ":".join(filters)], env=env, text=True, capture_output=True, timeout=300)


def test_s3_keeps_the_contract(port):
    done = run(port, "Stores/*/s3")
    assert done.returncode == 0, done.stdout
    assert "SKIPPED" not in done.stdout


def test_s3_keeps_the_contract_through_faults(upstream):
    """Each request may fail, be answered late, torn, or done and not acknowledged."""
    with FaultyProxy(upstream, rate=0.25) as proxy:
        print(f"seed {proxy.seed}")
        done = run(proxy.port, "Stores/*/s3", "-Stores/*ListGoesOn*")
        assert done.returncode == 0, done.stdout
        assert proxy.injected > 20


def test_wrong_credentials_are_refused_and_not_told(port):
    done = run(port, "Stores/*WhatWasPut*/s3", secret="someverysecretkey")
    assert done.returncode != 0
    assert "refuses our credentials" in done.stdout
    assert "someverysecretkey" not in done.stdout + done.stderr
