"""pycurl: handles used again, reset, and duplicated; half of them in a multi handle."""
import io

import plan
import pycurl


def prepare(handle, url, headers, body):
    received = io.BytesIO()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.POSTFIELDS, body)
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
    handle.setopt(pycurl.ACCEPT_ENCODING, "")
    handle.setopt(pycurl.WRITEFUNCTION, received.write)
    return received


everything = list(plan.requests())
handle = pycurl.Curl()
for number, request in enumerate(everything[::2]):
    if number % 3 == 2:
        handle.reset()
    received = prepare(handle, *request)
    handle.perform()
    plan.say(handle.getinfo(pycurl.RESPONSE_CODE), received.getvalue())

multi = pycurl.CurlMulti()
under_way = []
for request in everything[1::2]:
    other = handle.duphandle()
    under_way.append((other, prepare(other, *request)))
    multi.add_handle(other)
running = len(under_way)
while running:
    status, running = multi.perform()
    if running:
        multi.select(1.0)
for other, received in under_way:
    plan.say(other.getinfo(pycurl.RESPONSE_CODE), received.getvalue())
    multi.remove_handle(other)
    other.close()
multi.close()
handle.close()
