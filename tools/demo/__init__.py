"""The demonstration: seven guests, seven ways a migration can go."""
