"""Runs the published PraisonAI client through its account methods against a gateway: URL as argument."""

import asyncio
import functools
import sys

import httpx
from praisonai_platform.client import PlatformClient

# The library waits as long as httpx does unless told, five seconds: a busy machine may take longer.
httpx.AsyncClient = functools.partial(httpx.AsyncClient, timeout=120)


async def refused(call, status):
    try:
        await call
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == status, (error.response.status_code, error.response.text)
        detail = error.response.json()["detail"]
        assert detail, error.response.text
        return detail
    raise AssertionError(f"it should have been refused with {status}")


async def main(url):
    client = PlatformClient(url)
    registered = await client.register("agent@example.com", "pass", name="Agent One")
    assert registered["token"], registered
    assert registered["user"]["email"] == "agent@example.com", registered
    assert registered["user"]["name"] == "Agent One", registered

    me = await client.get_me()
    assert me == registered["user"], (me, registered)

    # The client sends its old token along: a login must not care.
    logged_in = await client.login("agent@example.com", "pass")
    assert logged_in["user"]["id"] == registered["user"]["id"]
    assert (await client.get_me())["id"] == me["id"]

    stale = PlatformClient(url, token="not.a.token")
    await refused(stale.get_me(), 401)
    assert (await stale.login("Agent@Example.com", "pass"))["user"]["id"] == me["id"]

    wrong = await refused(PlatformClient(url).login("agent@example.com", "wrong"), 401)
    unknown = await refused(PlatformClient(url).login("nobody@example.com", "pass"), 401)
    assert wrong == unknown == "Invalid email or password", (wrong, unknown)
    await refused(PlatformClient(url).register("agent@example.com", "pass2"), 409)
    await refused(PlatformClient(url).register("not-an-email", "pass"), 422)
    await refused(PlatformClient(url).get_me(), 401)

    nameless = await PlatformClient(url).register("local.part@example.com", "secret7")
    assert nameless["user"]["name"] == "local.part", nameless

    async with PlatformClient(url, token=logged_in["token"]) as pooled:
        for _ in range(3):
            assert (await pooled.get_me())["id"] == me["id"]

    # A workspace is the backend's own: the call goes through with the gateway's token.
    echoed = await PlatformClient(url, token=logged_in["token"]).list_workspaces()
    assert echoed["target"].startswith("/api/v1/workspaces"), echoed
    print("every step of the client went as its documentation says")


asyncio.run(main(sys.argv[1]))
