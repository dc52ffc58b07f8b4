"""http.client: a connection for each host, kept alive; streams read in small pieces."""
import http.client
from urllib.parse import urlsplit

import plan

connections = {}
for url, headers, body in plan.requests():
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    link = connections.setdefault((parts.scheme, parts.netloc), kind(parts.netloc))
    link.request("POST", parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
    response = link.getresponse()
    received = b""
    while piece := response.read1(100):
        received += piece
    response.read()
    plan.say(response.status, received)
