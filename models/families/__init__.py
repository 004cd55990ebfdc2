"""Open families of models: Llama's class and Janus, read from folders of Hugging Face format."""
