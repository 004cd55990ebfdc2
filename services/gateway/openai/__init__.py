"""The routes and shapes of OpenAI's HTTP API, so that its clients work unchanged.

chat_request/chat_answer/chat_stream make up /v1/chat/completions, transcription_form and
transcriptions /v1/audio/transcriptions; images, models are one file each. content_parts and media
are what messages hold, content.py turns them into prompts; generation.py runs the call that all of
them stand on.
"""
