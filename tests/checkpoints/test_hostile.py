"""Damaged and hostile files: one clear sentence each, no crash, no hang, no other file read."""

import json
import os
import random
import resource
import shutil
import struct
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from torch import nn

from checkpoints import CheckpointError, Recorder, open_run, read_result, write_result
from checkpoints.container import BLOCK, seal
from checkpoints.manifest import encode_line

SECRET = b"the secret of another file " * 40
MUTATIONS = 500


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    with Recorder(tmp_path / "run.h5", model, metadata={"a": 1}) as recorder:
        for step in range(8):
            recorder.record(step, loss=step)
    return tmp_path / "run.h5"


def contents(path: Path) -> bytes:
    """Everything a reader can get out of a run, a result or a recording."""
    if path.name.startswith("result"):
        stored = read_result(path, kind="thing")
        parts = [json.dumps(stored.header, sort_keys=True).encode()]
        parts += [stored.arrays[name].tobytes() for name in sorted(stored.arrays)]
        return b"".join(parts)
    run = open_run(path)
    parts = [run.steps.tobytes(), run.epochs.tobytes(), json.dumps(run.metadata).encode()]
    parts += [run.metrics[name].tobytes() for name in sorted(run.metrics)]
    for i in range(len(run)):
        state = run.state_dict(i)
        parts += [state[name].numpy().tobytes() for name in sorted(state)]
    return b"".join(parts)


