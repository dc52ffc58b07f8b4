"""httpx: one client; every second answer as a stream."""
import httpx
import plan

with httpx.Client() as client:
    for number, (url, headers, body) in enumerate(plan.requests()):
        if number % 2:
            with client.stream("POST", url, content=body, headers=headers) as response:
                plan.say(response.status_code, b"".join(response.iter_bytes()))
        else:
            response = client.post(url, content=body, headers=headers)
            plan.say(response.status_code, response.content)
