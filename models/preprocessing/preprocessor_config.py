"""What decides how media and codes become ids: part of a checkpoint's config.json."""

from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.decoding import MediaSettings
from models.preprocessing.images import MediaLimits, SquarePadding
from models.preprocessing.log_mel import AudioGrid
from models.preprocessing.token_scheme import TokenScheme


def _is_absent(section: object) -> bool:
    """What no model had before families stays out of files and fingerprints of those models."""
    return section is None


class VideoGrid(BaseModel):
    """How clips become frames and placeholder ids; part of a checkpoint's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_frames: int = Field(8, ge=1, description="spread evenly over the clip")
    tokens_per_frame: int = Field(16, ge=1, description="placeholder ids of one frame")


class PreprocessorConfig(BaseModel):
    """What decides how media and codes become ids; part of a checkpoint's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile_size: int = Field(32, ge=1, description="side of a vision tile, pixels")
    patches_per_tile: int = Field(
        64, ge=0, description="placeholder ids of one tile; 0: pictures are refused"
    )
    codebook_size: int = Field(
        256, ge=0, description="image codes: ids V … V+K-1; 0: none are drawn"
    )
    max_tiles: int = Field(4, ge=1, description="largest grid of one picture")
    max_picture_bytes: int = Field(8 * 2**20, ge=1)
    max_picture_pixels: int = Field(16 * 2**20, ge=1)

    audio: AudioGrid | None = Field(None, description="absent: recordings are refused")
    video: VideoGrid | None = Field(None, description="absent: clips are refused")
    padding: SquarePadding | None = Field(
        None, exclude_if=_is_absent, description="absent: pictures are cut into tiles"
    )
    tokens: TokenScheme | None = Field(
        None, exclude_if=_is_absent, description="of a family; absent: the project's own"
    )

    @property
    def media_settings(self) -> MediaSettings:
        """What decoding needs to know."""
        return MediaSettings(
            tile_size=self.tile_size,
            sample_rate=(self.audio or AudioGrid()).sample_rate,
            max_frames=(self.video or VideoGrid()).max_frames,
            padding=self.padding,
            picture=MediaLimits(self.max_picture_bytes, self.max_picture_pixels, self.max_tiles),
        )
