"""What is left out of the isolation is said where an operator looks."""

from fixtures.platform import Platform
from isolation import inside


def test_a_layer_that_is_out_is_warned_of_in_log_and_status():
    with Platform.create("without-guards", "--isolation=none", "--unsafe-without=role_guard,settings_guard") as platform:
        without = ["rooms", "role_guard", "settings_guard"]
        assert platform.status()["isolation"]["without"] == without
        assert f"WARNING: tenants are not isolated: without {', '.join(without)}" in platform.cli("status")
        assert f"without {','.join(without)}" in platform.log_text()
        assert "no layer of isolation named" in platform.cli("up", "--unsafe-without=walls", check=False).stderr


def test_a_program_inside_a_compute_is_heard(guarded):
    status, output = inside.run(guarded.project, "printf 'tab\\there\\\\n\\\\.\\n'; exit 3")
    assert (status, output) == (3, "tab\there\\n\\.\n")
    assert inside.call(guarded.project, add, 2, 3) == 5


def add(a, b):
    return a + b
