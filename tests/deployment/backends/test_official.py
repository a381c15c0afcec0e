"""What is the same for every backend that is not ours, whatever the backend answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.deployment import official
from pytest_convex_eval.deployment.model import UnsupportedError
from pytest_convex_eval.deployment.official import Live, OfficialDeployment, is_loopback
from pytest_convex_eval.deployment.official_api import OfficialApi
from pytest_convex_eval.deployment.recorder import FINISH_PUSH, START_PUSH, PushRecorder, _Answer
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.backends.scripted import ScriptedClient

ADA = {"subject": "ada", "issuer": "https://a.example"}


class Scripted(OfficialDeployment):
    def __init__(self, client: ScriptedClient, recorder: PushRecorder) -> None:
        self.client = client
        self._live = Live(client.url, client.url, client.admin_key, recorder)

    def start(self) -> None: ...

    def close(self) -> None: ...

    def release(self) -> None: ...

    def reset(self) -> None: ...

    def reset_data(self, now: float | None = None) -> None: ...

    def alive(self) -> bool:
        return True

    def cpu_seconds(self) -> float:
        return 0.0

    @property
    def scratch(self) -> Path:
        raise NotImplementedError

    def _api(self, timeout_seconds: float = 0) -> OfficialApi:
        return OfficialApi(self.client)


@pytest.fixture
def recorder() -> Iterator[PushRecorder]:
    started = PushRecorder("http://127.0.0.1:1")
    yield started
    started.close()


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def deployment(client: ScriptedClient, recorder: PushRecorder) -> Scripted:
    return Scripted(client, recorder)


class Clock:
    """Time that passes when somebody sleeps, and 1 s whenever it is asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.now += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(official, "time", made)
    return made


def jobs(client: ScriptedClient, *answers: Sequence[dict[str, Any]]) -> None:
    """What the table of scheduled functions holds, each time it is asked for."""
    left = list(answers)

    def page(args: dict[str, Any]) -> object:
        assert args["table"] == "_scheduled_functions"
        return {
            "page": left.pop(0) if len(left) > 1 else left[0],
            "isDone": True,
            "continueCursor": None,
        }

    client.system["cli/tableData"] = page


def job(kind: str, identifier: str = "1", at: float = 0.0, **state: str) -> dict[str, Any]:
    return {
        "_id": identifier,
        "name": "jobs.js:m",
        "scheduledTime": at,
        "state": {"kind": kind, **state},
    }


def test_what_is_due_is_waited_for_and_nothing_else(
    deployment: Scripted, client: ScriptedClient, clock: Clock
) -> None:
    later = job("pending", "2", at=1_002_001.0)
    jobs(client, [job("pending", at=1_002_000.0), later], [job("inProgress"), later], [later])
    assert deployment.advance(2) == []
    assert clock.slept[0] == 2
    assert len(client.calls("cli/tableData")) == 3


def test_a_failure_is_told_once_and_the_next_one_too(
    deployment: Scripted, client: ScriptedClient, clock: Clock
) -> None:
    first = job("failed", "1", error="boom")
    jobs(client, [first, job("success", "2"), job("canceled", "3")])
    assert deployment.advance(0) == ["jobs:m: boom"]
    assert deployment.advance(0) == []
    jobs(client, [first, job("failed", "4", error="again")])
    assert deployment.advance(0) == ["jobs:m: again"]


def test_what_never_ends_is_given_up_by_name(
    deployment: Scripted, client: ScriptedClient, clock: Clock
) -> None:
    jobs(client, [job("inProgress")])
    with pytest.raises(InfrastructureError, match=r"30 s after they were due: jobs\.js:m"):
        deployment.advance(0)


def test_real_time_is_moved_by_a_minute_at_most(
    deployment: Scripted, client: ScriptedClient, clock: Clock
) -> None:
    jobs(client, [])
    assert deployment.advance(60) == []
    with pytest.raises(UnsupportedError, match="at most 60"):
        deployment.advance(60.5)
    assert clock.slept == [60]


