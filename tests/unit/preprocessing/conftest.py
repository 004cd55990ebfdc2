import pytest

from models.preprocessing.preprocessor_config import PreprocessorConfig
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    numbers = " ".join(["x", *map(str, range(33))])
    return Tokenizer.train(["a red circle above a blue square", "draw it", numbers] * 4, 360)


@pytest.fixture(scope="session")
def preprocessor(tokenizer: Tokenizer) -> Preprocessor:
    return Preprocessor(
        PreprocessorConfig(tile_size=8, patches_per_tile=4, codebook_size=16), tokenizer
    )
