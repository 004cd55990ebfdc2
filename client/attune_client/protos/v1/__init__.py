"""Version 1 of the contracts, byte for byte what the services speak."""
