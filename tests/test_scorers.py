"""Scorers that a caller names: functions and services, their failures, and that a text alone reaches nothing."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from domains.protein.wishes import read_wish as read_protein_wish
from domains.scorers import BATCH, Service, read_scorers, scorer, scorers
from domains.smiles.wishes import guide_of, read_wish
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError, ConfigError

NEVER = -float("inf")


def lengths(sequences):
    return [len(text) for text in sequences]


no_function = 3


@contextmanager
def service(answer):
    """An HTTP server on this machine. answer: sequences → (status, body, headers)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body["sequences"])
            status, text, headers = answer(body["sequences"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/score", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def scored(sequences):
    return 200, json.dumps({"scores": lengths(sequences)}).encode(), {}


def test_a_service_is_asked_for_canonical_molecules_once_and_never_for_what_is_none():
    with service(scored) as (url, asked), scorers({"size": url}):
        weigh = read_wish("score size >= 4 * 0.1").weigher()
        assert weigh(["OCC", "CC(", "C1CC", "CCCCC"]) == pytest.approx([-1.0, NEVER, NEVER, 0.0])
        assert weigh(["CCO", "CCCCC"]) == pytest.approx([-1.0, 0.0])
    assert asked == [["CCO", "CCCCC"]]


def test_a_wish_keeps_its_scorer_after_the_with_and_calls_are_batched():
    calls = []
    with scorers({"size": lambda sequences: calls.append(len(sequences)) or lengths(sequences)}):
        guide = guide_of("score size <= 9 * inf", Alphabet("smiles", ("C", "O")), lambda *_: None)
        weigh = read_wish("score size >= 1").weigher()
    chains = ["C" * n for n in range(1, BATCH + 2)]
    assert weigh(chains) == [0.0] * len(chains) and calls == [BATCH, 1]
    rows = torch.tensor([[0] * 9, [0] * 8 + [1]])
    x_t, positions = torch.tensor([[0, 2]]), torch.tensor([[0, 1]])
    p = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
    assert guide.log_tilt(x_t, torch.ones(1), positions, p)[1].tolist() == [0.0] and calls == [
        BATCH,
        1,
    ]  # asked at the end alone
    assert guide.final(rows).tolist() == [0.0, 0.0]
    assert guide.final(torch.tensor([[0] * 10])).tolist() == [NEVER]


def test_null_is_never_returned_and_proteins_are_scored_as_they_are():
    with scorers({"first": lambda sequences: [None if text[0] == "M" else 1 for text in sequences]}):
        weigh = read_protein_wish("score first >= 1").weigher()
        assert weigh(["MK", "KM/A", "MX", "AX"]) == [NEVER, 0.0, NEVER, NEVER]


def test_only_what_the_caller_named_can_be_asked():
    for text in ("score os:getcwd >= 1", "score http://127.0.0.1:1/ >= 1", "score size >= 1"):
        with pytest.raises(ConditionError, match="no scorers were given, so 'score"):
            read_wish(text).weigher()
    with scorers({"size": lengths}):
        for text in ("score os:getcwd >= 1", "score http://127.0.0.1:1/ >= 1", "score Size >= 1"):
            with pytest.raises(ConditionError, match="expected one of the scorers size; got"):
                read_wish(text).weigher()
        seen = []

        def other():
            try:
                seen.append(scorer("size"))
            except ConditionError as error:
                seen.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert isinstance(seen[0], ConditionError)  # another thread was given none
        with scorers({}), pytest.raises(ConditionError, match="no scorers were given"):
            scorer("size")
        assert scorer("size").name == "size"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda sequences: 1 / 0, r"scorer 'it': failed on 2 sequences \(ZeroDivisionError"),
        (lambda sequences: 3, "scorer 'it': failed on 2 sequences .*not iterable"),
        (lambda sequences: [1], "scorer 'it': expected 2 scores, one a sequence, got 1"),
        (lambda sequences: [1, float("nan")], "expected a finite number or null for CCO, got nan"),
        (lambda sequences: ["1", 1], "expected a finite number or null for CC, got 1"),
        (lambda sequences: [True, 1], "expected a finite number or null for CC, got True"),
        (lambda sequences: [[1], 1], r"expected a finite number or null for CC, got \[1\]"),
        (lambda sequences: [1, 10**400], "expected a finite number or null for CCO, got 1000"),
    ],
)
def test_a_function_that_fails_says_so(function, message):
    with scorers({"it": function}), pytest.raises(ConditionError, match=message):
        read_wish("score it >= 1").weigher()(["CC", "OCC"])


