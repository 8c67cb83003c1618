"""Who may come in, and as whom: TLS, caller identity, bearer tokens, authorization.

What decides is plain code (`peer`, `forwarded`, `tokens`, `web_tokens`, `refusals`); what touches
files and the network is `files`, `certificate` and `key_ring`; `access` is what the faces ask.
"""

from headgate.security.access import Access
from headgate.security.peer import Peer
from headgate.security.security import Security

__all__ = ["Access", "Peer", "Security"]
