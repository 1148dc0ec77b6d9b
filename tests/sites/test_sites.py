"""Site files: where they are found, what they may hold, what goes before what, and where a mistake is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metis_flow.errors import ConfigError
from metis_flow.sites.config import find_site, list_sites, read_site, worker_count
from metis_flow.sites.executors import HtexConfig

THREADS = "executors:\n  mine: {kind: threads, workers: 3}\n"
PROFILES = ["aurora", "aurora-login", "globus-compute", "local", "local-processes", "polaris", "polaris-login", "slurm"]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_packaged_sites_are_there() -> None:
    assert [site.name for site in list_sites()] == PROFILES
    assert [find_site(name).work[1].kind for name in ("local", "local-processes")] == ["threads", "processes"]


def test_auto_is_one_worker_a_core_that_this_process_may_use() -> None:
    assert worker_count(find_site("local").work[1]) == len(os.sched_getaffinity(0))


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
    assert (site.name, worker_count(site.work[1])) == ("big", 3)


def test_a_workflow_beside_is_no_site_and_a_file_that_only_extends_one_is(tmp_path: Path) -> None:
    write(tmp_path / "flow.yaml", "version: 1\nname: flow\nsteps: {a: {run: ls}}\n")
    write(tmp_path / "ours.yaml", "extends: local\nnodes: 2\n")
    names = {site.name for site in list_sites(beside=tmp_path)}
    assert "ours" in names
    assert "flow" not in names


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


KINDS = "known: globus-compute, htex, mpi, processes, threads"


@pytest.mark.parametrize(
    ("text", "where", "summary", "hint"),
    [
        ("executors: {a: {kind: threds}}", "1:23", "'threds' is no kind of executor", "did you mean 'threads'?"),
        ("executors: {a: {kind: 1}}", "1:23", "'1' is no kind of executor", KINDS),
        (
            "executors: {a: {workers: 1}}",
            "1:16",
            "the executor 'a' has no 'kind'",
            "one of threads, processes, htex, mpi, globus-compute",
        ),
        (
            "executors: {a: {kind: threads, workers: 0}}",
            "1:41",
            "'workers': should be 'auto' or a whole number above 0",
            None,
        ),
        ("executors: {a: {kind: threads, worker: 2}}", "1:32", "unknown key 'worker'", "did you mean 'workers'?"),
        ("executors: {a: {kind: mpi, accelerators: 2}}", "1:28", "unknown key 'accelerators'", None),
        ("executors: {}", "1:1", "'executors' is missing", "add 'executors: …', or 'extends: NAME'"),
        ("executor: {a: {kind: threads}}", "1:1", "'executors' is missing", "add 'executors: …', or 'extends: NAME'"),
        ("extends: local\nacount: x", "2:1", "unknown key 'acount'", "did you mean 'account'?"),
        ("extends: locl", "1:10", "there is no site 'locl'", "did you mean 'local'?"),
        ("extends: [local]", "1:10", "'extends' should be the name or the path of a site file", None),
        (
            "extends: local\nfilesystems: /home",
            "2:14",
            "'filesystems': should be names with ':' between them, such as home:eagle",
            None,
        ),
        (
            "extends: local\naccount: a b",
            "2:10",
            "'account': should be one word: letters, digits, '.', '_' and '-'",
            None,
        ),
        (
            "extends: local\nwalltime: long",
            "2:11",
            "'walltime': a duration is a number of seconds or such as '20m', '1h30m', not 'long'",
            None,
        ),
        (
            "executors: {chat: {kind: threads}}",
            "1:12",
            "'executors': 'chat' is the driver's own executor; choose another name",
            None,
        ),
        ("extends: polaris\nsplit: {gpu: 1}", "2:8", "'split' names 'gpu', which is none of the executors", None),
        ("extends: polaris\nsplit: {mpi: 0}", "2:14", "'mpi': Input should be greater than 0", None),
        (
            "extends: polaris\nsplit: {mpi: rest, workers: rest}",
            "2:8",
            "'split' gives the rest of the nodes to more than one executor",
            None,
        ),
    ],
)
def test_a_wrong_site_file_says_where(tmp_path: Path, text: str, where: str, summary: str, hint: str | None) -> None:
    path = write(tmp_path / "wrong.yaml", text)
    with pytest.raises(ConfigError) as caught:
        find_site(str(path))
    assert (caught.value.summary, caught.value.where, caught.value.hint) == (summary, f"{path}:{where}", hint)


# -- extending


def test_a_site_takes_from_another_what_it_does_not_say_itself(tmp_path: Path) -> None:
    ours = write(
        tmp_path / "ours.yaml",
        "extends: polaris\naccount: Moons\nexecutors: {workers: {workers: 2}, mpi: null, light: {kind: threads}}\n",
    )
    site = find_site(str(ours))
    assert (site.name, site.account, site.filesystems, list(site.executors)) == (
        "ours",
        "Moons",
        "home:eagle",
        ["workers", "light"],
    )
    workers = site.executors["workers"]
    assert isinstance(workers, HtexConfig)
    assert (workers.workers, workers.accelerators) == (2, 4)


def test_an_executor_of_another_kind_takes_the_place_of_the_first(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.yaml", "extends: polaris\nexecutors: {workers: {kind: threads, workers: 2}}\n")
    site = find_site(str(ours))
    assert site.executors["workers"].model_dump(exclude_none=True) == {"kind": "threads", "workers": 2}


def test_a_site_of_the_same_name_extends_the_one_that_it_hides(tmp_path: Path) -> None:
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "metis-flow" / "sites"
    write(user / "polaris.yaml", "extends: polaris\naccount: Moons\n")
    write(tmp_path / "sites" / "polaris.yaml", "extends: polaris\nqueue: prod\n")
    site = find_site("polaris", beside=tmp_path)
    assert (site.account, site.queue, site.scheduler) == ("Moons", "prod", "pbs")


def test_a_path_is_relative_to_the_file_that_extends_it(tmp_path: Path) -> None:
    write(tmp_path / "base" / "one.yaml", "extends: ../other.yaml\nqueue: prod\n")
    write(tmp_path / "other.yaml", THREADS)
    assert find_site(str(tmp_path / "base" / "one.yaml")).work[0] == "mine"


def test_files_that_extend_one_another_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\n")
    with pytest.raises(ConfigError) as caught:
        find_site(str(tmp_path / "a.yaml"))
    assert caught.value.summary == "'a.yaml' extends itself"
    assert caught.value.where == f"{tmp_path / 'b.yaml'}:1:10"


def test_a_mistake_is_shown_in_the_file_that_makes_it(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", "executors:\n  mine: {kind: threads, workers: many}\n")
    ours = write(tmp_path / "ours.yaml", "extends: ./base.yaml\nqueue: prod\n")
    with pytest.raises(ConfigError) as caught:
        find_site(str(ours))
    assert caught.value.where == f"{base}:2:34"


# -- settings


def test_settings_go_before_the_file() -> None:
    site = find_site(
        "polaris",
        settings=[
            "account=12345",
            "nodes=4",
            "walltime=30m",
            "filesystems=[home, eagle]",
            "executors.workers.workers=2",
            "split={mpi: 2, workers: rest}",
            "queue=debug",
            "queue=prod",
        ],
    )
    assert (site.account, site.nodes, site.walltime, site.filesystems) == ("12345", 4, 1800.0, "home:eagle")
    assert (site.executors["workers"].workers, site.split, site.queue) == (2, {"mpi": 2, "workers": "rest"}, "prod")


@pytest.mark.parametrize(
    ("setting", "where", "summary", "hint"),
    [
        ("account", "--set", "'account' is not FIELD=VALUE", "for instance --set account=MyProject"),
        (".x=1", "--set", "'.x=1' is not FIELD=VALUE", "for instance --set account=MyProject"),
        ("acount=X", "--set acount=X", "unknown key 'acount'", "did you mean 'account'?"),
        ("nodes=four", "--set nodes=four", "'nodes': Input should be a valid integer", None),
        (
            "executors.workers.worker=1",
            "--set executors.workers.worker=1",
            "unknown key 'worker'",
            "did you mean 'workers'?",
        ),
        (
            "executors.gpu.workers=1",
            "--set executors.gpu.workers=1",
            "the executor 'gpu' has no 'kind'",
            "one of threads, processes, htex, mpi, globus-compute",
        ),
    ],
)
def test_a_wrong_setting_says_which(setting: str, where: str, summary: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        find_site("polaris", settings=[setting])
    assert (caught.value.summary, caught.value.where, caught.value.hint) == (summary, where, hint)


def test_each_value_knows_where_it_comes_from(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.yaml", "extends: polaris\naccount: Moons\n")
    _, layers = read_site(str(ours), settings=["executors.workers.workers=2"])
    origins = {".".join(map(str, place)): Path(layer.shown_as).name for place, layer in layers.origins.items()}
    assert origins["account"] == "ours.yaml"
    assert origins["executors.workers.accelerators"] == "polaris.yaml"
    assert origins["executors.workers.workers"] == "--set executors.workers.workers=2"
