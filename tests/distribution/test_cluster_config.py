"""What the arguments and `TF_CONFIG` may say about a cluster."""

import json
from typing import Any

import pytest

from keras_port import distribution
from keras_port.distribution.cluster_config import read_cluster


def config(
    workers: Any = ("a:1", "b:2"), index: Any = 0, job: str = "worker"
) -> dict[str, Any]:
    return {
        "cluster": {"worker": workers},
        "task": {"type": job, "index": index},
    }


@pytest.mark.fault("R18")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ([], "no 'cluster'"),
        ({"cluster": {"worker": ["a:1"]}}, "no 'task'"),
        (config(["a"]), "'a': it has no port"),
        (config(["a:x"]), "the port 'x' is no number"),
        (config(["a:²"]), "the port '²' is no number"),
        (config(["a:99999"]), "the port 99999 is not between"),
        (config(["a:0"]), "the port 0 is not between"),
        (config([":1"]), "no port"),
        (config(["::1:22"]), "must be in brackets"),
        (config(["http://a:1"]), "must be in brackets"),
        (config(["a/b:1"]), "a host and a port only"),
        (config([1]), "it is no text"),
        (config("a:1"), "'worker' must be a list"),
        (config([]), "'worker' must be a list"),
        (config(["a:1", "a:1"]), "'a:1' is given twice"),
        (config(index=-1), "from 0 to 1, and is -1"),
        (config(index=2), "from 0 to 1, and is 2"),
        (config(index="x"), "from 0 to 1, and is 'x'"),
        (config(index=True), "from 0 to 1, and is True"),
        (config(index=0.0), r"from 0 to 1, and is 0\.0"),
        (config(index=None), "from 0 to 1, and is None"),
        (config(job="chief"), "the type 'chief' of the task is no job"),
        (
            {**config(), "cluster": {"worker": ["a:1"], "ps": ["b:1"]}},
            "the job 'ps' does not train",
        ),
        (
            {**config(), "cluster": {"worker": ["a:1"], "evaluator": ["b:1"]}},
            "the job 'evaluator' does not train",
        ),
        (
            {**config(), "cluster": {"worker": ["a:1"], "chief": ["a:1"]}},
            "'a:1' is given twice",
        ),
        (
            {**config(), "cluster": {"worker": ["a:1"], "chief": ["b:1"] * 2}},
            "one chief only",
        ),
    ],
)
def test_a_wrong_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: Any, problem: str
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=f"TF_CONFIG must say.*{problem}"):
        distribution.multi_worker_strategy()


def test_the_chief_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {"worker": ["[::1]:1", "b:2"], "chief": ["c:3"]}
    # Some launchers write the index as text.
    task = {"type": "worker", "index": "1"}
    text = json.dumps({"cluster": jobs, "task": task})
    monkeypatch.setenv("TF_CONFIG", text)
    cluster = read_cluster(None, None)
    assert cluster.addresses == ["c:3", "[::1]:1", "b:2"]
    assert cluster.index == 2
    resolver = cluster.make_resolver()
    assert resolver.cluster_spec().as_dict() == jobs
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


@pytest.mark.parametrize(
    "workers", [["first"], ["a:x"], ["a:99999"], [3], "a:1", []]
)
def test_wrong_addresses_are_refused(workers: Any) -> None:
    with pytest.raises(ValueError, match="addresses like 'host:2222'"):
        distribution.multi_worker_strategy(workers, index=0)


def test_a_wrong_place_is_refused() -> None:
    with pytest.raises(ValueError, match="each address once"):
        distribution.multi_worker_strategy(["a:1", "a:1"], index=0)
    wrong: list[Any] = [None, -1, 2, True, "0"]
    for index in wrong:
        with pytest.raises(ValueError, match="`index` must be from 0 to 1"):
            distribution.multi_worker_strategy(["a:1", "b:1"], index=index)
    with pytest.raises(ValueError, match="`index` is given without"):
        distribution.multi_worker_strategy(index=0)
