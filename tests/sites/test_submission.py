from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from metis_flow.errors import ConfigError, LoginRequired, RecordError
from metis_flow.inference.endpoints import find_endpoint
from metis_flow.inference.globus import RESOURCE_SERVER, token_file, write_token_data
from metis_flow.record.folder import RunFolder
from metis_flow.record.jobs import JobSettings, SentJob, add_job, read_settings, sent_jobs, write_settings
from metis_flow.record.journal import JournalWriter
from metis_flow.record.ownership import Ownership
from metis_flow.record.state import RunState
from metis_flow.sites.config import find_site
from metis_flow.sites.executors import Scheduler
from metis_flow.sites.job_script import JobRequest, job_request
from metis_flow.sites.schedulers import JobLook, look_at
from metis_flow.sites.submission import check_login, remarks, send_job
from metis_flow.views.submitted import words

HOUR = 3600.0


def request(walltime: str = "6h", *settings: str) -> JobRequest:
    return job_request(find_site("polaris", settings=("nodes=1", f"walltime={walltime}", *settings)), "survey")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "survey")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def log_in(seconds: float, *, renewable: bool) -> None:
    """A login of which the access token ends after so long."""
    entry = {"access_token": "secret", "expires_at_seconds": int(time.time() + seconds) + 30, "identity_id": "me"}
    write_token_data(token_file(), {RESOURCE_SERVER: entry | ({"refresh_token": "also"} if renewable else {})})


# -- the login


def test_without_a_login_no_job_is_made(home: Path) -> None:
    with pytest.raises(LoginRequired) as caught:
        check_login(find_endpoint("metis"), request())
    assert caught.value.summary == "the run's calls need a login, and nobody is logged in"
    assert caught.value.hint == "type: metis-flow auth login"


def test_a_login_that_outlasts_queue_and_job_says_nothing(home: Path) -> None:
    log_in(18 * HOUR, renewable=False)
    assert check_login(find_endpoint("metis"), request("6h")) is None


def test_a_login_that_ends_before_the_job_and_cannot_be_renewed_is_refused(home: Path) -> None:
    log_in(2 * HOUR, renewable=False)
    with pytest.raises(LoginRequired) as caught:
        check_login(find_endpoint("metis"), request("6h"))
    assert caught.value.summary == "the login ends in 2h00m and cannot be renewed, and the job may take 6h00m"
    assert caught.value.hint == "type: metis-flow auth login --force"


def test_a_login_that_may_end_in_the_queue_is_remarked_on(home: Path) -> None:
    log_in(8 * HOUR, renewable=False)
    assert check_login(find_endpoint("metis"), request("6h")) == (
        "the login ends in 8h00m and cannot be renewed: the job may not wait long in the queue; "
        "or type: metis-flow auth login --force"
    )


def test_a_login_that_is_renewed_is_remarked_on(home: Path) -> None:
    log_in(2 * HOUR, renewable=True)
    assert check_login(find_endpoint("metis"), request("6h")) == (
        "the token ends in 2h00m, and is renewed in the job: a login may end meanwhile, and then the run pauses"
    )


def test_an_endpoint_without_globus_needs_no_login(home: Path) -> None:
    assert check_login(find_endpoint("embedded"), request()) is None


# -- what else may go wrong


def test_what_pbs_does_not_pass_on_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    assert remarks(find_endpoint("openai"), request(), ["MP_API_KEY"]) == [
        "PBS does not pass on the environment: the job gets MP_API_KEY, OPENAI_API_KEY, OPENAI_BASE_URL, MODEL_NAME "
        "only from your login files, such as ~/.bash_profile"
    ]


def test_an_endpoint_of_this_machine_is_remarked_on(tmp_path: Path) -> None:
    path = tmp_path / "near.yaml"
    path.write_text("kind: openai\nbase_url: http://127.0.0.1:8000/v1\n")
    assert remarks(find_endpoint(str(path)), request(), []) == [
        "the endpoint 'near' is on this machine (127.0.0.1), and the job runs on another"
    ]


def test_missing_filesystems_are_remarked_on() -> None:
    assert remarks(None, request("1h", "filesystems=null"), []) == [
        "no filesystems are asked for: ALCF refuses such jobs; say --set filesystems=home:eagle"
    ]


# -- jobs of a run


def test_a_run_without_a_job_script_is_not_sent(folder: RunFolder) -> None:
    with pytest.raises(RecordError) as caught:
        send_job(folder)
    assert caught.value.summary == "no job was made for this run"
    assert "`metis-flow resume` goes on with this one here" in str(caught.value.hint)


