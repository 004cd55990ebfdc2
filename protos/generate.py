"""Generates the Python code beside the .proto files, and what the client's package has a copy of.

That is the generated code, and the table of media types. `--check` only compares with the tree.
"""

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_CLIENT = Path("client/attune_client")
_MEDIA_TYPES = Path("models/preprocessing/media_types.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the committed code is stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
        fresh += [_copy_for_client(path, Path(scratch)) for path in fresh]
        fresh.append(_copied_media_types(Path(scratch)))
        stale = [p for p in fresh if not _same(p, ROOT / p.relative_to(scratch))]
        for path in stale:
            target = ROOT / path.relative_to(scratch)
            print(("stale: " if check else "wrote ") + str(target.relative_to(ROOT)))
            if not check:
                shutil.copyfile(path, target)
    if check and stale:
        print("Run `python -m protos.generate` and commit the result.", file=sys.stderr)
        return 1
    return 0


def generate(out: Path) -> list[Path]:
    """Runs protoc with the Python, gRPC and mypy plugins; returns the files written under `out`."""
    sources = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "protos").glob("v*/*.proto"))
    plugins = Path(sysconfig.get_path("scripts"))
    well_known = str(resources.files("grpc_tools") / "_proto")
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", f"-I{well_known}"),
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        *(f"--python_out={out}", f"--grpc_python_out={out}"),
        *(f"--mypy_out={out}", f"--mypy_grpc_out={out}"),
        *sources,
    ]
    subprocess.run(command, check=True)
    # Only files with a service get gRPC stubs worth keeping.
    written = sorted(out.rglob("*_pb2*.py*"))
    services = {Path(s).stem for s in sources if "\nservice " in (ROOT / s).read_text()}
    return [p for p in written if "_grpc" not in p.name or p.name.split("_pb2")[0] in services]


def _copy_for_client(path: Path, out: Path) -> Path:
    """Imports and module names move into the package; descriptors and their file names stay.

    So both copies can be imported in one process: to protobuf they are the same files.
    """
    copy = out / _CLIENT / path.relative_to(out)
    copy.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text().replace("from protos.v1 import", "from attune_client.protos.v1 import")
    copy.write_text(text.replace("'protos.v1.", "'attune_client.protos.v1."))
    return copy


def _copied_media_types(out: Path) -> Path:
    """Client and services tell media alike; the module imports nothing of Attune."""
    return Path(shutil.copyfile(ROOT / _MEDIA_TYPES, out / _CLIENT / _MEDIA_TYPES.name))


def _same(fresh: Path, committed: Path) -> bool:
    return committed.exists() and committed.read_bytes() == fresh.read_bytes()


if __name__ == "__main__":
    raise SystemExit(main())
