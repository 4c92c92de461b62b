"""Two services that take their time, a configuration in front of them, and clients: something to look at on the page.

Usage: world.py CONFIGURATION JOBS_ADDRESS ADMIN_ADDRESS JOBS_A_SECOND SECONDS. It writes the configuration, says `ready`, and begins
when it reads a line.
"""

import asyncio
import math
import random
import sys

CONFIG, JOBS, ADMIN, RATE, SECONDS = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5])
KINDS = {"/render": (5, 0.02), "/encode": (3, 0.06), "/thumbnail": (4, 0.005)}
PUBLIC = {"/render": 0.45, "/encode": 0.9, "/thumbnail": 1.6}


async def service(slots, speeds):
    """A service with so many slots that takes longer for larger jobs, and never quite as long."""
    free = asyncio.Semaphore(slots)

    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                await reader.readexactly(int(lengths[0]) if lengths else 0)
                kind, _, size = head.split(" ")[1].partition("?size=")
                async with free:
                    spread = math.exp(random.gauss(0, 0.25))
                    await asyncio.sleep(KINDS[kind][1] * float(size) ** 0.8 * speeds.get(kind, 1) * spread)
                body = b"x" * (2000 * int(size))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def job(kind, size, urgency):
    host, port = JOBS.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = "y" * (40 * size)
    writer.write(f"POST {kind}?size={size} HTTP/1.1\r\nhost: a\r\npriority: u={urgency}\r\nconnection: close\r\n"
                 f"content-length: {len(body)}\r\n\r\n{body}".encode())
    while await reader.read(65536):
        pass
    writer.close()


async def main():
    private, public = await service(4, {}), await service(16, PUBLIC)
    with open(CONFIG, "w") as file:
        file.write(f"""home = "private"
listen.jobs = "{JOBS}"
listen.admin = "{ADMIN}"
oracle.first_after = 100
oracle.refit_after = 300
oracle.refit_every = "5s"
shadow.sample_share = 0.05

[networks.private]
upstreams = ["http://127.0.0.1:{private}"]
capacity = 4
price = {{ slot_second = 0.05 }}

[networks.public]
upstreams = ["http://127.0.0.1:{public}"]
capacity = 16
price = {{ slot_second = 0.4, gib_moved = 0.09 }}
spend = {{ per_hour = 900.0 }}

[[routes]]
name = "media"
class_by = "segment:0"
shadow = "on"
repeatable = true
extract.x_size = "query:size"
""")
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    loop, running = asyncio.get_running_loop(), set()
    end = loop.time() + SECONDS
    while loop.time() < end:
        kind = random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        task = asyncio.create_task(job(kind, random.randint(1, 40), random.choice([1, 2, 3, 3, 3, 5])))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(random.expovariate(RATE))
    await asyncio.gather(*running, return_exceptions=True)


asyncio.run(main())
