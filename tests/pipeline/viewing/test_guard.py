"""Only the browser with the token, on the address that was told, sees anything."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from pipeline.viewing.guard import Guard

HOST = "127.0.0.1:8765"


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.add_api_route("/page", lambda: {"read": True}, methods=["GET"])
    app.add_api_route("/page", lambda: {"written": True}, methods=["POST"])
    with TestClient(Guard(app, "secret", [HOST, "localhost:8765"]), base_url=f"http://{HOST}") as c:
        yield c


def test_the_token_lets_in_and_leaves_the_address(client: TestClient) -> None:
    assert client.get("/page").status_code == 401
    assert client.get("/page?token=guess").status_code == 401
    answer = client.get("/page?a=1&token=secret&b=2", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/page?a=1&b=2")
    kept = answer.headers["set-cookie"].lower()
    assert "httponly" in kept and "samesite=strict" in kept
    assert client.get("/page").json() == {"read": True}
    client.cookies.clear()
    client.cookies.set("sluice_view_8765", "other")
    assert client.get("/page").status_code == 401


def test_no_other_host_is_answered(client: TestClient) -> None:
    client.get("/page?token=secret")
    for host in ("evil.example:8765", "127.0.0.1:9999", "127.0.0.1"):  # a name that points here
        assert client.get("/page", headers={"host": host}).status_code == 403
    assert client.get("/page?token=secret", headers={"host": "evil.example"}).status_code == 403


def test_no_other_page_is_answered_and_writing_needs_an_origin(client: TestClient) -> None:
    client.get("/page?token=secret")
    for origin in ("http://evil.example", "null", f"https://{HOST}"):
        assert client.get("/page", headers={"origin": origin}).status_code == 403
        assert client.post("/page", headers={"origin": origin}).status_code == 403
    assert client.post("/page").status_code == 403
    own = {"origin": f"http://{HOST}"}
    assert client.post("/page", headers=own).json() == {"written": True}


def test_every_answer_forbids_what_is_not_ours(client: TestClient) -> None:
    for path in ("/page", "/page?token=secret", "/nothing"):
        headers = client.get(path, follow_redirects=False).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy and "unsafe-eval" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
