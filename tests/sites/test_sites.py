"""Site files: where they are found, what they may hold, and what Parsl is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor

from metis_flow.errors import ConfigError
from metis_flow.sites.config import find_site, list_sites
from metis_flow.sites.parsl_config import helper, parsl_config

THREADS = "executors:\n  mine: {kind: threads, workers: 3}\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_packaged_sites_are_there() -> None:
    assert {"local", "local-processes"} <= {site.name for site in list_sites()}
    assert [find_site(name).work[1].kind for name in ("local", "local-processes")] == ["threads", "processes"]


def test_auto_is_one_worker_a_core_that_this_process_may_use() -> None:
    assert find_site("local").work[1].worker_count == len(os.sched_getaffinity(0))


def test_a_site_is_found_beside_the_workflow_then_with_the_user_then_in_the_package(tmp_path: Path) -> None:
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "metis-flow" / "sites"
    write(user / "local.yaml", THREADS.replace("mine", "user"))
    assert find_site("local").work[0] == "user"
    write(tmp_path / "local.yaml", THREADS)
    assert find_site("local", beside=tmp_path).work[0] == "mine"
    write(tmp_path / "sites" / "local.yaml", THREADS.replace("mine", "folder"))
    assert find_site("local", beside=tmp_path).work[0] == "folder"
    assert "local" in {site.name for site in list_sites(beside=tmp_path)}


def test_a_site_may_be_a_path(tmp_path: Path) -> None:
    site = find_site(str(write(tmp_path / "big.yaml", THREADS)))
    assert (site.name, site.work[1].worker_count) == ("big", 3)


def test_a_workflow_beside_is_no_site(tmp_path: Path) -> None:
    write(tmp_path / "flow.yaml", "version: 1\nname: flow\nsteps: {a: {run: ls}}\n")
    assert "flow" not in {site.name for site in list_sites(beside=tmp_path)}


@pytest.mark.parametrize(
    ("name", "summary", "hint"),
    [
        ("locl", "there is no site 'locl'", "did you mean 'local'?"),
        ("./absent.yaml", "there is no site file ./absent.yaml", "check the path"),
    ],
)
def test_a_site_that_is_not_there(name: str, summary: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_site(name)
    assert (caught.value.summary, caught.value.hint) == (summary, hint)


@pytest.mark.parametrize(
    ("text", "where", "summary"),
    [
        ("executors: {a: {kind: threds}}", "1:23", "'kind': Input should be 'threads' or 'processes'"),
        (
            "executors: {a: {kind: threads, workers: 0}}",
            "1:41",
            "'workers': should be 'auto' or a whole number above 0",
        ),
        ("executors: {a: {kind: threads, worker: 2}}", "1:32", "unknown key 'worker'"),
        ("executors: {}", "1:12", "'executors': Dictionary should have at least 1 item after validation, not 0"),
        ("executor: {a: {kind: threads}}", "1:1", "'executors' is missing"),
    ],
)
def test_a_wrong_site_file_says_where(tmp_path: Path, text: str, where: str, summary: str) -> None:
    path = write(tmp_path / "wrong.yaml", text)
    with pytest.raises(ConfigError) as caught:
        find_site(str(path))
    assert caught.value.summary == summary
    assert caught.value.where == f"{path}:{where}"


def test_threads_become_a_thread_pool(tmp_path: Path) -> None:
    site = find_site(str(write(tmp_path / "big.yaml", THREADS)))
    config = parsl_config(site, tmp_path / "parsl", work=True)
    (executor,) = config.executors
    assert isinstance(executor, ThreadPoolExecutor)
    assert (executor.label, executor.max_threads) == ("mine", 3)
    assert config.run_dir == str(tmp_path / "parsl")
    assert (config.initialize_logging, config.retries, config.usage_tracking) == (False, 0, 0)


def test_processes_stay_on_this_machine_and_are_encrypted(tmp_path: Path) -> None:
    (executor,) = parsl_config(find_site("local-processes"), tmp_path, work=True).executors
    assert isinstance(executor, HighThroughputExecutor)
    assert (executor.address, executor.loopback_address, executor.encrypted) == ("127.0.0.1", "127.0.0.1", True)
    # by full path, so that an environment that was not activated works too
    assert executor.launch_cmd.startswith(f"{sys.executable} {helper('process_worker_pool.py')} ")
    assert executor.interchange_launch_cmd[0] == sys.executable
    assert executor.interchange_launch_cmd[-1] == helper("interchange.py")


def test_an_executor_that_no_step_needs_is_not_started(tmp_path: Path) -> None:
    other = ThreadPoolExecutor(label="other")
    assert list(parsl_config(find_site("local-processes"), tmp_path, work=False, others=[other]).executors) == [other]


def test_a_helper_of_parsl_that_is_missing_says_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        helper("no-such-helper.py")
    assert caught.value.summary == f"Parsl's no-such-helper.py is not beside {sys.executable}"
    assert caught.value.hint == "install parsl into the same environment"
