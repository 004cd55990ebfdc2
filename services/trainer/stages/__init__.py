"""What a run does, by its recipe's stage: pretrain · sft · reward · policy.

`steps` is the loop that policy and sft share; `showing` picks samples for people; `heldout`
measures as a run goes on.
"""