def mutate(data: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(6)
    changed = bytearray(data)
    i, n = chance.randrange(len(data)), chance.randrange(1, 200)
    if kind == 0:
        changed[i] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del changed[i:]
    elif kind == 2:
        changed[i : i + n] = bytes(len(changed[i : i + n]))
    elif kind == 3:
        del changed[i : i + n]
    elif kind == 4:
        changed[i:i] = chance.randbytes(n)
    else:
        changed[i : i + n] = chance.randbytes(len(changed[i : i + n]))
    return bytes(changed)


def guarded(action, *, seconds: int = 120, memory: int = 1 << 30) -> str:
    """Run in a forked child with limits on time and on memory beyond what it has; '' means it died."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (pages + memory, pages + memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        try:
            said = action()
        except BaseException as error:
            said = f"unexpected {type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def test_mutated_files_are_refused_or_read_as_they_were(run_file, tmp_path):
    write_result(
        tmp_path / "result.h5", kind="thing", header={"x": 1}, arrays={"a": np.arange(500.0), "b/c": np.ones(3)}
    )
    recorder = Recorder(tmp_path / "live.h5", nn.Linear(6, 5))
    for step in range(3):
        recorder.record(step)
    recorder.close()
    live = tmp_path / "live.h5.live"
    targets = [run_file, tmp_path / "result.h5", *sorted(p for p in live.iterdir() if p.name != "lock")]

    def action() -> str:
        chance = random.Random(7)
        refused = slowest = 0
        for number in range(MUTATIONS):
            target = targets[number % 2] if number % 3 else chance.choice(targets[2:])
            reader = live if target.parent == live else target
            original, truth = target.read_bytes(), contents(reader)
            target.write_bytes(mutate(original, chance))
            started = time.monotonic()
            try:
                found = contents(reader)
                # A torn manifest may end earlier; nothing else may differ.
                assert found == truth or reader == live, f"mutation {number} of {target.name} went unseen"
            except CheckpointError as error:
                sentence = str(error)
                named = str(target) in sentence or str(reader) in sentence
                refused += named and "\n" not in sentence
            slowest = max(slowest, time.monotonic() - started)
            target.write_bytes(original)
        return f"{refused} refused, slowest {slowest:.2f} s"

    said = guarded(action)
    assert "refused" in said, said
    assert int(said.split()[0]) > 0.75 * MUTATIONS, said
    assert float(said.split()[3]) < 5, said


def reseal(path: Path) -> None:
    """What an attacker does: a valid seal over hostile contents."""
    with h5py.File(path, "r") as file:
        body = file.get("body", getlink=True)
        span = (0, 0)
        if isinstance(body, h5py.HardLink) and isinstance(file["body"], h5py.Dataset):
            dataset = file["body"]
            plain = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS and not dataset.external
            offset = dataset.id.get_offset() if plain else None
            length = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
            if offset and offset + length <= path.stat().st_size:
                span = (offset, offset + length)
    seal(path, "run", span)


def replace(file: h5py.File, name: str, **how) -> None:
    del file[name]
    file.create_dataset(name, **how)


def external(file: h5py.File, secret: Path) -> None:
    shape = file["arrays/others"].shape
    replace(file, "arrays/others", shape=shape, dtype="u1", external=[(str(secret), 0, int(np.prod(shape)))])


def external_body(file: h5py.File, secret: Path) -> None:
    shape = file["body"].shape
    replace(file, "body", shape=shape, dtype="f4", external=[(str(secret), 0, 4 * int(np.prod(shape)))])


def external_link(file: h5py.File, secret: Path) -> None:
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = file["arrays/steps"][()]
    del file["arrays/steps"]
    file["arrays/steps"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/x")


def soft_link(file: h5py.File, secret: Path) -> None:
    file.move("arrays/steps", "arrays/moved")
    file["arrays/steps"] = h5py.SoftLink("/arrays/moved")


def virtual(file: h5py.File, secret: Path) -> None:
    shape = file["arrays/epochs"].shape
    layout = h5py.VirtualLayout(shape=shape, dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", shape=shape)
    del file["arrays/epochs"]
    file.create_virtual_dataset("arrays/epochs", layout)


def huge(file: h5py.File, secret: Path) -> None:
    replace(file, "arrays/others", shape=(1 << 20, 1 << 22), dtype="u1")


def huge_body(file: h5py.File, secret: Path) -> None:
    replace(file, "body", shape=(1 << 20, 1 << 20), dtype="f4")


def bomb(file: h5py.File, secret: Path) -> None:
    replace(file, "arrays/others", shape=(1 << 15, 1 << 15), dtype="u1", chunks=(1 << 10, 1 << 10), compression="gzip")
    chunk = zlib.compress(bytes(1 << 20))
    for i in range(32):
        for j in range(32):
            file["arrays/others"].id.write_direct_chunk((i << 10, j << 10), chunk)


def chunked(file: h5py.File, secret: Path) -> None:
    data = file["arrays/steps"][()]
    replace(file, "arrays/steps", data=data, chunks=(2,))


def objects(file: h5py.File, secret: Path) -> None:
    file["arrays/text"] = np.array(["a", "b"], dtype=h5py.string_dtype())


def references(file: h5py.File, secret: Path) -> None:
    file.create_dataset("arrays/ref", data=np.array([file["header"].ref], dtype=h5py.ref_dtype))


def cycle(file: h5py.File, secret: Path) -> None:
    file["arrays/loop"] = file["arrays"]


def deep(file: h5py.File, secret: Path) -> None:
    file["arrays"].create_group("/".join(["arrays", *["g"] * 300]).removeprefix("arrays/"))


def crowd(file: h5py.File, secret: Path) -> None:
    group = file["arrays"].create_group("many")
    for i in range(25_000):
        group[str(i)] = file["arrays/steps"]


def not_json(file: h5py.File, secret: Path) -> None:
    replace(file, "header", data=np.frombuffer(b"{]", np.uint8))


def nested_json(file: h5py.File, secret: Path) -> None:
    replace(file, "header", data=np.frombuffer(b"[" * 200_000, np.uint8))


def wide_header(file: h5py.File, secret: Path) -> None:
    header = json.loads(file["header"][()].tobytes())
    header["layout"]["parameters"]["shapes"][0] = [1 << 39, 1 << 39]
    replace(file, "header", data=np.frombuffer(json.dumps(header).encode(), np.uint8))


def wrong_steps(file: h5py.File, secret: Path) -> None:
    replace(file, "arrays/steps", data=np.zeros(8, np.int64))


def few_digests(file: h5py.File, secret: Path) -> None:
    replace(file, "arrays/digests", data=np.zeros((2, 32), np.uint8))


def wrong_body(file: h5py.File, secret: Path) -> None:
    replace(file, "body", data=np.zeros((8, 3), np.float32))


ATTACKS = [external, external_body, external_link, soft_link, virtual, huge, huge_body, bomb, chunked, objects]
ATTACKS += [references, cycle, deep, crowd, not_json, nested_json, wide_header, wrong_steps, few_digests, wrong_body]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_hostile_files_with_a_valid_seal_are_refused(run_file, tmp_path, attack):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    with h5py.File(run_file, "r+") as file:
        attack(file, secret)
    reseal(run_file)

    def action() -> str:
        started = time.monotonic()
        try:
            found = contents(run_file)
            return f"read it: secret {'seen' if SECRET[:20] in found else 'not seen'}"
        except CheckpointError as error:
            return f"refused after {time.monotonic() - started:.1f} s: {error}"

    said = guarded(action, seconds=10)
    assert said.startswith("refused"), said
    assert str(run_file) in said
    assert float(said.split()[2]) < 5, said
    assert secret.read_bytes() == SECRET


def test_files_of_others_are_refused_before_they_are_parsed(tmp_path):
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["x"] = np.arange(4)
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("plain", "text", "empty"):
        with pytest.raises(CheckpointError, match="not an Unlearnscape file"):
            open_run(tmp_path / f"{name}.h5")


def test_a_seal_with_a_wild_body_range_is_refused(run_file):
    data = bytearray(run_file.read_bytes())
    for start, stop in ((BLOCK, 1 << 60), (7, 8), (1 << 40, 1 << 41), (len(data), BLOCK)):
        struct.pack_into("<QQ", data, 16 + 32 + 32 + 8, start, stop)
        run_file.write_bytes(data)
        with pytest.raises(CheckpointError, match="damaged"):
            open_run(run_file)


def live_run(tmp_path: Path) -> tuple[Path, list[bytes]]:
    recorder = Recorder(tmp_path / "live.h5", nn.Linear(6, 5))
    recorder.record(0)
    recorder.record(1)
    recorder.close()
    manifest = tmp_path / "live.h5.live" / "manifest.jsonl"
    return manifest, manifest.read_bytes().splitlines(keepends=True)


def table(line: bytes) -> dict:
    return json.loads(line.partition(b" ")[2])


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "checkpoint-00000000.bin/../../secret", "", "x"])
def test_manifests_cannot_name_other_files(tmp_path, name):
    manifest, lines = live_run(tmp_path)
    manifest.write_bytes(b"".join([lines[0], encode_line(table(lines[1]) | {"file": name}), lines[2]]))
    with pytest.raises(CheckpointError, match="not a recording"):
        open_run(tmp_path / "live.h5")


def test_links_in_a_recording_are_not_followed(tmp_path):
    manifest, _ = live_run(tmp_path)
    checkpoint = manifest.parent / "checkpoint-00000001.bin"
    shutil.move(checkpoint, tmp_path / "secret")
    checkpoint.symlink_to(tmp_path / "secret")
    run = open_run(tmp_path / "live.h5")
    assert run.vector(0).shape == (35,)
    with pytest.raises(CheckpointError, match="cannot be read"):
        run.vector(1)
    shutil.move(manifest, tmp_path / "elsewhere")
    manifest.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="link"):
        open_run(tmp_path / "live.h5")


@pytest.mark.parametrize(
    "change",
    [
        {"layout": {"parameters": {"names": ["w"], "shapes": [[1 << 38]], "dtypes": ["torch.float32"]}}},
        {"layout": None},
        {"metadata": 3},
        {"version": 99},
        {"layout": {"parameters": {"names": ["w"], "shapes": [[-1]], "dtypes": ["torch.float32"]}}},
    ],
)
def test_manifest_headers_are_checked(tmp_path, change):
    manifest, lines = live_run(tmp_path)
    manifest.write_bytes(b"".join([encode_line(table(lines[0]) | change), *lines[1:]]))
    with pytest.raises(CheckpointError, match="not a recording"):
        open_run(tmp_path / "live.h5")
