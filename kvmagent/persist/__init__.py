"""What survives a reboot: the host's own configuration, read and written, a module for each owner of it."""
