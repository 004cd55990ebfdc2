"""From conversation to token ids and tiles: tokenizer, media decode, prompts. No torch."""
