"""A model on disk: `model.safetensors`, `config.json`, `tokenizer.json`. No pickle.

Weights from elsewhere are checked before they are used: names, shapes, finite values.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.checkpoint_error import CheckpointError
from models.config import OmniConfig
from models.families.loading import describe, is_family_folder, read_family_tensors
from models.grammar import Grammar
from models.initialization import Undrawn
from models.omni import OmniModel
from models.preprocessing.images import MediaLimits, SquarePadding
from models.preprocessing.log_mel import AudioGrid
from models.preprocessing.preprocessor_config import PreprocessorConfig, VideoGrid
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.token_scheme import TokenScheme
from models.preprocessing.tokenizer import Tokenizer

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
_PACKED = ("language_model.layers.", "lm_head.")

# All of a checkpoint but its weights.
Described = tuple[OmniConfig, Preprocessor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model and the only preprocessing whose ids it understands."""

    model: OmniModel
    preprocessor: Preprocessor

    @property
    def grammar(self) -> Grammar:
        return grammar_of(self.model.config, self.preprocessor)


def grammar_of(config: OmniConfig, preprocessor: Preprocessor) -> Grammar:
    return Grammar(
        vocab_size=config.decoder.vocab_size,
        codebook_size=config.codebook_size,
        codes_per_image=config.codes_per_image,
        special=preprocessor.tokenizer.special,
    )


def preprocessing_of(
    config: OmniConfig, tokens: TokenScheme | None = None, padding: SquarePadding | None = None
) -> PreprocessorConfig:
    """The media grids that a model of this shape reads; a family spells and pads in its own way."""
    audio, video = config.audio, config.video
    return PreprocessorConfig(
        tile_size=1 if config.vision is None else config.vision.tile_size,
        patches_per_tile=config.patches_per_tile,
        codebook_size=config.codebook_size,
        max_tiles=MediaLimits().max_tiles if padding is None else 1,
        audio=audio
        and AudioGrid(
            num_mels=audio.num_mels,
            window_frames=audio.window_frames,
            frames_per_token=audio.frames_per_token,
        ),
        video=video and VideoGrid(tokens_per_frame=config.tokens_per_frame),
        padding=padding,
        tokens=tokens,
    )


def save(folder: Path, model: OmniModel, preprocessor: Preprocessor) -> None:
    """Writes the three files; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, folder / f"{WEIGHTS}.partial", metadata={"format": "pt"})
    os.replace(folder / f"{WEIGHTS}.partial", folder / WEIGHTS)
    config = {
        "model": model.config.model_dump(mode="json"),
        "preprocessor": preprocessor.config.model_dump(mode="json"),
    }
    _write(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    _write(folder / TOKENIZER, preprocessor.tokenizer.to_json())


def load(folder: Path) -> Checkpoint:
    """Reads and checks a checkpoint of the project's own or of a family (models/families);
    float32, CPU, in eval mode."""
    config, preprocessor = read_config(folder)
    model = _undrawn(config)
    load_tensors(model, _read_tensors(folder, config))
    return Checkpoint(model.eval(), preprocessor)


def borrow(folder: Path, described: Described | None = None) -> Checkpoint:
    """As `load`, for who packs the matrices of the decoder's layers and of the text head: those in
    float32 lie in the mapped file, which must stay as it is while any of them is used.

    `described` is what `read_config` would say.
    """
    config, preprocessor = described or read_config(folder)
    model = _undrawn(config)
    tensors = _read_tensors(folder, config)
    check_tensors(model, tensors)
    owned = {
        name: tensor.to(torch.float32, copy=not (name.startswith(_PACKED) and tensor.ndim == 2))
        for name, tensor in tensors.items()
    }
    model.load_state_dict(owned, assign=True)
    return Checkpoint(model.eval(), preprocessor)


def read_config(folder: Path) -> Described:
    """The configuration and preprocessing alone, without weights."""
    try:
        config, preprocessor_config = _read_sections(folder)
        tokenizer = Tokenizer.load(folder / TOKENIZER, preprocessor_config.tokens)
    except CheckpointError:
        raise
    except (ValidationError, ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(f"configuration in {folder} is not valid: {error}") from error
    if tokenizer.vocab_size != config.decoder.vocab_size:
        raise CheckpointError(
            f"tokenizer has {tokenizer.vocab_size} ids, the model {config.decoder.vocab_size}"
        )
    return config, Preprocessor(preprocessor_config, tokenizer)


def load_tensors(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies `tensors` into `model` after checking every one of them."""
    check_tensors(model, tensors)
    model.load_state_dict(dict(tensors))


def check_tensors(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError where names, shapes or values are not those of a `model`."""
    wanted = model.state_dict()
    problems = [f"missing {name}" for name in sorted(wanted.keys() - tensors.keys())]
    problems += [f"unexpected {name}" for name in sorted(tensors.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & tensors.keys()):
        expected, given = tuple(wanted[name].shape), tuple(tensors[name].shape)
        if expected != given:
            problems.append(f"{name} has shape {given}, expected {expected}")
        elif not _is_finite(tensors[name]):
            problems.append(f"{name} holds NaN or infinity")
    if problems:
        shown = "; ".join(problems[:8])
        raise CheckpointError(f"{len(problems)} unusable tensors: {shown}")


def _undrawn(config: OmniConfig) -> OmniModel:
    with torch.random.fork_rng(devices=[]), Undrawn():
        return OmniModel(config, seed=None)


def _is_finite(tensor: Tensor) -> bool:
    """A sum is finite only if all of it is, and takes a tenth of the time; it may overflow."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _read_sections(folder: Path) -> tuple[OmniConfig, PreprocessorConfig]:
    _check_files(folder, CONFIG, TOKENIZER)
    if is_family_folder(folder):
        described = describe(folder)
        preprocessor = preprocessing_of(described.config, described.tokens, described.padding)
        return described.config, preprocessor
    sections = json.loads((folder / CONFIG).read_text())
    preprocessor = PreprocessorConfig.model_validate(sections["preprocessor"])
    return OmniConfig.model_validate(sections["model"]), preprocessor


def _read_tensors(folder: Path, config: OmniConfig) -> dict[str, Tensor]:
    if is_family_folder(folder):
        return read_family_tensors(folder, config.decoder.width)
    _check_files(folder, WEIGHTS)
    try:
        return load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} cannot be read: {error}") from error


def _check_files(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)
