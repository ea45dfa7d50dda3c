"""What /metrics tells: Prometheus understands it, the documentation lists it, the dashboard names nothing else."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.platform import ROOT

SERIES = re.compile(r"\b(halogen_[a-z_]+)\s*(?:\{([^}]*)\})?")


@pytest.fixture
def families(project, platform):
    """Those of a platform with a client of each kind, after a suspend and a wake, by name."""
    project.query("create table t (i int)")
    project.suspend()
    direct, pooled = project.connect(), project.connect(pooled=True)
    try:
        for connection in (direct, pooled):
            connection.cursor().execute("set work_mem = '1MB'; select * from t")
        yield {family.name: family for family in text_string_to_metric_families(platform.metrics())}
    finally:
        direct.close()
        pooled.close()


def series_names(families):
    return {sample.name for family in families.values() for sample in family.samples}


def labels_of(families, name):
    return {label for family in families.values() for sample in family.samples if sample.name == name for label in sample.labels}


def test_prometheus_reads_all_of_it(families):
    assert len(families) > 40
    for family in families.values():
        assert family.name.startswith("halogen_") and family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        seen = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(seen) == len(set(seen)), f"{family.name}: a series comes twice"


def test_the_documentation_lists_what_there_is(families):
    documented = set(re.findall(r"^\| `(halogen_[a-z_]+)`", (ROOT / "docs/operations/metrics.md").read_text(), re.M))
    told = {family.name + ("_total" if family.type == "counter" else "") for family in families.values()}
    assert told - documented == set()
    # These come with what this test does not bring about.
    others = {"halogen_pooler_pinned", "halogen_proxy_pinned", "halogen_objectstore_errors_total", "halogen_objectstore_requests_total"}
    of_a_store = ("halogen_archive_", "halogen_pageserver_layer_cache_")
    assert {name for name in documented - told if not name.startswith(of_a_store)} <= others


def expressions():
    dashboard = json.loads((ROOT / "deploy/grafana/halogen.json").read_text())
    assert dashboard["uid"] == "halogen"
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(found) > 40
    return found


def test_the_dashboard_names_only_series_and_labels_that_there_are(families):
    names = series_names(families)
    for expression in expressions():
        [(name, matchers)] = SERIES.findall(expression)
        if name == "halogen_proxy_pinned":
            continue  # There only while a client is.
        assert name in names, expression
        labels = labels_of(families, name) | {"instance"}
        for by in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in by.split(",")} <= labels, expression
        assert {matcher.split("=")[0].rstrip("!") for matcher in matchers.split(",")} <= labels, expression
