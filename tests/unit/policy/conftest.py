from collections.abc import Iterator

import pytest

from models.preprocessing.prompt import Preprocessor
from services.policy.engine.engine import Engine
from services.policy.engine.served_model import ServedModel
from tests.unit.policy.tiny_policy import make_preprocessor, make_served, running_engine


@pytest.fixture(scope="session")
def preprocessor() -> Preprocessor:
    return make_preprocessor()


@pytest.fixture(scope="session")
def served(preprocessor: Preprocessor) -> ServedModel:
    return make_served(preprocessor)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with running_engine() as engine:
        yield engine
