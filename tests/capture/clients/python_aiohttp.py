"""aiohttp (TLS over a memory BIO): all requests at one time."""
import asyncio

import aiohttp
import plan


async def one(session, url, headers, body):
    async with session.post(url, data=body, headers=headers) as response:
        return response.status, await response.read()


async def main():
    async with aiohttp.ClientSession() as session:
        for answer in await asyncio.gather(*[one(session, *request) for request in plan.requests()]):
            plan.say(*answer)


asyncio.run(main())
