"""The pages of modes, networks, guests and changes."""
