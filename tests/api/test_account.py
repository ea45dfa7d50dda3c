"""Who belongs to an organization, as the official document has it."""

import json
import urllib.error
import urllib.request


def ask(platform, recorder, path):
    request = urllib.request.Request(f"{recorder.url}{path}", headers={"Authorization": f"Bearer {platform.api_key()}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_operator_is_the_only_member(platform, recorder):
    organization = platform.api("GET", "/api/v2/users/me/organizations")["organizations"][0]["id"]
    me = platform.api("GET", "/api/v2/users/me")
    status, answer = ask(platform, recorder, f"/organizations/{organization}/members")
    assert status == 200
    member = answer["members"][0]["member"]
    assert member["user_id"] == me["id"] and answer["members"][0]["user"]["email"] == me["email"] and len(answer["members"]) == 1
    assert ask(platform, recorder, f"/organizations/{organization}/members/{member['id']}") == (200, member)
    assert ask(platform, recorder, f"/organizations/{organization}/members/0f8fad5b-d9cb-469f-a165-70867728950e")[0] == 404
    assert ask(platform, recorder, f"/organizations/{organization}/invitations") == (200, {"invitations": []})


def test_projects_are_shared_with_nobody(platform, recorder, project):
    assert ask(platform, recorder, f"/projects/{project.id}/permissions") == (200, {"project_permissions": []})
    status, answer = ask(platform, recorder, f"/projects/{project.id}/available_preload_libraries")
    assert status == 200 and answer["libraries"]
