"""The HTTP gateway: the OpenAI-compatible API, health, feedback, and the web page. Stateless.

app.py puts it together; openai/ holds the compatible routes, web/ the page; backends.py is the way
to the other services; errors.py is what a failure looks like.
"""
