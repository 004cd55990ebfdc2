"""What a folder of a family says of its model, in the project's own terms."""

from dataclasses import dataclass

from models.config import OmniConfig
from models.preprocessing.images import SquarePadding
from models.preprocessing.token_scheme import TokenScheme


@dataclass(frozen=True, slots=True)
class Description:
    """`padding` is how it sees pictures, if it does."""

    config: OmniConfig
    tokens: TokenScheme
    padding: SquarePadding | None = None
