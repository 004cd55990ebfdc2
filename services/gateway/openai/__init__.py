"""The routes and shapes of OpenAI's HTTP API, so that its clients work unchanged.

chat_request/chat_answer/chat_stream make up /v1/chat/completions; images, models are one file each;
content.py turns messages into prompts; generation.py runs the call that all of them stand on.
"""