def test_a_missing_scheduler_is_told(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write_settings(folder, JobSettings("pbs", "polaris", "debug", 1))
    with pytest.raises(ConfigError) as caught:
        send_job(folder)
    assert caught.value.summary == "the job cannot be sent: qsub is not on PATH"
    assert sent_jobs(folder) == []


def test_a_chain_is_not_longer_than_it_was_asked_for(folder: RunFolder) -> None:
    write_settings(folder, JobSettings("pbs", "polaris", "debug", 2))
    add_job(folder, "1.x", "pbs", number=2, ended=-1)
    with pytest.raises(RecordError) as caught:
        send_job(folder, follows=True)
    assert caught.value.summary == "no further job is sent: 2 jobs have driven the run one after the other"
    assert caught.value.hint == f"to send as many again, type: metis-flow submit {folder.id}"


def test_a_damaged_line_of_the_sent_jobs_is_left_out(folder: RunFolder) -> None:
    write_settings(folder, JobSettings("slurm", "slurm", None, 1))
    first = add_job(folder, "7", "slurm", number=1, ended=0)
    with (folder.path / "job" / "sent.jsonl").open("ab") as file:
        file.write(b'{"id": "8", "sch\n' + json.dumps({"other": 1}).encode() + b"\n")
    second = add_job(folder, "9", "slurm", number=2, ended=3)
    assert sent_jobs(folder) == [first, second]
    assert (first.id, second.number) == ("7", 2)
    assert isinstance(first, SentJob)


def test_damaged_settings_are_told(folder: RunFolder) -> None:
    folder.write_json("job/settings.json", {"scheduler": "pbs"})
    with pytest.raises(RecordError, match="the file is damaged"):
        read_settings(folder)


def test_a_run_waits_for_the_job_that_was_sent_last(folder: RunFolder) -> None:
    assert RunState.read(folder).status == "died"
    write_settings(folder, JobSettings("pbs", "polaris", "debug", 2))
    add_job(folder, "1.x", "pbs", number=1, ended=0)
    state = RunState.read(folder)
    assert (state.status, state.reason, state.exit_code) == ("submitted", "job 1.x drives it", None)
    journal = JournalWriter(folder.journal)
    journal.append({"e": "start", "run": folder.id, "host": "x", "pid": 1, "generation": 1, "resumed": True})
    journal.append({"e": "end", "status": "stopped", "exit": 5, "reason": "the walltime ends"})
    journal.close()
    state = RunState.read(folder)
    assert (state.status, state.reason, state.exit_code) == ("stopped", "the walltime ends", 5)
    add_job(folder, "2.x", "pbs", number=2, ended=0)
    assert RunState.read(folder).reason == "job 2.x drives it"


def test_a_driver_that_begins_while_the_record_is_read_does_not_seem_dead(folder: RunFolder) -> None:
    begun: list[Ownership] = []
    Ownership.acquire(folder).release()

    def clock() -> float:
        """Called once the old driver was seen, and before the journal is read."""
        if not begun:
            begun.append(Ownership.acquire(folder))
            journal = JournalWriter(folder.journal)
            journal.append({"e": "start", "run": folder.id, "host": "x", "pid": 1, "generation": 2, "resumed": True})
            journal.close()
        return time.time()

    try:
        assert RunState.read(folder, clock=clock).status == "running"
    finally:
        begun[0].release()


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_run_that_has_ended_is_not_sent_again(folder: RunFolder, status: str) -> None:
    write_settings(folder, JobSettings("pbs", "polaris", "debug", 1))
    journal = JournalWriter(folder.journal)
    journal.append({"e": "end", "status": status, "exit": 0})
    journal.close()
    with pytest.raises(RecordError, match=f"the run is {status}: there is nothing to send"):
        send_job(folder)


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (JobLook("queued", "Not Running: too busy"), "queued: Not Running: too busy"),
        (JobLook("queued"), "queued"),
        (JobLook("queued", "Can Never Run", hopeless=True), "queued: Can Never Run; take it back and ask for less"),
        (JobLook("running"), "running"),
        (JobLook("ended", "exit status 127"), "has ended (exit status 127), and the run did not begin"),
        (JobLook("unknown", "qstat is not on PATH"), "the scheduler cannot be asked: qstat is not on PATH"),
    ],
)
def test_how_a_job_stands_is_told_in_a_few_words(look: JobLook, text: str) -> None:
    assert words(look) == text


@pytest.mark.parametrize("scheduler", ["pbs", "slurm"])
def test_a_scheduler_that_cannot_be_asked_about_a_job(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    look = look_at(scheduler, "1")
    assert look == JobLook("unknown", f"{'qstat' if scheduler == 'pbs' else 'squeue'} is not on PATH")
