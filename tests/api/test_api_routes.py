"""The routes: the same answer as from Python and the command line, jobs and their events, texts, the state of the service."""

import json

import pytest
from api_service import LONG, MOLECULE, ended, service, until

from apps.api.models import Models
from domains.design import DesignSpec, design
from seqdiff.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def client(folder):
    with service(folder) as client:
        yield client


REQUESTS = (
    MOLECULE,
    {**MOLECULE, "constraint": "count([O], 1..2) & within(gap1, avoid(N-N))", "syntax": True, "label": "zinc"},
    {**MOLECULE, "n": 2, "wishes": ["valid"], "particles": 3},
    {**MOLECULE, "sampler": "remasking", "label": "chembl", "guidance": 2.0, "temperature": 0.7},
)


def same(a: dict, b: dict) -> None:
    """Equal but for the seconds; figures of the model up to the rounding of its kernels."""
    assert a.keys() == b.keys() and a["spec"] == b["spec"] and a["summary"] == b["summary"]
    for one, other in zip(a["designs"], b["designs"], strict=True):
        assert one["sequence"] == other["sequence"] and one["certificate"]["holds"] == other["certificate"]["holds"]
        for name, value in one["metrics"].items():
            assert other["metrics"][name] == (pytest.approx(value, abs=1e-4) if isinstance(value, float) else value)


@pytest.mark.parametrize("table", REQUESTS, ids=["plain", "constrained", "wishes", "guided"])
def test_the_same_request_gives_the_same_answer_from_python_the_command_line_and_the_service(client, folder, table, capsys):
    from apps.cli.design import run

    answered = client.post("/v1/generate", json=table)
    assert answered.status_code == 200, answered.text
    path = f"{folder}/models/tiny"
    python = json.loads(json.dumps(design(DesignSpec.from_dict(table), checkpoint=load_checkpoint(path)).to_dict()))
    same(answered.json(), python)
    options = {name: value for name, value in table.items() if name != "domain"}
    run("smiles", {**options, "model": path, "spec": None, "scorer": None, "out": None, "json": True})
    printed = json.loads(capsys.readouterr().out)
    assert printed["spec"].pop("model") == path
    printed["spec"]["model"] = "tiny"
    same(answered.json(), printed)
    other = client.post("/v1/generate", json={**table, "seed": 7}).json()
    assert [d["sequence"] for d in other["designs"]] != [d["sequence"] for d in python["designs"]]


def test_a_job_has_the_answer_of_the_request(client):
    accepted = client.post("/v1/jobs", json=MOLECULE)
    assert accepted.status_code == 202 and accepted.headers["location"] == f"/v1/jobs/{accepted.json()['id']}"
    row = ended(client, accepted.json()["id"])
    assert row["state"] == "done" and row["seed"] == 0 and row["model"] == "tiny" and len(row["model_sha256"]) == 64
    same(row["result"], client.post("/v1/generate", json=MOLECULE).json())
    assert row["result"]["spec"] == row["spec"] == DesignSpec.from_dict(MOLECULE).to_dict()
    assert client.delete(f"/v1/jobs/{row['id']}").status_code == 409


def test_the_constraint_may_be_json(client):
    text = "count([O], 1..2) & within(gap1, avoid(N-N))"
    parts = [
        {"kind": "count", "tokens": ["O"], "low": 1, "high": 2},
        {"kind": "within", "region": "gap1", "part": {"kind": "avoid", "motif": "N-N"}},
    ]
    a = client.post("/v1/generate", json={**MOLECULE, "constraint": {"kind": "and", "parts": parts}}).json()
    same(a, client.post("/v1/generate", json={**MOLECULE, "constraint": text}).json())
    assert a["spec"]["constraint"] == text and all(d["sequence"].count("O") in (1, 2) for d in a["designs"])


def test_what_cannot_be_met_is_refused_with_its_reason_and_a_job_of_it_fails(client):
    table = {**MOLECULE, "constraint": "within(gap1, count([N], 9..))"}
    refused = client.post("/v1/generate", json=table)
    assert refused.status_code == 422 and "count([N], 9..)" in refused.json()["error"]["message"]
    row = ended(client, client.post("/v1/jobs", json=table).json()["id"])
    assert row["state"] == "failed" and "count([N], 9..)" in row["error"] and row["result"] is None


