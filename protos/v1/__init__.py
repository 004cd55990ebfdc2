"""Version 1 of the contracts: one .proto file per idea, generated code beside it."""
