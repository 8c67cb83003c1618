"""The section `system_prompt`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from headgate.config.files import read
from headgate.config.section import Section
from headgate.config.values import Clash, Text


class SystemPromptSettings(Section):
    text: Text = Field(default=None, description="The prompt that is put into conversations.")
    file: Text = Field(default=None, description="A UTF-8 file that holds the prompt.")
    mode: Literal["if_absent", "prepend", "replace", "none"] = Field(
        default="if_absent",
        description="When it is put in: `if_absent`, `prepend`, `replace`, `none`.",
    )
    allow_override: bool = Field(
        default=True, description="Whether a request may choose its own prompt."
    )

    def read_text(self) -> str:
        """The prompt, from the setting or from the file; empty for none.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.file is None:
            return self.text or ""
        return read("system_prompt.file", self.file).removesuffix("\n")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.text is not None and self.file is not None:
            raise Clash("file", self.file, "must not be set together with system_prompt.text")
        return self
