import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from constraints.automata.regex import regex
from constraints.compilation import child as child_process
from constraints.compilation import guard
from constraints.compilation.guard import guarded, guarded_regex
from constraints.grammars.grammar_reader import read_grammar
from seqdiff.errors import ConditionError

AB = ("a", "b")
PATHOLOGICAL = "(a|b)*a(a|b){16}"


@pytest.fixture
def child():
    """A process of the guard's own, ended afterwards."""
    guard.close()
    yield
    guard.close()


@pytest.fixture
def compilers(tmp_path, monkeypatch):
    """A module that the child can import: compilers that misbehave, and one that says in which process it ran."""
    (tmp_path / "misbehaving.py").write_text(
        textwrap.dedent("""
            import os, sys, time
            from constraints.automata.automaton import everything
            from constraints.automata.regular import length

            def sleeps(text, tokens): time.sleep(60)
            def naps(text, tokens):
                time.sleep(float(text))
                return everything(len(tokens))
            def spins(text, tokens):
                while True: pass
            def spins_in_c(text, tokens): return 3 ** 10**9
            def hoards(text, tokens): return [bytearray(1 << 20) for _ in range(600)]
            def dies(text, tokens): os._exit(7)
            def kills_itself(text, tokens): os.kill(os.getpid(), 9)
            def raises(text, tokens): raise KeyError("lost")
            def prints(text, tokens):
                print("noise"); sys.stdout.flush()
                return everything(len(tokens))
            def modules(text, tokens): return length(1, int(text in sys.modules))
            def process(text, tokens): return length(1, os.getpid() % 1000, os.getpid() % 1000)
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    guard.close()
    yield
    guard.close()


def the_length(automaton):
    return min(automaton.lengths(1000))


def test_it_compiles_what_regex_compiles(child):
    for pattern in ("(ab)*", "a|b", "[^a]{2,5}", ""):
        assert guarded_regex(pattern, AB, seconds=30).equivalent(regex(pattern, AB))


def test_a_refusal_comes_back_as_it_was(child):
    with pytest.raises(ConditionError) as outside:
        guarded_regex("a(?=b)", AB, seconds=30)
    with pytest.raises(ConditionError) as inside:
        regex("a(?=b)", AB)
    assert str(outside.value) == str(inside.value)
    assert "lookahead" in str(outside.value)


@pytest.mark.parametrize("name", ["sleeps", "spins", "spins_in_c"])
def test_what_takes_too_long_is_ended(compilers, name):
    began = time.monotonic()
    with pytest.raises(ConditionError, match=f"{name} 'x': compiling it takes more than 0.1 seconds; simplify it or split it"):
        guarded(f"misbehaving:{name}", "x", AB, seconds=0.1)
    assert time.monotonic() - began < 30  # a hang would be 60 seconds, or for ever
    assert guard._worker.child is None
    assert guarded_regex("a", AB, seconds=30).lengths(3) == {1}


def test_seconds_are_those_of_the_processor(compilers, monkeypatch):
    """A child that waits, as one does on a busy machine, is not late; one that computes is ended by its own timer."""
    monkeypatch.setattr(child_process, "_PATIENCE", 300.0)
    assert guarded("misbehaving:naps", "0.5", AB, seconds=0.2).vocabulary == 2
    assert guard._worker.child is not None, "the timer must not go on after the answer"
    process = guard._worker.child.process
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(ConditionError, match="takes more than 0.3 seconds"):
        guarded("misbehaving:spins", "x", AB, seconds=0.3)
    assert process.returncode == -signal.SIGPROF
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime > 0.29


def test_a_parent_that_ignores_the_timer_does_not_pass_that_on(compilers, monkeypatch):
    monkeypatch.setattr(child_process, "_PATIENCE", 300.0)
    usual = signal.signal(signal.SIGPROF, signal.SIG_IGN)
    try:
        guarded("misbehaving:naps", "0", AB, seconds=30)
        assert guard._worker.child is not None
        process = guard._worker.child.process
        with pytest.raises(ConditionError, match="takes more than 0.1 seconds"):
            guarded("misbehaving:spins", "x", AB, seconds=0.1)
        assert process.returncode == -signal.SIGPROF
    finally:
        signal.signal(signal.SIGPROF, usual)


def test_without_a_timer_the_wall_decides(compilers, monkeypatch):
    guarded("misbehaving:naps", "0", AB, seconds=30)
    monkeypatch.setattr(child_process, "_TIMED", False)
    monkeypatch.setattr(child_process, "_PATIENCE", 1.0)
    with pytest.raises(ConditionError, match="takes more than 0.2 seconds"):
        guarded("misbehaving:naps", "5", AB, seconds=0.2)
    monkeypatch.setattr(child_process.signal, "setitimer", lambda *arguments: pytest.fail("there is no timer"))
    child_process._limit_time(1.0)


def test_memory_is_limited(compilers):
    with pytest.raises(ConditionError, match="hoards 'x': compiling it needs more than 256 MB"):
        guarded("misbehaving:hoards", "x", AB, seconds=30, megabytes=256)
    assert guard._worker.child is None
    assert guarded_regex("a", AB, seconds=30).lengths(3) == {1}


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("dies", r"crashed \(exit status 7\)"),
        ("kills_itself", r"crashed \(exit status -9\)"),
        ("raises", "failed with KeyError: 'lost'"),
    ],
)
def test_a_crash_is_answered(compilers, name, trouble):
    with pytest.raises(ConditionError, match=f"{name} 'x': compiling it {trouble}"):
        guarded(f"misbehaving:{name}", "x", AB, seconds=30)
    assert guarded_regex("a", AB, seconds=30).lengths(3) == {1}


def test_what_is_printed_does_not_mix_with_the_answer(compilers):
    assert guarded("misbehaving:prints", "x", AB, seconds=30).lengths(2) == {0, 1, 2}


def test_the_child_is_warm_and_knows_no_torch(compilers):
    first = the_length(guarded("misbehaving:process", "1", AB, seconds=30))
    assert the_length(guarded("misbehaving:process", "2", AB, seconds=30)) == first
    assert guard._worker.child is not None
    assert first == guard._worker.child.process.pid % 1000 != os.getpid() % 1000
    assert the_length(guarded("misbehaving:modules", "numpy", AB, seconds=30)) == 1
    assert the_length(guarded("misbehaving:modules", "torch", AB, seconds=30)) == 0


def test_an_interrupted_request_leaves_no_answer_behind(child, monkeypatch):
    guarded_regex("a", AB, seconds=30)
    interrupted = guard._worker.child
    monkeypatch.setattr(child_process.Child, "_line", lambda self, until: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        guarded_regex("bb", AB, seconds=30)
    monkeypatch.undo()
    assert interrupted is not None
    assert interrupted.process.poll() is not None
    assert guarded_regex("bbb", AB, seconds=30).lengths(5) == {3}


def test_automata_are_remembered_and_few(child):
    first = guarded_regex("a{1}", AB, seconds=30)
    assert guarded_regex("a{1}", AB, seconds=30) is first
    assert guarded_regex("a{1}", ("a", "c"), seconds=30) is not first
    assert guarded_regex("a{1}", ("ab",), seconds=30).is_empty
    for n in range(guard.REMEMBERED):
        guarded_regex(f"b{{{n}}}", AB, seconds=30)
    assert len(guard._remembered) == guard.REMEMBERED
    assert guarded_regex("a{1}", AB, seconds=30) is not first  # the one unused for longest was forgotten


def test_the_pathological_pattern_is_refused_in_256_megabytes(child):
    with pytest.raises(
        ConditionError, match=r"regex '\(a\|b\)\*a\(a\|b\)\{16\}' needs more than 50,000 states; narrow or shorten"
    ):
        guarded_regex(PATHOLOGICAL, AB, seconds=30, megabytes=256)
    small = guarded_regex("(a|b)*a(a|b){6}", AB, seconds=30)
    assert small.states == 2**7
    for word in itertools.product(range(2), repeat=8):
        assert small.accepts(word) == bool(re.fullmatch("[ab]*a[ab]{6}", "".join(AB[v] for v in word)))


def test_the_child_ends_with_its_parent():
    package = os.path.dirname(os.path.dirname(guard.__file__))
    boot = child_process._BOOT.format(path=sys.path, folder=package, modules=())
    script = boot.replace(
        "from constraints.compilation.child import serve\nserve(())",
        "from constraints.compilation import guard\n"
        "guard.guarded_regex('a', ('a',), 30)\nprint(guard._worker.child.process.pid)",
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_a_grammar_is_read_in_the_child_too():
    text = 'start: "A" start "B" |'
    made = guard.guarded_grammar(text, ("A", "B"))
    read = read_grammar(text, ("A", "B"))
    assert np.array_equal(made.lexical, read.lexical) and np.array_equal(made.binary, read.binary) and made.nullable is True
    with pytest.raises(ConditionError, match="lark cannot read it"):
        guard.guarded_grammar("start: (", ("A", "B"))
