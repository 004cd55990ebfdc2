"""The five services on this machine: where they listen, what they get, who watches over them.

layout: names and ports · cores: threads · state: what is up · children: the processes ·
supervisor: start, restart, stop · connection: how commands reach them.
"""
