"""What goes over the pipes of a warm server, and what becomes of servers; none is started."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_convex_eval.toolchain import sharing
from pytest_convex_eval.toolchain.lint.oxlint_server import Linted
from pytest_convex_eval.toolchain.servers import pipes as pipes_module
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError, Pipes, TooLongError
from pytest_convex_eval.toolchain.servers.tsapi import Checked
from pytest_convex_eval.toolchain.servers.tsapi_wire import Wire
from pytest_convex_eval.toolchain.servers.warm import WarmServer
from pytest_convex_eval.toolchain.sharing import Guest, Pool
from tests.patience import HANG_SECONDS

LONG = HANG_SECONDS


@dataclass
class Both:
    """Our end of two pipes, and the server's."""

    pipes: Pipes
    asked: int
    answers: int

    def answer(self, data: bytes) -> None:
        os.write(self.answers, data)

    def end(self) -> None:
        os.close(self.answers)

    def read_to(self, mark: bytes, most_bytes: int = 100) -> bytes:
        until = time.monotonic() + LONG
        return self.pipes.read_to(mark, most_bytes=most_bytes, until=until, spent=lambda: False)


@pytest.fixture
def both() -> Iterator[Both]:
    asked, requests = os.pipe()
    answers, told = os.pipe()
    with os.fdopen(requests, "wb") as out, os.fdopen(answers, "rb") as back:
        yield Both(Pipes(out, back), asked, told)
    for end in (asked, told):
        try:
            os.close(end)
        except OSError:
            assert end == told


def test_what_comes_before_a_mark_is_taken_with_it(both: Both) -> None:
    both.answer(b"one--two--three")
    assert both.read_to(b"--") == b"one"
    assert both.read_to(b"--") == b"two"
    both.answer(b"--")
    assert both.read_to(b"--") == b"three"


def test_a_mark_that_comes_in_parts_is_seen(both: Both) -> None:
    both.answer(b"one-")
    # It has been read and searched before the rest comes.
    with pytest.raises(NoAnswerError, match="too long") as caught:
        both.pipes.read_to(b"-+-", most_bytes=100, until=LONG, spent=lambda: True)
    assert not caught.value.broken
    both.answer(b"+")
    both.answer(b"-two")
    # Who does not see it now waits no longer.
    both.end()
    assert both.read_to(b"-+-") == b"one"
    assert both.pipes.read(3, until=0.0, spent=lambda: False) == b"two"


def test_so_many_bytes_are_read_and_the_rest_stays(both: Both) -> None:
    both.answer(b"12345")
    assert both.pipes.read(2, until=time.monotonic() + LONG, spent=lambda: False) == b"12"
    assert both.pipes.read(3, until=time.monotonic() + LONG, spent=lambda: False) == b"345"
    assert both.pipes.read(0, until=0.0, spent=lambda: False) == b""


def test_more_than_an_answer_may_hold_is_not_the_servers_fault(both: Both) -> None:
    both.answer(b"x" * 101)
    with pytest.raises(TooLongError) as caught:
        both.read_to(b"--", most_bytes=100)
    assert not caught.value.broken


def test_as_much_as_an_answer_may_hold_is_read(both: Both) -> None:
    both.answer(b"x" * 100)
    both.answer(b"--")
    assert both.read_to(b"--", most_bytes=100) == b"x" * 100


def test_a_time_that_has_come_gives_no_answer(both: Both) -> None:
    with pytest.raises(NoAnswerError, match="took too long") as caught:
        both.pipes.read(1, until=time.monotonic() - 1, spent=lambda: False)
    assert not caught.value.broken


def test_what_has_come_is_read_though_the_time_has_too(both: Both) -> None:
    both.answer(b"x")
    assert both.pipes.read(1, until=time.monotonic() - 1, spent=lambda: True) == b"x"


def test_a_server_that_has_ended_is_to_blame(both: Both) -> None:
    both.answer(b"half")
    assert not both.pipes.at_end()
    both.end()
    with pytest.raises(NoAnswerError, match="the server ended") as caught:
        both.read_to(b"--")
    assert caught.value.broken
    assert both.pipes.at_end()


def test_whether_it_has_ended_takes_nothing_away(both: Both) -> None:
    assert not both.pipes.at_end()
    both.answer(b"one--")
    assert not both.pipes.at_end()
    assert both.read_to(b"--") == b"one"


def test_nothing_can_be_asked_of_who_does_not_read(both: Both) -> None:
    both.pipes.send(b"one")
    assert os.read(both.asked, 10) == b"one"
    os.close(both.asked)
    both.asked = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(NoAnswerError, match="nothing could be asked") as caught:
        both.pipes.send(b"two")
    assert caught.value.broken
    both.pipes.close()


