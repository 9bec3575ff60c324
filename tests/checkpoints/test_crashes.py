"""What is acknowledged survives: kill -9 at any moment, a full disk, a folder that cannot be written."""

import hashlib
import os
import random
import resource
import select
import signal
import struct
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, Recorder, open_run

TRIALS = 100
PACK_AFTER = 12  # checkpoints, so that kills fall into packing as well


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.Linear(30, 4))


def digest(state: dict) -> bytes:
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).digest()


def writer(path: Path, pipe: int) -> None:
    """Record without end: pack after some checkpoints and start the next run; report what is acknowledged."""
    torch.set_num_threads(1)
    net = model()
    number = 0
    while True:
        target = path / f"run{number}.h5"
        if not target.exists():
            with Recorder(target, net, resume_state=lambda: {"momentum": torch.ones(50)}) as recorder:
                for step in range(PACK_AFTER):
                    with torch.no_grad():
                        for p in net.parameters():
                            p.add_(torch.randn(p.shape))
                    recorder.record(step, loss=step)
                    os.write(pipe, struct.pack("<qq32s", number, step, digest(net.state_dict())))
        number += 1


def killed(action, folder: Path, *, seconds: float, heard: bool) -> bytes:
    """Let a forked child write into a folder and kill it at once after a while; what it reported until then.

    ``heard``: the while begins with its first report.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            action(folder, write)
        finally:
            os._exit(1)
    os.close(write)
    if heard:
        select.select([read], [], [], 60)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read()


def test_every_acknowledged_checkpoint_survives_kill(tmp_path):
    chance = random.Random(20)
    acknowledged = packed = 0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        folder.mkdir()
        # however slow the machine is, half of the trials see at least one promise
        report = killed(writer, folder, seconds=chance.uniform(0.02, 0.3), heard=trial % 2 == 1)
        size = struct.calcsize("<qq32s")
        promised = [struct.unpack_from("<qq32s", report, i) for i in range(0, len(report) - size + 1, size)]
        for number, step, expected in promised:
            run = open_run(folder / f"run{number}.h5")
            assert digest(run.state_dict(list(run.steps).index(step))) == expected
            packed += not run.is_live
        acknowledged += len(promised)
        last = max((number for number, *_ in promised), default=0)
        if not (folder / f"run{last}.h5").exists():  # the interrupted run reopens, resumes and finishes
            net = model()
            with Recorder(folder / f"run{last}.h5", net) as recorder:
                point = recorder.restore()
                recorder.record((point.step if point else 0) + 100)
            assert not open_run(folder / f"run{last}.h5").is_live
        assert not list(folder.glob(".*.tmp")) or (folder / f"run{last}.h5").exists()
    assert acknowledged >= TRIALS // 2
    assert packed > 0


def background_writer(path: Path, pipe: int) -> None:
    """Record in a thread beside a loop that never ends; report what :attr:`Recorder.steps` calls durable."""
    torch.set_num_threads(1)
    net, told = model(), 0
    recorder = Recorder(path / "run.h5", net, background=True)
    for step in range(1 << 20):
        with torch.no_grad():
            for p in net.parameters():
                p.fill_(step)
        recorder.record(step)
        for durable in recorder.steps[told:]:
            os.write(pipe, struct.pack("<q", durable))
            told += 1


def test_what_was_written_beside_the_training_survives_kill_whole(tmp_path):
    chance = random.Random(21)
    promises = 0
    for trial in range(15):
        folder = tmp_path / str(trial)
        folder.mkdir()
        report = killed(background_writer, folder, seconds=chance.uniform(0.01, 0.15), heard=True)
        promised = [step for (step,) in struct.iter_unpack("<q", report)]
        run = open_run(folder / "run.h5")
        assert run.is_live
        assert set(promised) <= set(run.steps.tolist())
        for i, step in enumerate(run.steps):
            assert (run.vector(i) == step).all(), "one state, not a mixture of two"
        promises += len(promised)
    assert promises >= 15


def in_child(action) -> str:
    """Run in a forked child that may limit itself; returns what it reports."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            said = action()
        except BaseException as error:
            said = f"unexpected {type(error).__name__}: {error}"
        os.write(write, str(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path):
    def action() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        net = nn.Linear(100, 50)
        recorder = Recorder(tmp_path / "r.h5", net)
        recorder.record(0)
        recorder.record(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
        try:
            recorder.record(2)
        except CheckpointError as error:
            sentence = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert open_run(tmp_path / "r.h5").steps.tolist() == [0, 1]
        assert not list((tmp_path / "r.h5.live").glob(".*.tmp"))
        recorder.record(2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
        try:
            recorder.finish()
        except CheckpointError as error:
            sentence += " | " + str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        recorder.finish()
        return sentence

    said = in_child(action)
    assert said.count("cannot be written") == 2, said
    run = open_run(tmp_path / "r.h5")
    assert run.steps.tolist() == [0, 1, 2]
    assert not run.is_live
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.h5"]


def test_a_manifest_line_that_does_not_fit_leaves_no_trace(tmp_path):
    def action() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        recorder = Recorder(tmp_path / "r.h5", nn.Linear(1, 1))
        recorder.record(0)
        manifest = tmp_path / "r.h5.live" / "manifest.jsonl"
        before = manifest.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, resource.RLIM_INFINITY))
        try:
            recorder.record(1)
        except CheckpointError as error:
            assert manifest.read_bytes() == before
            return str(error)
        return "nothing was refused"

    assert "cannot be written" in in_child(action)
    assert open_run(tmp_path / "r.h5").steps.tolist() == [0]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    with Recorder(tmp_path / "fine.h5", nn.Linear(1, 1)) as recorder:
        recorder.record(0)
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
        if parent.name.startswith("pytest-of"):
            break

    def action() -> str:
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            Recorder(folder / "r.h5", nn.Linear(1, 1))
        except CheckpointError as error:
            return str(error)
        return "nothing was refused"

    assert "cannot be written" in in_child(action)
    assert list(folder.iterdir()) == []


def test_a_torn_last_line_was_never_acknowledged(tmp_path):
    net = nn.Linear(3, 1)
    recorder = Recorder(tmp_path / "r.h5", net)
    recorder.record(0)
    recorder.record(1)
    recorder.close()
    manifest = tmp_path / "r.h5.live" / "manifest.jsonl"
    whole = manifest.read_bytes()
    for cut in range(1, 60, 7):
        manifest.write_bytes(whole[:-cut])
        assert open_run(tmp_path / "r.h5").steps.tolist() == [0]
    with Recorder(tmp_path / "r.h5", net) as again:
        assert again.steps == (0,)
        again.record(2)
    assert open_run(tmp_path / "r.h5").steps.tolist() == [0, 2]
