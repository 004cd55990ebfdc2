"""Attune's client: `Client` for blocking code, `AsyncClient` for asyncio.

content: prompts and media · generation, rollouts, scoring, judging, records, run_records: what is
sent and what comes back · retries: deadlines and repeats · errors: what a call can end with ·
protos: the contracts themselves.
"""

from attune_client.async_client import AsyncClient as AsyncClient
from attune_client.client import Client as Client
from attune_client.content import Media as Media
from attune_client.content import Message as Message
from attune_client.content import assistant as assistant
from attune_client.content import audio as audio
from attune_client.content import image as image
from attune_client.content import system as system
from attune_client.content import user as user
from attune_client.content import video as video
from attune_client.errors import AttuneError as AttuneError
from attune_client.generation import Completion as Completion
from attune_client.generation import FinishReason as FinishReason
from attune_client.judging import Box as Box
from attune_client.judging import Rater as Rater
from attune_client.records import Item as Item
from attune_client.rollouts import Group as Group
from attune_client.run_records import RunState as RunState
from attune_client.scoring import Answered as Answered
from attune_client.scoring import NotScored as NotScored
from attune_client.scoring import Scores as Scores
from attune_client.scoring import ScoreStatus as ScoreStatus
