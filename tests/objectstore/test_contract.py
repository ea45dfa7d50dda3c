"""The contract of object stores (src/objectstore/contract_test.cc), against a real service and through faults."""

import os
import subprocess

from fixtures.platform import BUILD
from fixtures.s3 import BUCKET, FaultyProxy

PROGRAM = BUILD / "bin/objectstore_test"


def run(proxy, *filters, secret=None):
    env = dict(os.environ, HALOGEN_TEST_S3=f"http://127.0.0.1:{proxy.port}/{BUCKET}", **proxy.service.credentials(secret))
    return subprocess.run([PROGRAM, "--gtest_filter=" + ":".join(filters)], env=env, text=True, capture_output=True, timeout=300)


def test_s3_keeps_the_contract(service):
    with FaultyProxy(service) as proxy:  # Without faults; it checks signatures.
        done = run(proxy, "Stores/*/s3")
    assert done.returncode == 0, done.stdout
    assert "SKIPPED" not in done.stdout


def test_s3_keeps_the_contract_through_faults(service):
    """Each request may fail, be answered late, torn, or done and not acknowledged."""
    with FaultyProxy(service, rate=0.25, delay=0.02) as proxy:
        print(f"seed {proxy.seed}")
        done = run(proxy, "Stores/*/s3", "-Stores/*ListGoesOn*")
        assert done.returncode == 0, done.stdout
        assert proxy.injected > 20


def test_wrong_credentials_are_refused_and_not_told(service):
    with FaultyProxy(service, passes_all=service.checks_signatures) as proxy:  # The service's own refusal, where it has one.
        done = run(proxy, "Stores/*WhatWasPut*/s3", secret="someverysecretkey")
    assert done.returncode != 0
    assert "refuses our credentials" in done.stdout
    assert "someverysecretkey" not in done.stdout + done.stderr
