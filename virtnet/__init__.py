"""What a virtual network is: the five modes, the words that cross the wire, and the facts about a host.

Standard library and pydantic only. Both the panel and the agent import it; it imports neither.
"""
