"""The feedback service: `attune.v1.FeedbackLog` over an append-only event table.

service (the RPCs) → items, judgements, trajectories, snapshots (one noun each) → event_log (append)
→ projections (tables beside the events, remade by rebuild); media and blobs hold encoded pictures;
database runs all of it off the event loop; migrations are Alembic's.
"""
