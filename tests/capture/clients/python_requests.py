"""requests: one session; every second answer as a stream."""
import plan
import requests

with requests.Session() as session:
    for number, (url, headers, body) in enumerate(plan.requests()):
        with session.post(url, data=body, headers=headers, stream=number % 2 == 1) as response:
            plan.say(response.status_code, b"".join(response.iter_content(None)) if number % 2 else response.content)
