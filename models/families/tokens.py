"""From a folder's tokenizer files to the token scheme of its model."""

import re
from collections.abc import Iterable

import tokenizers

from models.checkpoint_error import CheckpointError
from models.families.chat_formats import CHAT_FORMAT, ChatFormat, Words
from models.families.folder import FamilyFolder
from models.preprocessing.special_tokens import SpecialTokens
from models.preprocessing.token_scheme import Enclosure, Spelling, TokenScheme

TOKENIZER, SETTINGS, GENERATION = (
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
)


class FolderTokens:
    """All tokens by name and id, and which of them are special."""

    def __init__(self, folder: FamilyFolder) -> None:
        self._folder = folder
        self._settings = folder.json_of(SETTINGS)
        added = folder.json_of(TOKENIZER).get("added_tokens") or []
        self._special_names = {token["content"] for token in added if token["special"]}
        self._id_of = _backend(folder).get_vocab(with_added_tokens=True)
        self._name_of = {token_id: name for name, token_id in self._id_of.items()}

    def named(self, name: str, default: str) -> str:
        """The token that tokenizer_config.json gives under this name (`boi_token`)."""
        extra = self._settings.get("extra_special_tokens")
        given = self._settings.get(name) or (extra.get(name) if isinstance(extra, dict) else None)
        return _content(given) or default

    def id_named(self, name: str) -> int:
        """Raises CheckpointError for one that the tokenizer does not know."""
        if name not in self._id_of:
            raise CheckpointError(f"{self._folder.path / TOKENIZER} has no token {name!r}")
        return self._id_of[name]

    def role_id(self, role: str, *configs: dict[str, object]) -> int | None:
        """Id of `eos`, `bos` or `pad`: by name in tokenizer_config.json, else by number."""
        name = _content(self._settings.get(f"{role}_token"))
        if name is not None:
            return self.id_named(name)
        for config in (self._folder.json_of(GENERATION), *configs):
            value = config.get(f"{role}_token_id")
            first = value[0] if isinstance(value, list) and value else value
            if isinstance(first, int):
                return first
        return None

    def special(self, *configs: dict[str, object]) -> SpecialTokens:
        """Raises CheckpointError for a model whose answers have no end."""
        end = self.role_id("eos", *configs)
        if end is None:
            raise CheckpointError(
                f"{self._folder.path} gives no eos_token, and no eos_token_id; answers need an end"
            )
        pad = self.role_id("pad", *configs)
        begins = self._settings.get("add_bos_token") is not False
        return SpecialTokens(
            pad=end if pad is None else pad,
            end=end,
            bos=self.role_id("bos", *configs) if begins else None,
        )

    def name(self, token_id: int) -> str:
        """How the tokenizer writes an id."""
        if token_id not in self._name_of:
            raise CheckpointError(f"{self._folder.path / TOKENIZER} has no token {token_id}")
        return self._name_of[token_id]

    def scheme(self, known: ChatFormat, special: SpecialTokens, num_ids: int) -> TokenScheme:
        """The folder's own format where it brings one, else the known one, in ids."""
        own = self._folder.json_of(CHAT_FORMAT)
        chat = ChatFormat.model_validate(own) if own else known
        names = self._special_names | {
            self._name_of[token_id] for token_id in special.ids() if token_id in self._name_of
        }
        return TokenScheme(
            num_ids=num_ids,
            special=special,
            system=self._enclosure(chat.system, names),
            user=self._enclosure(chat.user, names),
            assistant=self._enclosure(chat.assistant, names),
            picture=self._enclosure(chat.picture, names),
            picture_separator=chat.picture_separator,
            written_prefix=chat.written_prefix,
        )

    def _enclosure(self, words: Words, names: Iterable[str]) -> Enclosure:
        opening, closing = (self._spelled(text, names) for text in words)
        return Enclosure(opening=opening, closing=closing)

    def _spelled(self, text: str, names: Iterable[str]) -> Spelling:
        longest_first = sorted(names, key=len, reverse=True)
        pieces = re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
        return tuple(self._id_of[p] if p in longest_first else p for p in pieces if p)


def _content(token: object) -> str | None:
    """A token is written as its text, or as an object that holds it."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _backend(folder: FamilyFolder) -> tokenizers.Tokenizer:
    path = folder.path / TOKENIZER
    try:
        return tokenizers.Tokenizer.from_str(path.read_text())
    except Exception as error:  # the library's errors have no class below Exception
        raise CheckpointError(f"{path} cannot be read: {error}") from error