def test_who_acts_as_a_user_calls_public_functions_alone_as_they_are_since_the_last_push(
    deployment: Scripted, client: ScriptedClient, recorder: PushRecorder
) -> None:
    visibility = "internal"
    client.answers["/api/get_config_hashes"] = (200, {"config": {}, "moduleHashes": []})
    client.answers["/api/query"] = (200, {"status": "success", "value": 1})
    client.system["frontend/getSchemas"] = lambda args: {}
    client.system["frontend/listCronJobs"] = lambda args: []
    client.system["frontend/components:list"] = lambda args: []
    client.system["cli/modules:apiSpec"] = lambda args: [
        {"functionType": "Query", "identifier": "a.js:f", "visibility": {"kind": visibility}}
    ]
    refused = deployment.query("a:f", identity=ADA)
    assert refused.error is not None
    assert refused.error.endswith("Could not find public function for 'a:f'.")
    assert deployment.query("a:f", identity=ADA, admin=True).value == 1
    assert deployment.query("a:f").value == 1, "the backend itself says what anybody may"
    visibility = "public"
    assert not deployment.query("a:f", identity=ADA).ok, "nothing was pushed since"
    for path in (START_PUSH, FINISH_PUSH):
        recorder.record(path, {}, b"", _Answer(200, b"{}"))
    assert deployment.query("a:f", identity=ADA).value == 1
    assert len(client.calls("cli/modules:apiSpec")) == 2
    assert deployment.query("a.js:f", identity=ADA).value == 1


def test_variables_that_are_set_are_remembered_as_they_are(deployment: Scripted) -> None:
    live = deployment._running()
    assert not live.changed
    deployment.set_environment({"A": "1", "B": "2"})
    deployment.set_environment({"A": None, "B": "3", "C": None})
    assert live.variables == {"B": "3"}
    assert live.changed


def test_documents_of_a_table_that_is_not_there_are_none(
    deployment: Scripted, client: ScriptedClient
) -> None:
    client.system["cli/tables"] = lambda args: {
        "page": [{"name": "t"}],
        "isDone": True,
        "continueCursor": None,
    }
    assert deployment.documents("u") == []
    assert client.calls("cli/tableData") == []


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("http://127.0.0.1:3210", True),
        ("http://127.9.9.9:1", True),
        ("http://localhost:3210", True),
        ("http://[::1]:3210", True),
        ("https://happy-otter-1.convex.cloud", False),
        ("http://192.168.0.1:3210", False),
    ],
)
def test_services_are_reached_by_backends_of_this_machine(
    url: str, reached: bool, recorder: PushRecorder
) -> None:
    deployment = Scripted(ScriptedClient(url=url), recorder)
    refusals = []
    try:
        deployment.allow_origins(["http://127.0.0.1:1"])
    except UnsupportedError as error:
        refusals = [str(error)]
    assert ["this machine" in each for each in refusals] == ([] if reached else [True])


def test_a_deployment_that_is_not_running_says_so(client: ScriptedClient) -> None:
    class Never(Scripted):
        def __init__(self) -> None: ...

    with pytest.raises(InfrastructureError, match="not running"):
        Never().last_push()


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("[::1]", True), ("localhost", True),
        ("LOCALHOST", True), ("localhost.", True), ("app.localhost", True),
        ("[::ffff:127.0.0.1]", True),
        ("127.example.com", False), ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("notlocalhost", False), ("0.0.0.0", False), ("10.0.0.1", False), ("[::2]", False),
        ("[::ffff:10.0.0.1]", False), ("a-b-123.convex.cloud", False), ("128.0.0.1", False),
    ],
)  # fmt: skip
def test_this_machine_is_told_by_its_addresses_and_its_one_name(host: str, here: bool) -> None:
    assert is_loopback(f"http://{host}:3210") is here
    assert is_loopback(f"https://{host}") is here
