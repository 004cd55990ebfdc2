"""How a conversation is spelled: special ids, and what stands around turns and pictures.

A model of the project's own has one id for each role (`own_scheme`). A family's scheme is prepared
when its folder is first read (models/families) and kept in config.json.
"""

from typing import Self

from pydantic import Field, model_validator

from models.preprocessing.conversation import Role
from models.preprocessing.special_tokens import SpecialTokens
from models.section import Section

# Ids stand as they are; text is encoded together with the text that it touches.
Spelling = tuple[int | str, ...]


class Enclosure(Section):
    """What stands before and after."""

    opening: Spelling = ()
    closing: Spelling = ()


class TokenScheme(Section):
    """Part of a checkpoint's config.json, for a model of a family."""

    num_ids: int = Field(ge=1, description="text ids of the model; the tokenizer may know fewer")
    special: SpecialTokens
    system: Enclosure
    user: Enclosure
    assistant: Enclosure = Field(description="its opening is where an answer starts")
    picture: Enclosure = Enclosure()
    picture_separator: str = Field("", description="between a picture and its neighbours in a turn")
    written_prefix: str = Field(
        "",
        description="begins the text of an answer that was written; sampled ones bring their own",
    )

    @model_validator(mode="after")
    def _ids_are_in_range(self) -> Self:
        out_of_range = sorted(i for i in self.special.ids() if not 0 <= i < self.num_ids)
        if out_of_range:
            raise ValueError(f"special ids {out_of_range} are not in 0 … {self.num_ids - 1}")
        return self

    def of_role(self, role: Role) -> Enclosure:
        """What encloses a turn."""
        return {Role.SYSTEM: self.system, Role.USER: self.user, Role.ASSISTANT: self.assistant}[
            role
        ]


def own_scheme(special: SpecialTokens, num_ids: int) -> TokenScheme:
    """`role … end` for each turn."""
    return TokenScheme(
        num_ids=num_ids,
        special=special,
        system=_turn(special.system, special),
        user=_turn(special.user, special),
        assistant=_turn(special.assistant, special),
    )


def _turn(role_id: int | None, special: SpecialTokens) -> Enclosure:
    assert role_id is not None
    return Enclosure(opening=(role_id,), closing=(special.end,))
