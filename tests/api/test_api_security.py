"""Who is let in: nothing is answered without the token, whatever the route; what the service and its logs give away."""

import logging

import pytest
from api_service import MOLECULE, service

from apps.api.body import parse_object
from apps.api.errors import Refused
from apps.api.limits import read_spec
from apps.api.security import host_of
from seqdiff.errors import SeqdiffError

TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with service(tmp_path_factory.mktemp("security"), host="0.0.0.0", token=TOKEN) as client:
        yield client


def routes(client) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


WRONG = (None, "", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ünïcode")


def test_no_route_answers_without_the_token(client):
    found = routes(client)
    assert len(found) >= 12
    others = [
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("OPTIONS", "/v1/generate"),
        ("PUT", "/x"),
    ]
    for method, path in found + others:
        for given in WRONG:
            headers = {} if given is None else {"authorization": given.encode()}
            answer = client.request(method, path.replace("{id}", "0" * 32), headers=headers)
            assert answer.status_code == 401, (method, path, given)
            assert answer.headers["www-authenticate"] == "Bearer" and answer.json()["error"]["type"] == "unauthorized"


def test_with_the_token_every_route_is_there(client):
    for method, path in routes(client):
        answer = client.request(
            method, path.replace("{id}", "0" * 32), headers={"authorization": f"bearer {TOKEN}", "host": "any.example"}
        )
        assert answer.status_code not in (401, 405, 421, 500), (method, path)
        assert (
            answer.headers["x-content-type-options"] == "nosniff"
            and "default-src 'none'" in answer.headers["content-security-policy"]
        )


def test_the_token_is_compared_in_constant_time(client, monkeypatch):
    import hmac

    seen = []
    monkeypatch.setattr("apps.api.security.hmac.compare_digest", lambda a, b: seen.append((a, b)) or False)
    assert client.get("/healthz", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 401
    assert seen == [(TOKEN.encode(), TOKEN.encode())] and hmac is not None


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:8000", "localhost"), ("127.0.0.1", "127.0.0.1"), ("[::1]:80", "::1"), ("LOCALHOST", "localhost"), ("", "")],
)
def test_the_name_in_a_host_header(header, name):
    assert host_of(header) == name


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)"])
def test_what_was_typed_comes_back_as_json_alone(client, name):
    headers = {"authorization": f"Bearer {TOKEN}"}
    for body in ({**MOLECULE, "template": name}, {**MOLECULE, "constraint": name}, {**MOLECULE, "label": name}):
        answer = client.post("/v1/generate", json=body, headers=headers)
        assert answer.status_code == 422 and answer.headers["content-type"] == "application/json"


def test_a_wish_reaches_no_scorer_and_a_spec_no_file(client):
    for wish in ("score dock >= 1", "SCORE dock >= 1", "1 <= score x * 2", " score http://x/y >= 0"):
        with pytest.raises(SeqdiffError, match="no scorers"):
            read_spec({**MOLECULE, "wishes": [wish]})
    for field in ("source", "out", "spec", "scorer", "checkpoint"):
        with pytest.raises(SeqdiffError, match="unknown key"):
            read_spec({**MOLECULE, field: "/etc/passwd"})


def test_brackets_in_texts_are_not_nesting():
    assert parse_object(b'{"a": "' + b"[" * 500 + b'", "b": "\\"[[["}')["a"] == "[" * 500
    with pytest.raises(Refused, match="nested more than 64"):
        parse_object(b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}")
    assert parse_object(b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}")


def test_a_failure_inside_says_nothing_of_it_and_the_service_goes_on(client, monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL, "seqdiff.api")
    headers = {"authorization": f"Bearer {TOKEN}"}

    def broken(*_, **__):
        raise RuntimeError("a secret of the inside")

    with monkeypatch.context() as patched:
        patched.setattr("apps.api.engine.answer", broken)
        answer = client.post("/v1/generate", json=MOLECULE, headers=headers)
        assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["error"]["type"] == "internal"
        id = client.post("/v1/jobs", json=MOLECULE, headers=headers).json()["id"]
        from api_service import until

        row = until(lambda: (row := client.get(f"/v1/jobs/{id}", headers=headers).json())["state"] == "failed" and row)
        assert "secret" not in row["error"]
    assert client.post("/v1/generate", json=MOLECULE, headers=headers).status_code == 200
