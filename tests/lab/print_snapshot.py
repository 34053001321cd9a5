"""Runs on a host of the lab: prints the snapshot of its network as JSON, [[link, thing, how it is], …]."""

import json

from kvmagent import snapshot

if __name__ == "__main__":
    print(json.dumps([[*key, value] for key, value in snapshot.take().items()]))