def test_a_key_makes_one_job(client):
    first, again = (client.post("/v1/jobs", json=MOLECULE, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    assert first.json()["id"] == again.json()["id"] and again.status_code == 202
    other = client.post("/v1/jobs", json={**MOLECULE, "seed": 3}, headers={"Idempotency-Key": "k-1"})
    assert other.status_code == 409 and "another request" in other.json()["error"]["message"]


# ── events ──


def stream(client, id: str, after: int | None = None) -> list[tuple[str, int, dict]]:
    from apps.client import events_of

    headers = {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [(event.kind, event.step, event.data) for event in events_of(answer.iter_lines(), after or 0)]


def test_events_tell_every_change_and_can_be_taken_up_anywhere(client):
    id = client.post("/v1/jobs", json={**MOLECULE, "batch_size": 2}).json()["id"]
    seen = stream(client, id)
    assert [step for kind, step, _ in seen if kind == "step"] == list(range(1, len(seen)))
    rows: dict[int, dict[int, str | None]] = {}
    for kind, _, data in seen:
        for row in data["changed"] if kind == "step" else ():
            rows.setdefault(row["index"], {}).update({int(i): token for i, token in row["positions"].items()})
    assert seen[-1][0] == "end" and seen[-1][2]["state"] == "done"
    from domains.smiles.tokens import tokenize

    assert len(rows) == 4
    for design_ in seen[-1][2]["designs"]:  # the last pass's draws come with the end, the rest has been told
        told, tokens = rows[design_["index"]], tokenize(design_["sequence"])
        assert sorted(told) == list(range(len(tokens)))
        assert all(told[i] in (token, None) for i, token in enumerate(tokens))
    assert any(None in told.values() for told in rows.values())
    assert stream(client, id, 3) == [event for event in seen if event[1] > 3 or event[0] == "end"]
    again = client.post("/v1/jobs", json={**MOLECULE, "batch_size": 2}).json()["id"]
    assert stream(client, again) == seen, "steps are the same whenever the job runs"


def test_old_steps_that_are_not_kept_come_as_whole_rows(client, monkeypatch):
    monkeypatch.setattr("apps.api.events.KEPT", 12)
    id = client.post("/v1/jobs", json=MOLECULE).json()["id"]
    ended(client, id)
    kind, step, data = stream(client, id)[0]
    assert kind == "rows" and step > 1 and all("0" in row["positions"] for row in data["changed"])


def test_a_job_that_is_cancelled_stops_within_two_steps(client):
    id = client.post("/v1/jobs", json=LONG).json()["id"]
    log = until(lambda: client.app.state.service.logs.get(id))
    until(lambda: log.step >= 3)
    answered = client.delete(f"/v1/jobs/{id}")
    at = log.step
    assert answered.status_code == 200 and answered.json()["state"] == "cancelled"
    assert client.delete(f"/v1/jobs/{id}").status_code == 200, "twice is the same"
    seen = stream(client, id)
    assert log.step <= at + 2 and seen[-1][2]["state"] == "cancelled"
    until(lambda: client.app.state.service.jobs.idle)
    assert client.get(f"/v1/jobs/{id}").json()["result"] is None


def test_a_request_has_its_time_and_a_full_line_says_when_to_ask_again(tmp_path_factory):
    from concurrent.futures import ThreadPoolExecutor

    with service(tmp_path_factory.mktemp("small"), seconds=1.0, active=1, waiting=1) as small, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(small.post, "/v1/generate", json={**LONG, "steps": 900, "seed": k}) for k in range(3)]
        answers = {future.result().status_code: future.result() for future in asked}
        assert "took more than 1 s" in answers[422].json()["error"]["message"]
        assert int(answers[429].headers["retry-after"]) > 0
        until(lambda: small.app.state.service.engine.load == 0)


def test_a_request_whose_constraint_takes_too_long_to_read_is_answered_in_time(tmp_path_factory, monkeypatch):
    import threading

    go = threading.Event()
    with service(tmp_path_factory.mktemp("late"), seconds=0.3) as late:
        monkeypatch.setattr("apps.api.routes.LATE", 0.1)
        monkeypatch.setattr("apps.api.plans.prepare", lambda *_: go.wait(30))
        answer = late.post("/v1/generate", json=MOLECULE)
        go.set()
    assert answer.status_code == 422 and "took more than 0.3 s" in answer.json()["error"]["message"]


# ── texts ──


def test_completion_and_infill_as_an_openai_client_expects_them(client):
    asked = {"model": "text-small", "prompt": "the mill is", "max_tokens": 5, "n": 3, "seed": 4}
    answer = client.post("/v1/completions", json=asked).json()
    assert answer["object"] == "text_completion" and [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    for choice in answer["choices"]:
        assert not choice["text"].startswith("the mill is")
        assert choice["finish_reason"] in ("length", "stop") and choice["logprobs"] is None
    made = answer["usage"]["completion_tokens"]
    assert 3 <= made <= 15 and answer["usage"]["prompt_tokens"] == 3
    table = {"domain": "text", "template": "the mill is {1-5}", "n": 3, "seed": 4, "bound_draws": 0}
    whole = client.post("/v1/generate", json=table).json()["designs"]
    assert ["the mill is" + choice["text"] for choice in answer["choices"]] == [item["sequence"] for item in whole]
    filled = client.post("/v1/infill", json={**asked, "suffix": "by zizzi"}).json()["choices"]
    table["template"] = "the mill is {1-5} by zizzi"
    whole = client.post("/v1/generate", json=table).json()["designs"]
    assert [f"the mill is{choice['text']}by zizzi" for choice in filled] == [item["sequence"] for item in whole]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"model": "text-large"}, 404, "there is no text-large here"),
        ({"stream": True}, 422, "texts come whole"),
        ({"logit_bias": {}}, 422, "logit_bias: not a field"),
        ({"max_tokens": 0}, 422, "max_tokens: expected"),
        ({"prompt": ["a", "b"]}, 422, "expected texts"),
        ({"model": "tiny"}, 422, "expected one of text, got 'tiny'"),
        ({"prompt": "the mill Ω"}, 422, "is not among the model's characters"),
    ],
)
def test_what_a_completion_cannot_be(client, change, status, message):
    answer = client.post("/v1/completions", json={"model": "text-small", "prompt": "the mill", **change})
    assert answer.status_code == status and message in answer.json()["error"]["message"]


