"""A conversation in the terminal.

session: what is said and attached · picture: pictures as block characters · command: the loop.
"""
