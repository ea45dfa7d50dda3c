"""The libraries for programs: every answer that they get is compared with the official document by the fixture."""

from fixtures.node import node


def test_api_client(platform, recorder):
    node(platform, "", "api/api_client.mjs", NEON_API_KEY=platform.api_key(), NEON_BASE=recorder.url)


def test_sdk(platform, recorder):
    node(platform, "", "api/sdk.mjs", NEON_API_KEY=platform.api_key(), NEON_BASE=recorder.url)
