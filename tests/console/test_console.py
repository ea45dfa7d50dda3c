"""What users do at the console, in a real browser on a real platform."""

import gzip
import json
import re
import urllib.request

from console.snippets import run_snippets

MOST_INITIAL_SCRIPT = 300 * 1024  # Compressed.


def get(platform, path):
    request = urllib.request.Request(f"http://127.0.0.1:{platform.http_port}{path}", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        data = answer.read()
        return answer.headers, gzip.decompress(data) if answer.headers.get("Content-Encoding") == "gzip" else data, len(data)


def test_what_is_loaded_first_is_small_kept_and_without_inline_scripts(platform):
    headers, page, _ = get(platform, "/projects/any")
    page = page.decode()
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    scripts = re.findall(r'(?:src|href)="(/[^"]+\.js)"', page)
    sizes = 0
    for script in scripts:
        headers, _, size = get(platform, script)
        assert headers["Content-Encoding"] == "gzip"
        if script.startswith("/assets/"):
            assert "immutable" in headers["Cache-Control"]
        sizes += size
    assert 50_000 < sizes < MOST_INITIAL_SCRIPT


def test_signing_in_and_out(platform, drive):
    drive("sign_in", CONSOLE_LINK=platform.cli("console").strip(), API_KEY=platform.api_key())


def test_a_newcomer_connects_an_application(platform, drive):
    """Needs no documentation; and each snippet runs as it stands."""
    snippets = json.loads(drive("newcomer", KEEP="1").strip().splitlines()[-1])
    run_snippets(platform, snippets)
    newcomer = next(one for one in platform.api("GET", "/api/v2/projects?limit=400")["projects"] if one["name"] == "newcomer")
    platform.cli("projects", "delete", newcomer["id"])


def test_every_page_in_both_themes_and_on_a_phone(drive, project):
    project.query("CREATE TABLE orders (id int PRIMARY KEY, item text)")
    drive("pages", project)


