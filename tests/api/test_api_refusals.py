"""Sixty requests that must be refused: each with its 4xx, in the one shape of errors, none an answer of 5xx."""

import json

import pytest
from api_service import MOLECULE, service

G, J, C, I = "/v1/generate", "/v1/jobs", "/v1/completions", "/v1/infill"  # noqa: E741
TEXT = {"model": "text-small", "prompt": "the mill"}


def m(**change) -> str:
    return json.dumps({**MOLECULE, **change})


def raw(text: str) -> str:
    """A number in a place where JSON's own writer would not put it."""
    return m(temperature=0.5).replace("0.5", text)


BODIES: list[tuple[str, str | bytes, int, str]] = [
    # not JSON, or more than JSON may be
    (G, "", 422, "expected JSON"),
    (G, "{", 422, "expected JSON"),
    (G, "[]", 422, "expected a JSON object"),
    (G, "null", 422, "expected a JSON object"),
    (G, '"text"', 422, "expected a JSON object"),
    (G, "{'domain': 'smiles'}", 422, "expected JSON"),
    (G, m() + "}", 422, "expected JSON"),
    (G, b'{"domain": "\xff\xfe"}', 422, "expected UTF-8"),
    (G, b'\xef\xbb\xbf{"domain": "smiles"}', 422, "expected JSON"),
    (G, '{"domain": "\\ud800"}', 422, "lone surrogate"),
    (G, raw("NaN"), 422, "finite"),
    (G, raw("Infinity"), 422, "finite"),
    (G, raw("-Infinity"), 422, "finite"),
    (G, raw("1e999"), 422, "finite"),
    (G, m(n=1).replace('"n": 1', '"n": ' + "9" * 5000), 422, "too many digits"),
    (G, m(seed=10**400), 422, "seed"),
    (G, '{"a":' * 5000 + "1" + "}" * 5000, 422, "deep"),
    (G, "[" * 100_000, 422, "deep"),
    (J, '{"a":' * 70 + "1" + "}" * 70, 422, "deep"),
    (G, '{"template": "' + "C" * 1_100_000 + '"}', 413, "at most 1,048,576 octets"),
    # fields
    (G, "{}", 422, "domain"),
    (G, m(domain="music"), 422, "domain: expected one of"),
    (G, m(domain=None), 422, "domain"),
    (G, m(color="red"), 422, "color: unknown key"),
    (G, m(n="4"), 422, "n: expected int"),
    (G, m(n=True), 422, "n: expected int"),
    (G, m(n=1.5), 422, "n: expected int"),
    (G, m(n=0), 422, "n: expected 1"),
    (G, m(n=-1), 422, "n: expected 1"),
    (G, m(n=65), 422, "n: expected at most 64 here"),
    (J, m(n=1001), 422, "n: expected at most 1,000 in a job"),
    (G, m(steps=1001), 422, "steps: expected at most 1,000"),
    (G, m(particles=65), 422, "particles: expected at most 64"),
    (G, m(bound_draws=33), 422, "bound_draws: expected at most 32"),
    (G, m(seed=-1), 422, "seed: expected 0"),
    (G, m(seed=2**63), 422, "seed: expected 0"),
    (G, m(temperature=0), 422, "temperature: expected more than 0"),
    (G, m(top_p=1.5), 422, "top_p: expected"),
    (G, m(guidance=21), 422, "guidance: expected 0 to 20"),
    (G, m(guidance=2), 422, "expected a label"),
    (G, m(sampler="fastest"), 422, "sampler: expected one of"),
    (G, m(sampler="embedded-ddim"), 422, "does not work on the Absorbing process"),
    (G, m(label="aliens"), 422, "class: expected one of"),
    (G, m(wishes="valid"), 422, "wishes: expected a list"),
    (G, m(wishes=["valid"] * 17), 422, "wishes: expected at most 16"),
    (G, m(wishes=["score dock >= 0.5"]), 422, "has no scorers"),
    (G, m(wishes=["happy >= 1"]), 422, "wish: expected"),
    (G, m(wishes=["valid"], particles=1), 422, "particles: expected at least 2"),
    (G, m(task="linker", template=None), 422, "needs what is drawn"),
    (G, m(lengths=[1, 2]), 422, "is of a task"),
    # templates and constraints
    (G, m(template="C1CC{3}"), 422, "ring"),
    (G, m(template="CC{5-3}"), 422, "{5-3}"),
    (G, m(template="CXC{3}"), 422, "X"),
    (G, m(template="C" * 1001), 422, "at most 1,000 characters"),
    (G, m(template="C{9000}"), 422, "template"),
    (G, m(template="C{35}", n=64, steps=1000, particles=64), 422, "n · particles · length · steps"),
    (G, m(constraint="count([O]"), 422, "count"),
    (G, m(constraint="avod(N-N)"), 422, "did you mean avoid"),
    (G, m(constraint="(" * 100 + "avoid(N-N)" + ")" * 100), 422, "deep"),
    (G, m(constraint={"kind": "magic"}), 422, "unknown kind 'magic'"),
    (G, m(constraint={"kind": "count", "tokens": ["O"]}), 422, "missing"),
    (G, m(constraint="length(" + "9" * 30_000 + ")"), 422, "at most 20,000 characters"),
    # models: names, never paths or addresses
    (G, m(model="tinier"), 404, "there is no tinier here"),
    (G, m(model="http://example.org/m"), 422, "model: expected the name"),
    (G, m(model=""), 422, "model: expected the name"),
    (G, json.dumps({"domain": "text", "model": "tiny"}), 422, "expected one of text, got 'tiny'"),
    # texts
    (C, json.dumps({**TEXT, "max_tokens": 513}), 422, "max_tokens"),
    (C, json.dumps({**TEXT, "temperature": -1}), 422, "temperature"),
    (C, json.dumps({"prompt": "the mill"}), 422, "model: expected"),
    (I, json.dumps({**TEXT, "suffix": " "}), 422, "suffix: expected"),
]
INFEASIBLE = [m(constraint="within(gap1, count([N], 9..))"), m(constraint="avoid(F) & contains(F)"), m(constraint="length(3)")]
PATHS = [
    "..",
    "../..",
    "/etc/passwd",
    "./tiny",
    "tiny/../tiny",
    "..\\tiny",
    "tiny\x00",
    "%2e%2e%2f",
    "~/tiny",
    "file:tiny",
    "tiny\n",
]
PATHS += [
    f"{up}{file}" for up in ("../" * k for k in range(1, 6)) for file in ("tiny", "etc/passwd", "models/tiny", "config.json")
]
PATHS += [
    "TINY",
    "-tiny",
    ".tiny",
    "_tiny",
    "a" * 65,
    "tiny ",
    " tiny",
    "tíny",
    "ｔiny",
    "tiny;ls",
    "$(ls)",
    "`ls`",
    "tiny|x",
    "C:\\tiny",
]
PATHS += ["\\\\host\\tiny", "//host/tiny", "tiny?x", "tiny#x", "tiny%00"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with service(tmp_path_factory.mktemp("refusals")) as client:
        yield client


def refused(answer, status: int, message: str) -> None:
    assert answer.status_code == status, answer.text[:400]
    error = answer.json()["error"]
    assert error.keys() == {"type", "message", "status"} and error["status"] == status
    assert message in error["message"]


@pytest.mark.parametrize(("path", "body", "status", "message"), BODIES, ids=range(len(BODIES)))
def test_bad_bodies(client, path, body, status, message):
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    refused(answer, status, message)


def test_there_are_sixty_and_all_leave_the_service_as_it_was(client):
    assert len(BODIES) >= 60
    ready = client.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert ready.json()["jobs"]["queued"] == 0
    assert client.post(G, json=MOLECULE).status_code == 200


@pytest.mark.parametrize("body", INFEASIBLE)
def test_what_cannot_be_met(client, body):
    refused(client.post(G, content=body, headers={"content-type": "application/json"}), 422, "")


def test_fifty_paths_in_place_of_a_model(client):
    assert len(set(PATHS)) >= 50
    for name in PATHS:
        answer = client.post(G, json={**MOLECULE, "model": name})
        refused(answer, 422, "model: expected the name of a model")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "message"),
    [
        ("GET", "/nothing", {}, 404, "nothing at this path"),
        ("GET", "/v1/generate", {}, 405, "GET is not for this path"),
        ("PUT", "/v1/jobs", {}, 405, "PUT is not for this path"),
        ("POST", G, {"content-type": "text/plain"}, 415, "application/json"),
        ("POST", G, {}, 415, "application/json"),
        ("GET", "/v1/jobs/0", {}, 404, "no job of that id"),
        ("GET", "/v1/jobs/" + "0" * 32, {}, 404, "no job of that id"),
        ("GET", "/v1/jobs/" + "0" * 32 + "/events", {}, 404, "no job of that id"),
        ("DELETE", "/v1/jobs/..%2f..%2fx", {}, 404, ""),
        ("GET", "/v1/jobs/0/events", {"last-event-id": "x"}, 422, "Last-Event-ID"),
        ("GET", "/v1/jobs/0/events", {"last-event-id": "9" * 30}, 422, "Last-Event-ID"),
        ("GET", "/v1/models", {"host": "evil.example"}, 421, "127.0.0.1"),
        ("POST", J, {"content-type": "application/json", "idempotency-key": "a b"}, 422, "Idempotency-Key"),
    ],
)
def test_bad_requests_besides_their_bodies(client, method, path, headers, status, message):
    refused(client.request(method, path, content="{}" if method == "POST" else None, headers=headers), status, message)
