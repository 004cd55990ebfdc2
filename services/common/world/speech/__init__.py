"""Speech by code: any text in any of many voices, without recordings or a model.

lexicon (words to phonemes) · phonemes (what each sounds like) · voices (of each split) · prosody
(when each sounds, and how high) · synthesizer (the waveform). numpy only.
"""