def test_infill_needs_a_suffix_and_templates_are_escaped(client):
    assert client.post("/v1/infill", json={"model": "text-small", "prompt": "the"}).status_code == 422
    answer = client.post("/v1/completions", json={"model": "text-small", "prompt": "the {9999} [food] _"})
    assert answer.status_code == 422 and "'{'" in answer.json()["error"]["message"], "braces of a prompt are letters"


# ── what there is ──


def test_models_constraints_and_the_state_of_the_service(client):
    rows = {row["id"]: row for row in client.get("/v1/models").json()["data"]}
    assert rows["tiny"]["classes"] == ["zinc", "chembl"] and "ancestral" in rows["tiny"]["samplers"]
    bundled = Models([], ("smiles-qed", "protein-random"))
    bundled.load()
    assert bundled.names == ["protein-random"], "a regressor designs nothing"
    from constraints.language.kinds import KINDS
    from constraints.language.notation import from_json

    kinds = client.get("/v1/constraints").json()["kinds"]
    assert kinds.keys() == KINDS.keys()
    for kind in kinds.values():
        assert str(from_json(kind["json"])) == kind["example"]
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["models"] == sorted(rows)


def test_metrics_are_counted_and_their_labels_bounded(client):
    for k in range(5):
        client.get(f"/v1/secret-{k}")
        client.request("BREW", "/v1/models")
    text = client.get("/metrics").text
    assert 'seqdiff_requests_total{method="POST",route="/v1/generate",status="200"}' in text
    assert 'route="other",status="404"' in text and "secret" not in text and "BREW" not in text
    assert "seqdiff_passes " in text and "seqdiff_designs_total" in text


def test_logs_hold_no_sequence_unless_asked(client, caplog, tmp_path_factory):
    caplog.set_level("INFO", "seqdiff.api")
    client.post("/v1/generate", json=MOLECULE)
    line = json.loads(caplog.messages[-1])
    assert line["route"] == "/v1/generate" and line["status"] == 200 and line["n"] == 4 and "denoiser" in line
    assert "C1CC1N" not in caplog.text
    with service(tmp_path_factory.mktemp("shown"), show_sequences=True) as shown:
        shown.post("/v1/generate", json=MOLECULE)
    assert MOLECULE["template"] in caplog.text


def test_openapi_describes_every_route_with_examples(client):
    document = client.get("/openapi.json").json()
    assert {"/v1/generate", "/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/events", "/metrics"} <= document["paths"].keys()
    for path in ("/v1/generate", "/v1/jobs", "/v1/completions", "/v1/infill"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"]["additionalProperties"] is False and content["examples"]


def test_a_service_starts_though_its_first_request_takes_too_long(tmp_path_factory, monkeypatch):
    from concurrent.futures import Future

    from apps.api.engine import Engine
    from apps.api.passes import Stopped

    def late(*_, **__):
        future = Future()
        future.set_exception(Stopped("time"))
        return type("Late", (), {"future": future})

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "submit", late)
        with service(tmp_path_factory.mktemp("slow")) as slow:
            assert slow.get("/readyz").status_code == 200


def test_the_examples_are_answered(client):
    from apps.api.schema import EXAMPLES

    for name in ("molecule", "constrained"):
        answer = client.post("/v1/generate", json={**EXAMPLES[name]["value"], "model": "tiny", "n": 2, "steps": 8})
        assert answer.status_code == 200, answer.text
