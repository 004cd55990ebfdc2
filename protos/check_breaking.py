"""Refuses changes that break clients of the released contracts; additions pass.

`python -m protos.check_breaking` compares the .proto files with protos/v1/released.binpb, what the
last release speaks; at a release, `--release` puts the present ones in its place.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.breaking_changes import breaking_changes

_ROOT = Path(__file__).resolve().parent.parent
RELEASED = _ROOT / "protos/v1/released.binpb"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true", help="keep the present contracts")
    is_release = parser.parse_args().release
    present = present_contracts()
    if is_release:
        RELEASED.write_bytes(present.SerializeToString(deterministic=True))
        print(f"wrote {RELEASED.relative_to(_ROOT)}")
        return 0
    changes = breaking_changes(released_contracts(), present)
    for change in changes:
        print(change)
    if changes:
        print("Clients of the last release would break; add beside what is there.", file=sys.stderr)
    return 1 if changes else 0


def released_contracts() -> FileDescriptorSet:
    """As the last release has them."""
    return FileDescriptorSet.FromString(RELEASED.read_bytes())


def present_contracts() -> FileDescriptorSet:
    """As the .proto files have them now."""
    sources = sorted(str(p.relative_to(_ROOT)) for p in (_ROOT / "protos/v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "present.binpb")
        protoc = (sys.executable, "-m", "grpc_tools.protoc", f"-I{_ROOT}")
        subprocess.run([*protoc, f"--descriptor_set_out={out}", *sources], check=True)
        return FileDescriptorSet.FromString(out.read_bytes())


if __name__ == "__main__":
    raise SystemExit(main())
