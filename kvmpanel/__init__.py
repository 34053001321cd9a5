"""The Django project: settings, urls, asgi: nothing else."""
