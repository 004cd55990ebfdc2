"""Two-phase weights over real gRPC: prepare, commit, abort, rollback, and what goes wrong."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from safetensors.torch import load_file, save_file

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import versions_pb2
from services.common.version_store import Manifest, describe
from tests.contract.policy_service import (
    KIND,
    Policy,
    header_of,
    poisoned,
    put,
    running_policy,
    save,
    until,
)
from tests.unit.policy.tiny_policy import make_preprocessor

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
INVALID = grpc.StatusCode.INVALID_ARGUMENT
RUN = versions_pb2.ModelRef(alias="run/1")


@pytest.fixture
async def policy(tmp_path):
    async with running_policy(tmp_path) as policy:
        yield policy


async def test_publishing_moves_the_alias_and_leaves_the_others(policy: Policy, tmp_path) -> None:
    before = await policy.generate()
    manifest = await policy.publish("run/1", save(tmp_path / "new", seed=2))
    new, stable = await policy.generate(model=RUN), await policy.generate()
    assert new.started.policy_version == manifest.version
    assert stable.started.policy_version == before.started.policy_version
    assert new.ids != before.ids == stable.ids
    assert policy.store.resolve(KIND, "run/1") == manifest.version


async def test_a_prepared_version_is_resident_but_not_served(policy: Policy, tmp_path) -> None:
    manifest, epoch = _stored(policy, save(tmp_path / "new", seed=2))
    response = await policy.prepare("stable", epoch, manifest, _folder(policy, manifest))
    assert response.version == manifest.version
    resident = (await policy.versions())[manifest.version]
    assert resident.state == versions_pb2.VERSION_STATE_PREPARED
    assert (await policy.generate()).started.policy_version != manifest.version


async def test_weights_may_be_streamed(policy: Policy, tmp_path) -> None:
    folder = save(tmp_path / "new", seed=2)
    manifest = _manifest(folder)
    await policy.stub.PrepareWeights(_chunks(header_of("run/1", 1, manifest), folder))
    await _commit(policy, "run/1", 1, manifest.version)
    assert (await policy.generate(model=RUN)).started.policy_version == manifest.version
    assert not list((tmp_path / "uploads").iterdir())


async def test_commit_and_prepare_may_be_repeated(policy: Policy, tmp_path) -> None:
    manifest, epoch = _stored(policy, save(tmp_path / "new", seed=2))
    for _ in range(2):
        await policy.prepare(
            "stable", epoch, manifest, _folder(policy, manifest), request_id="prepare"
        )
    commit = pb.CommitWeightsRequest(
        request_id="commit", alias="stable", epoch=epoch, version=manifest.version
    )
    first, again = [await policy.stub.CommitWeights(commit) for _ in range(2)]
    commit.request_id = "from another client"
    assert first == again
    assert (await policy.stub.CommitWeights(commit)).alias == first.alias
    assert first.alias.epoch == epoch


async def test_commit_tolerates_a_publisher_that_wrote_the_alias_itself(
    policy: Policy, tmp_path
) -> None:
    manifest, epoch = _stored(policy, save(tmp_path / "new", seed=2))
    await policy.prepare("stable", epoch, manifest, _folder(policy, manifest))
    policy.store.set_alias(KIND, "stable", manifest.version, epoch)
    await _commit(policy, "stable", epoch, manifest.version)
    assert (await policy.generate()).started.policy_version == manifest.version


async def test_a_replica_that_missed_the_commit_catches_up(policy: Policy, tmp_path) -> None:
    manifest, epoch = _stored(policy, save(tmp_path / "new", seed=2))
    policy.store.set_alias(KIND, "stable", manifest.version, epoch)
    assert (await policy.generate()).started.policy_version == manifest.version


async def test_a_starting_replica_loads_its_aliases(tmp_path) -> None:
    async with running_policy(tmp_path) as policy:
        published = [
            (await policy.publish(f"run/{seed}", save(tmp_path / f"{seed}", seed=seed))).version
            for seed in (2, 3)
        ]
    stable = policy.store.resolve(KIND, "stable")
    async with running_policy(tmp_path) as restarted:
        assert set(await restarted.versions()) == {stable, *published}
    async with running_policy(tmp_path, max_resident=1) as small:
        assert set(await small.versions()) == {stable}
        assert (await small.generate(model=versions_pb2.ModelRef(alias="run/2"))).samples


async def test_an_unusable_alias_does_not_keep_a_replica_from_starting(tmp_path) -> None:
    async with running_policy(tmp_path) as policy:
        manifest = put(policy.store, save(tmp_path / "new", model=poisoned()))
        policy.store.set_alias(KIND, "run/1", manifest.version, epoch=1)
    async with running_policy(tmp_path) as restarted:
        assert (await restarted.generate()).samples
        error = await _refused(restarted.generate(model=RUN))
    assert error.code() is FAILED_PRECONDITION


async def test_an_aborted_version_is_forgotten(policy: Policy, tmp_path) -> None:
    manifest, epoch = _stored(policy, save(tmp_path / "new", seed=2))
    await policy.prepare("stable", epoch, manifest, _folder(policy, manifest))
    abort = pb.AbortWeightsRequest(alias="stable", epoch=epoch, version=manifest.version)
    await policy.stub.AbortWeights(abort)
    await policy.stub.AbortWeights(abort)
    error = await _refused(_commit(policy, "stable", epoch, manifest.version))
    assert error.code() is FAILED_PRECONDITION
    assert "is not prepared" in error.details()


async def test_a_prepared_version_expires(tmp_path) -> None:
    async with running_policy(tmp_path, prepared_ttl_s=0.02, kept_retired=0) as policy:
        manifest, epoch = _stored(policy, save(tmp_path / "new", seed=2))
        await policy.prepare("stable", epoch, manifest, _folder(policy, manifest))

        async def is_gone() -> bool:
            return manifest.version not in await policy.versions()

        await until(is_gone)
        error = await _refused(_commit(policy, "stable", epoch, manifest.version))
    assert error.code() is FAILED_PRECONDITION


async def test_an_old_epoch_is_fenced_off(policy: Policy, tmp_path) -> None:
    manifest, old = _stored(policy, save(tmp_path / "new", seed=2))
    await policy.prepare("stable", old, manifest, _folder(policy, manifest))
    policy.store.acquire_lease(KIND, "stable", "test", ttl_s=60)  # a newer publisher
    for call in (
        _commit(policy, "stable", old, manifest.version),
        policy.prepare("stable", old, manifest, _folder(policy, manifest)),
    ):
        error = await _refused(call)
        assert error.code() is FAILED_PRECONDITION
        assert f"epoch {old} of alias 'stable' is fenced off" in error.details()


async def test_rollback_is_a_commit_of_the_old_version_under_a_new_epoch(
    policy: Policy, tmp_path
) -> None:
    old = policy.store.resolve(KIND, "stable")
    await policy.publish("stable", save(tmp_path / "new", seed=2))
    epoch = policy.store.acquire_lease(KIND, "stable", "test", ttl_s=60)
    manifest = policy.store.manifest(KIND, old)
    await policy.prepare("stable", epoch, manifest, _folder(policy, manifest))
    await _commit(policy, "stable", epoch, old)
    assert (await policy.generate()).started.policy_version == old


async def test_only_the_newest_retired_version_is_kept(policy: Policy, tmp_path) -> None:
    published = [
        (await policy.publish("run/1", save(tmp_path / f"new{seed}", seed=seed))).version
        for seed in (2, 3, 4)
    ]
    await policy.generate()
    base = policy.store.resolve(KIND, "base")
    assert set(await policy.versions()) == {base, *published[1:]}


async def test_requests_finish_on_the_version_they_began_with(policy: Policy, tmp_path) -> None:
    old = policy.store.resolve(KIND, "stable")
    folders = [save(tmp_path / f"new{seed}", seed=seed) for seed in (2, 3)]
    load = [
        asyncio.create_task(policy.generate(f"{i}", max_tokens=120, ignore_eos=True, seed=i))
        for i in range(12)
    ]
    published = [(await policy.publish("stable", folder)).version for folder in folders]
    answers = await asyncio.gather(*load)
    for answer in answers:
        [span] = answer.samples[0].version_spans
        assert span.policy_version == answer.started.policy_version
        assert span.end == 120
    assert {a.started.policy_version for a in answers} <= {old, *published}
    assert (await policy.generate()).started.policy_version == published[-1]


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        ("checksum", grpc.StatusCode.DATA_LOSS, "does not match its checksum"),
        ("missing tensor", INVALID, "missing lm_head.weight"),
        ("extra tensor", INVALID, "unexpected stray"),
        ("shape", INVALID, "lm_head.weight has shape"),
        ("nan", INVALID, "lm_head.weight holds NaN"),
        ("no weights", INVALID, "lacks model.safetensors"),
        ("config", INVALID, "is not valid"),
        ("fingerprint", INVALID, "preprocessing is 'other'"),
        ("kind", INVALID, "kind is 'reward'"),
        ("digest", grpc.StatusCode.DATA_LOSS, "its content is policy-"),
    ],
)
@pytest.mark.parametrize("way", ["shared", "streamed"])
async def test_spoiled_weights_are_refused_and_serving_goes_on(
    policy: Policy, tmp_path, spoil: str, code: grpc.StatusCode, message: str, way: str
) -> None:
    before = await policy.generate()
    model = poisoned() if spoil == "nan" else None
    folder = save(tmp_path / "new", seed=2, model=model)
    manifest = _spoil(folder, spoil)
    if way == "shared":
        call = policy.prepare("stable", 5, manifest, folder)
    else:
        call = policy.stub.PrepareWeights(_chunks(header_of("stable", 5, manifest), folder))
    error = await _refused(call)
    assert error.code() is code
    assert message in error.details()
    after = await policy.generate()
    assert (after.ids, after.started.policy_version) == (before.ids, before.started.policy_version)
    assert manifest.version not in policy.store.versions(KIND)


async def test_weights_are_read_from_known_folders_only(policy: Policy, tmp_path_factory) -> None:
    folder = save(tmp_path_factory.mktemp("elsewhere"), seed=2)
    error = await _refused(policy.prepare("run/1", 1, _manifest(folder), folder))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "is below none of" in error.details()


async def test_spoiled_weights_in_the_store_are_refused_too(policy: Policy, tmp_path) -> None:
    manifest, epoch = _stored(policy, save(tmp_path / "new", model=poisoned()))
    error = await _refused(policy.prepare("stable", epoch, manifest, _folder(policy, manifest)))
    assert (error.code(), "holds NaN" in error.details()) == (INVALID, True)
    named = versions_pb2.ModelRef(version=manifest.version)
    error = await _refused(policy.generate(model=named))
    assert error.code() is FAILED_PRECONDITION
    assert (await policy.generate()).samples


@pytest.mark.parametrize("fault", ["order", "short", "long", "stranger", "no header", "nothing"])
async def test_a_broken_stream_is_refused(policy: Policy, tmp_path, fault: str) -> None:
    folder = save(tmp_path / "new", seed=2)
    parts = list(_chunks(header_of("run/1", 1, _manifest(folder)), folder))
    match fault:
        case "order":
            parts[2:4] = parts[3:1:-1]
        case "short":
            del parts[-1]
        case "long":
            parts.append(parts[-1])
        case "stranger":
            parts[-1].chunk.name = "../evil"
        case "no header":
            del parts[0]
        case "nothing":
            parts = []
    error = await _refused(policy.stub.PrepareWeights(iter(parts)))
    expected = grpc.StatusCode.DATA_LOSS if fault == "short" else INVALID
    assert error.code() is expected
    assert (await policy.generate()).samples


def _stored(policy: Policy, folder: Path) -> tuple[Manifest, int]:
    epoch = policy.store.acquire_lease(KIND, "stable", "test", ttl_s=60)
    return put(policy.store, folder), epoch


def _folder(policy: Policy, manifest: Manifest) -> Path:
    return policy.store.folder(KIND, manifest.version)


def _manifest(folder: Path) -> Manifest:
    return describe(KIND, folder, make_preprocessor().fingerprint, {"run": "test"})


def _spoil(folder: Path, spoil: str) -> Manifest:
    """Spoils a checkpoint, and says what its publisher would say of it."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    tensors = load_file(weights)
    match spoil:
        case "missing tensor":
            del tensors["lm_head.weight"]
        case "extra tensor":
            tensors["stray"] = tensors["lm_head.weight"].clone()
        case "shape":
            tensors["lm_head.weight"] = tensors["lm_head.weight"][:, :3].clone()
        case "config":
            config.write_text(json.dumps({"model": {"decoder": {"width": "wide"}}}))
        case "no weights":
            weights.unlink()
    if spoil in {"missing tensor", "extra tensor", "shape"}:
        save_file(tensors, weights)
    fingerprint = "other" if spoil == "fingerprint" else make_preprocessor().fingerprint
    manifest = describe("reward" if spoil == "kind" else KIND, folder, fingerprint, {})
    if spoil == "checksum":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    if spoil == "digest":
        return manifest.model_copy(update={"version": "policy-0123456789abcdef"})
    return manifest


def _chunks(header: pb.PrepareWeightsHeader, folder: Path, size: int = 100_000):
    yield pb.PrepareWeightsRequest(header=header)
    for file in header.manifest.files:
        data = (folder / file.name).read_bytes()
        for offset in range(0, len(data), size):
            chunk = pb.FileChunk(name=file.name, offset=offset, data=data[offset : offset + size])
            yield pb.PrepareWeightsRequest(chunk=chunk)


async def _commit(policy: Policy, alias: str, epoch: int, version: str):
    request = pb.CommitWeightsRequest(alias=alias, epoch=epoch, version=version)
    return await policy.stub.CommitWeights(request)


async def _refused(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value
