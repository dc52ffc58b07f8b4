"""httpx with asyncio (TLS over a memory BIO): all requests at one time."""
import asyncio

import httpx
import plan


async def one(client, url, headers, body):
    async with client.stream("POST", url, content=body, headers=headers) as response:
        return response.status_code, b"".join([piece async for piece in response.aiter_bytes()])


async def main():
    async with httpx.AsyncClient() as client:
        for answer in await asyncio.gather(*[one(client, *request) for request in plan.requests()]):
            plan.say(*answer)


asyncio.run(main())
