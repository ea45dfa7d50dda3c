"""Sessions are told from private ones by nothing, even if each transaction gets a new server process."""

from fixtures import suite

# Those that are about what a session holds; test_setup comes before them.
TESTS = ["transactions", "portals_p2", "combocid", "namespace", "create_role", "async", "advisory_lock", "guc",
         "prepare", "plancache", "temp", "copy2", "largeobject", "password", "prepared_xacts"]


def test_the_suite_does_not_notice_that_each_transaction_has_another_server(tmp_path):
    with suite.project_without_room() as project:
        suite.prepare(project.platform, project)
        project.platform.set_pooler(project, server_lifetime=0)
        suite.run(suite.pooled(project), tmp_path, TESTS)