def framed(**message: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def call(both: Both, wire: Wire, method: str = "check") -> object:
    until = time.monotonic() + LONG
    return wire.call(method, {"a": 1}, until=until, spent=lambda: False)


def test_a_call_is_framed_and_numbered_and_has_its_result(both: Both) -> None:
    wire = Wire(both.pipes)
    for number in (1, 2):
        both.answer(framed(id=number, result={"n": number}))
        assert call(both, wire) == {"n": number}
        expected = framed(id=number, method="check", params={"a": 1})
        asked = os.read(both.asked, 1000)
        assert asked.partition(b"\r\n\r\n")[0] == b"Content-Length: %d" % len(
            asked.partition(b"\r\n\r\n")[2]
        )
        assert json.loads(asked.partition(b"\r\n\r\n")[2]) == json.loads(
            expected.partition(b"\r\n\r\n")[2]
        )


def test_what_is_no_answer_to_the_call_is_passed_over(both: Both) -> None:
    both.answer(framed(method="log", params={}))
    both.answer(framed(id=7, result="of another"))
    both.answer(framed(id=1, method="ask", result="not an answer"))
    both.answer(framed(id=1, result="mine"))
    assert call(both, Wire(both.pipes)) == "mine"


def test_headers_may_come_in_any_case_and_beside_others(both: Both) -> None:
    body = framed(id=1, result=5).partition(b"\r\n\r\n")[2]
    both.answer(b"X: 1\r\ncontent-LENGTH : %d \r\nY: 2\r\n\r\n%s" % (len(body), body))
    assert call(both, Wire(both.pipes)) == 5


@pytest.mark.parametrize(
    ("answer", "words", "broken"),
    [
        (framed(id=1, error={"code": 1, "message": "no"}), "check was refused: no", True),
        (b"Content-Length: 2\r\n\r\n[]", "check was answered with no message", True),
        (b"Content-Length: x\r\n\r\n{}", "an answer without a length", True),
        (b"X: 2\r\n\r\n{}", "an answer without a length", True),
        (b"x" * 5000, "an answer without a header", True),
        (b"Content-Length: %d\r\n\r\n" % (pipes_module.MOST_BYTES + 1), "too long", False),
    ],
    ids=["refused", "no-message", "no-number", "no-length", "no-header", "too-long"],
)
def test_what_is_no_answer_is_told_and_whose_fault_it_is(
    both: Both, answer: bytes, words: str, broken: bool
) -> None:
    both.answer(answer)
    with pytest.raises(NoAnswerError, match=words) as caught:
        call(both, Wire(both.pipes))
    assert caught.value.broken is broken


class Server(WarmServer):
    """A server without a process: what a test asks it to do."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0
        self.aborted = 0
        self.times = 0

    def close(self) -> None:
        super().close()
        self.closed += 1

    def abort(self) -> None:
        self.aborted += 1

    def ask(self, answer: str | BaseException) -> str:
        def act() -> str:
            self.times += 1
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return self._asked(act)


def fail(server: Server, *, broken: bool = True) -> None:
    with pytest.raises(NoAnswerError):
        server.ask(NoAnswerError("gone", broken=broken))


def test_a_server_that_fails_is_closed_and_says_why() -> None:
    server = Server()
    assert server.ask("answer") == "answer"
    assert (server.closed, server.failure) == (0, None)
    fail(server)
    assert server.closed == 1
    assert str(server.failure) == "gone"


def test_after_three_in_a_row_nobody_is_asked_any_more() -> None:
    server = Server()
    for _ in range(3):
        fail(server)
    with pytest.raises(NoAnswerError, match="the last servers gave no answers"):
        server.ask("answer")
    assert (server.times, server.closed) == (3, 3)


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    server = Server()
    for _ in range(2):
        fail(server)
    assert server.ask("answer") == "answer"
    for _ in range(2):
        fail(server)
    assert server.ask("answer") == "answer"


def test_an_answer_that_took_too_much_is_no_failure_of_the_server() -> None:
    server = Server()
    for _ in range(5):
        fail(server, broken=False)
    assert server.ask("answer") == "answer"
    assert server.closed == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("ours")])
def test_whatever_ends_a_question_ends_the_server(error: BaseException) -> None:
    server = Server()
    with pytest.raises(type(error)):
        server.ask(error)
    assert server.closed == 1


def test_the_server_that_was_used_last_is_used_first() -> None:
    pool = Pool(Server, 2)
    with pool.lease(1) as first, pool.lease(1) as second:
        pass
    # `second` was given back first.
    with pool.lease(1) as again:
        assert again is first
    with pool.lease(1) as third, pool.lease(1) as fourth:
        assert (third, fourth) == (first, second)


def test_a_server_is_free_again_after_an_error() -> None:
    pool = Pool(Server, 1)
    with pytest.raises(ValueError, match="ours"), pool.lease(1) as first:
        raise ValueError("ours")
    with pool.lease(1) as again:
        assert again is first


def test_a_place_is_free_again_where_no_server_could_be_made() -> None:
    made: list[Server] = []

    def make() -> Server:
        if not made:
            made.append(Server())
            raise OSError("no more processes")
        return made[0]

    pool = Pool(make, 1)
    with pytest.raises(OSError, match="no more"), pool.lease(1):
        raise AssertionError
    with pool.lease(1) as server:
        assert server is made[0]


def test_closing_ends_the_idle_aborts_the_busy_and_leaves_none_behind() -> None:
    pool = Pool(Server, 2)
    with pool.lease(1) as busy:
        with pool.lease(1) as idle:
            pass
        pool.close()
        assert (idle.closed, idle.aborted) == (1, 0)
        assert (busy.closed, busy.aborted) == (0, 1)
    assert busy.closed == 1
    with pytest.raises(NoAnswerError, match="ended") as caught, pool.lease(1):
        raise AssertionError
    assert not caught.value.broken


def test_who_waits_gets_the_server_that_is_given_back() -> None:
    pool = Pool(Server, 1)
    got: list[Server] = []

    def wait() -> None:
        with pool.lease(LONG) as server:
            got.append(server)

    with pool.lease(1) as first:
        thread = threading.Thread(target=wait)
        thread.start()
        assert got == []
    thread.join()
    assert got == [first]


CHECKED = Checked((), 0.5)
LINTED = Linted("{}", 0.25)


@dataclass
class Peer:
    """A host that answers with what a test says, and what it was asked."""

    address: str
    answers: list[bytes]
    asked: list[object]


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    told = Peer(str(tmp_path / "socket"), [], [])

    def answer(line: bytes) -> bytes:
        told.asked.append(json.loads(line))
        if not told.answers:
            raise OSError("gone")
        return told.answers.pop(0) + b"\n"

    server = sharing._SocketServer(told.address, answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def dumped(answer: Checked | Linted | sharing._NoAnswer) -> bytes:
    return sharing._answers().dump_json(answer, by_alias=True)


def test_a_guest_asks_what_it_is_asked(peer: Peer) -> None:
    guest = Guest(peer.address)
    peer.answers += [dumped(CHECKED), dumped(LINTED)]
    assert guest.check(Path("/a"), wall_seconds=3.0) == CHECKED
    assert guest.lint(Path("/b"), ["--x", "y"], wall_seconds=4.0) == LINTED
    assert peer.asked == [
        {"what": "types", "root": "/a", "wall_seconds": 3.0},
        {"what": "lint", "root": "/b", "arguments": ["--x", "y"], "wall_seconds": 4.0},
    ]
    guest.close()


@pytest.mark.parametrize("broken", [True, False])
def test_a_guest_says_why_there_is_no_answer(peer: Peer, broken: bool) -> None:
    guest = Guest(peer.address)
    peer.answers += [dumped(sharing._NoAnswer("busy", broken)), dumped(CHECKED)]
    with pytest.raises(NoAnswerError, match=r"^busy$") as caught:
        guest.check(Path("/a"), wall_seconds=LONG)
    assert caught.value.broken is broken
    assert guest.check(Path("/a"), wall_seconds=LONG) == CHECKED
    guest.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [(dumped(LINTED), "the tools answer something else"), (b"{", "say something unexpected")],
)
def test_an_answer_of_another_kind_is_none(peer: Peer, answer: bytes, words: str) -> None:
    guest = Guest(peer.address)
    peer.answers.append(answer)
    with pytest.raises(NoAnswerError, match=words):
        guest.check(Path("/a"), wall_seconds=LONG)
    guest.close()


def test_a_connection_that_is_lost_is_made_again_for_the_next_question(peer: Peer) -> None:
    guest = Guest(peer.address)
    with pytest.raises(NoAnswerError, match="can't be reached"):
        guest.check(Path("/a"), wall_seconds=LONG)
    peer.answers.append(dumped(CHECKED))
    assert guest.check(Path("/a"), wall_seconds=LONG) == CHECKED
    guest.close()
