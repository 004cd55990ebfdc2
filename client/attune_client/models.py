"""Which model a request names."""

import re

from attune_client.protos.v1.versions_pb2 import ModelRef

# As the version store and the reward service make names; none of them is a good alias.
_VERSION = re.compile(r"(policy|reward)-[0-9a-f]{16}|(program|user|blend)/.+")


def model_ref(name: str) -> ModelRef:
    """A version or a scorer by the form of its name ("program/world"); all else is an alias."""
    return ModelRef(version=name) if _VERSION.fullmatch(name) else ModelRef(alias=name)
