"""urllib, and below it http.client."""
import urllib.error
import urllib.request

import plan

for url, headers, body in plan.requests():
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="POST")) as response:
            plan.say(response.status, response.read())
    except urllib.error.HTTPError as response:
        plan.say(response.code, response.read())
