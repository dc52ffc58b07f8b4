"""httpx by HTTP/2: one connection, all requests on it."""
import httpx
import plan

with httpx.Client(http2=True) as client:
    for url, headers, body in plan.requests():
        response = client.post(url, content=body, headers=headers)
        plan.say(response.status_code, response.http_version.encode() + response.content)