@pytest.mark.parametrize(
    ("status", "body", "headers", "message"),
    [
        (500, b"no", {}, r"http://127.0.0.1:\d+/score answered with status 500 \(Internal Server Error\)"),
        (302, b"", {"Location": "http://127.0.0.1:1/"}, "answered with status 302"),
        (200, b"<html>", {}, r"""expected \{"scores": \[0.7, …\]\} of .*, got '<html>'"""),
        (200, b'{"scores": 1}', {}, "expected .* got '.\"scores\": 1.'"),
        (200, b"[1]", {}, r"expected .* got '\[1\]'"),
        (200, b"\xff\xfe", {}, "expected .* got"),
        (200, b"[" * 100_000, {}, "expected .* got"),
        (200, b'{"scores": [1]}', {}, "scorer 'it': expected 2 scores, one a sequence, got 1"),
        (200, b'{"scores": [1, NaN]}', {}, "expected a finite number or null for CCO, got nan"),
        (200, b'{"scores": [1, 1e999]}', {}, "expected a finite number or null for CCO, got inf"),
        (200, b" " * (1 << 20) + b"!", {}, "answered with more than 1,048,576 octets to 2 sequences"),
    ],
)
def test_a_service_that_fails_says_so(status, body, headers, message):
    with (
        service(lambda _: (status, body, headers)) as (url, _),
        scorers({"it": url}),
        pytest.raises(ConditionError, match=message),
    ):
        read_wish("score it >= 1").weigher()(["CC", "OCC"])


def test_a_service_that_is_not_there_or_does_not_answer():
    with service(scored) as (url, _):
        pass
    with pytest.raises(ConditionError, match=f"could not ask {url}: .*refused.*; is the service running"):
        Service(url)(["C"])
    late = threading.Event()
    with service(lambda _: (late.wait(5) and 200, b"", {})) as (url, _):
        with pytest.raises(ConditionError, match=r"could not ask .*: no answer in 0.2 seconds"):
            Service(url, seconds=0.2)(["C"])
        late.set()


@pytest.mark.parametrize(
    "what",
    [
        "ftp://host/x",
        "http://",
        "file:///etc/passwd",
        "localhost:8000",
        "http://me:word@host/",
        "http://host:x/",
        "http://a b/",
    ],
)
def test_addresses_that_cannot_be_are_refused(what):
    with pytest.raises(ConfigError, match="expected an address such as http://localhost:8000/score"), scorers({"it": what}):
        pass


def test_names_and_functions_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="expected a name of letters, digits"), scorers({"../x": lengths}):
        pass
    with pytest.raises(ConfigError, match="expected a function or an address for 'it', got int"), scorers({"it": 3}):  # type: ignore[dict-item]
        pass


def test_scorers_of_the_command_line():
    found = read_scorers([f"size={__name__}:lengths", "dock=https://host:8000/score?target=a"])
    assert found["dock"] == Service("https://host:8000/score?target=a")
    with scorers(found):
        assert read_wish("score size <= 3").weigher()(["CC", "CCCC"]) == pytest.approx([0.0, -40.0])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["size"], "expected NAME=URL or NAME=module:function, got 'size'"),
        (["a b=x:y"], "expected NAME=URL"),
        (["a=x:y", "a=x:y"], "cannot import x:y"),
        (["a=json:dumps", "a=json:dumps"], "'a' is given twice"),
        (["a=json"], "expected module:function or an address with ://, got 'json'"),
        (["a=json:dumps()"], "expected module:function"),
        (["a=no_such_module:x"], "cannot import no_such_module:x"),
        (["a=json:no_such"], "cannot import json:no_such"),
        ([f"a={__name__}:no_function"], "is no function but int"),
        (["a=ftp://host"], "expected an address such as"),
    ],
)
def test_scorers_that_cannot_be_read(texts, message):
    with pytest.raises(ConfigError, match=message):
        read_scorers(texts)
