"""Makes the base checkpoint from the default world: tokenizer, image tokenizer, then the model.

config · language (tokenizer) · batches (data) · picture_codes (VQ) · learning (loss, optimiser,
schedule) · sampling and validation · state (resuming) · stage (the whole) · __main__
"""
