"""A conversation in the terminal.

session: what is said · attachments: media to ask about · picture: pictures as block characters ·
command: the loop.
"""
