"""What the feedback service can be told."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.common.config import ServiceConfig


class FeedbackConfig(ServiceConfig):
    """State lies in `home/feedback` unless `database_url` names a database elsewhere."""

    model_config = SettingsConfigDict(env_prefix="ATTUNE_FEEDBACK_")

    port: int = Field(7004, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    metrics_port: int = Field(7104, ge=0, le=65535, description="Prometheus port; 0: a free one")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; SQLite under home where it is not given"
    )
    migrate: Literal["auto", "always", "never"] = Field(
        "auto", description="bring the schema up to date at start; auto does so for SQLite only"
    )
    max_media_mib: int = Field(32, ge=1, le=512, description="largest single media item")
    max_inline_mib: int = Field(32, ge=1, le=512, description="media bytes put into one answer")
    max_batch: int = Field(1000, ge=1, le=10_000, description="most records in one request")
    max_page: int = Field(1000, ge=1, le=10_000, description="most records on one page")
    readers: int = Field(4, ge=1, le=64, description="threads that read the database and blobs")
    max_pending: int = Field(256, ge=1, description="requests that may wait for a database thread")

    @model_validator(mode="after")
    def _answers_fit_messages(self) -> Self:
        if self.max_inline_mib >= self.max_message_mib:
            raise ValueError(
                f"max_inline_mib ({self.max_inline_mib}) must be less than max_message_mib "
                f"({self.max_message_mib}): an answer carries its media within one message"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where the database file and the blobs lie."""
        return self.home / "feedback"

    @property
    def resolved_database_url(self) -> str:
        """`database_url`, or SQLite's under `folder`."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.folder / 'feedback.db').absolute()}"
