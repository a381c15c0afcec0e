"""A local Messages API, and one of Chat Completions (`ChatServer`), with scripted replies.

`MessagesServer` serves until its block is left: each request takes the next script of its queue,
else the first rule whose substring stands in the user message, else the default. It also limits the
rate of requests, has a prompt cache, takes batches, and adds up what it charges (at 2 and 10 USD a
million tokens), where a test asks for it.
"""

from __future__ import annotations

from .accounts import RateLimit, Reply, Sums
from .chat import ChatServer
from .script import KEY, Received, Script
from .server import MessagesServer

__all__ = [
    "KEY",
    "ChatServer",
    "MessagesServer",
    "RateLimit",
    "Received",
    "Reply",
    "Script",
    "Sums",
]
