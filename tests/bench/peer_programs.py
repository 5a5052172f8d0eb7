"""One system that runs tasks, with two workers that echo: ``peer_programs.py NAME PLACE``.

It runs in an environment of its own, so that only the standard library and the system itself
are used. Once a task has gone through it says ``ready``. ``seq SECONDS`` on standard input has
it ask one after the other, ``burst COUNT`` all at once; it answers with a line of JSON.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

# What is in this directory is not for the systems to import.
sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]

DATA = "x" * 112
WORKERS = 2
PATIENCE = 60.0


def echo(data):
    """Be the task."""
    return data


def free_port():
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(*commands):
    """Run commands, and end all that they have started."""
    children = []
    try:
        for command in commands:
            children.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True
                )
            )
        yield
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def listening(port):
    """Wait until somebody listens at ``port``."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens at {port}")


def program(name):
    """Return the path of a program that came with a package."""
    return os.path.join(os.path.dirname(sys.executable), name)


@contextlib.contextmanager
def redis():
    """Run a Redis that keeps nothing; yield its URL."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(words):
        listening(port)
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def nats(place):
    """NATS: requests to a queue group of two processes."""
    del place
    import nats as library

    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    server = ["nats-server", "-a", "127.0.0.1", "-p", str(port)]
    with running(server):
        listening(port)
        with running(*[[sys.executable, __file__, "nats-worker", url]] * WORKERS):
            loop = asyncio.new_event_loop()
            connection = loop.run_until_complete(library.connect(url))

            async def one():
                return (await connection.request("echo", DATA.encode(), timeout=PATIENCE)).data

            async def many(count):
                return await asyncio.gather(*(one() for _ in range(count)))

            def ask():
                return loop.run_until_complete(one()).decode()

            yield (
                ask,
                lambda count: [each.decode() for each in loop.run_until_complete(many(count))],
            )


def nats_worker(url):
    """Be one of its workers."""
    import nats as library

    async def serve():
        connection = await library.connect(url)

        async def answer(message):
            await message.respond(message.data)

        await connection.subscribe("echo", queue="workers", cb=answer)
        await asyncio.Event().wait()

    asyncio.run(serve())


CELERY = """
import os
from celery import Celery
app = Celery("bench_celery", broker=os.environ["URL"], backend=os.environ["URL"])
app.conf.update(worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)

@app.task
def echo(data):
    return data
"""


@contextlib.contextmanager
def celery(place):
    """Celery with Redis, two processes of its worker."""
    with redis() as url:
        _module(place, "bench_celery", CELERY, url)
        words = ["-A", "bench_celery", "worker", "-c", str(WORKERS), "-l", "ERROR"]
        with running([program("celery"), *words]):
            from bench_celery import echo as task

            def many(count):
                return [found.get(PATIENCE) for found in [task.delay(DATA) for _ in range(count)]]

            yield lambda: task.delay(DATA).get(PATIENCE), many


DRAMATIQ = """
import os
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
broker = RedisBroker(url=os.environ["URL"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["URL"])))
dramatiq.set_broker(broker)

@dramatiq.actor(store_results=True)
def echo(data):
    return data
"""


@contextlib.contextmanager
def dramatiq(place):
    """dramatiq with Redis, two processes of one thread."""
    with redis() as url:
        _module(place, "bench_dramatiq", DRAMATIQ, url)
        words = ["bench_dramatiq", "-p", str(WORKERS), "-t", "1"]
        with running([program("dramatiq"), *words]):
            from bench_dramatiq import echo as task

            def take(message):
                return message.get_result(block=True, timeout=round(PATIENCE * 1000))

            def many(count):
                return [take(message) for message in [task.send(DATA) for _ in range(count)]]

            yield lambda: take(task.send(DATA)), many


RQ = """
def echo(data):
    return data
"""


@contextlib.contextmanager
def rq(place):
    """RQ, two workers; each forks for every job, as is usual there."""
    with redis() as url:
        _module(place, "bench_rq", RQ, url)
        from redis import Redis
        from rq import Queue

        worker = [program("rq"), "worker", "--url", url, "--quiet"]
        with running(*[worker] * WORKERS):
            queue = Queue(connection=Redis.from_url(url))

            def take(job):
                found = job.latest_result(timeout=round(PATIENCE))
                return found.return_value

            def submit():
                return queue.enqueue("bench_rq.echo", DATA)

            def many(count):
                return [take(job) for job in [submit() for _ in range(count)]]

            yield lambda: take(submit()), many


@contextlib.contextmanager
def dask(place):
    """Dask, two processes of one thread."""
    del place
    from distributed import Client, LocalCluster

    options = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:

        def submit():
            return client.submit(echo, DATA, pure=False)

        def many(count):
            return client.gather([submit() for _ in range(count)])

        yield lambda: submit().result(PATIENCE), many


@contextlib.contextmanager
def ipyparallel(place):
    """ipyparallel, two engines behind a load-balanced view."""
    os.environ["IPYTHONDIR"] = place
    import ipyparallel as library

    with library.Cluster(n=WORKERS, log_level=40) as client:
        view = client.load_balanced_view()

        def many(count):
            return [found.get(PATIENCE) for found in [view.apply(echo, DATA) for _ in range(count)]]

        yield lambda: view.apply(echo, DATA).get(PATIENCE), many


@contextlib.contextmanager
def parsl(place):
    """Parsl's HighThroughputExecutor, one block of two workers."""
    import parsl as library
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(
        address="127.0.0.1", max_workers_per_node=WORKERS, provider=provider
    )
    config = Config(executors=[executor], run_dir=place, usage_tracking=0)
    with library.load(config):
        task = library.python_app(echo)

        def many(count):
            return [found.result(PATIENCE) for found in [task(DATA) for _ in range(count)]]

        yield lambda: task(DATA).result(PATIENCE), many


@contextlib.contextmanager
def vpoller_like(endpoint):
    """Our own client, at a broker that runs."""
    from vpoller_like.client import VPollerClient

    request = {"method": "system.echo", "data": DATA}
    with VPollerClient(endpoint, timeout=20_000) as client:

        def many(count):
            return [reply["result"] for reply in client.map((request for _ in range(count)), 1000)]

        yield lambda: client.call("system.echo", data=DATA), many


@contextlib.contextmanager
def raw(endpoint):
    """A plain REQ socket, and a DEALER for the bursts; at our broker or at ``zmq.proxy``."""
    import zmq

    context = zmq.Context()
    one, many = context.socket(zmq.REQ), context.socket(zmq.DEALER)
    for each in (one, many):
        each.set_hwm(0)
        each.connect(endpoint)
    body = json.dumps({"method": "system.echo", "data": DATA}).encode()

    def ask():
        one.send(body)
        return json.loads(one.recv())["result"]

    def burst(count):
        for _ in range(count):
            many.send_multipart([b"", body])
        return [json.loads(many.recv_multipart()[1])["result"] for _ in range(count)]

    yield ask, burst
    context.destroy(0)


def _module(place, name, text, url):
    """Write a module that a worker and this program import."""
    with open(os.path.join(place, f"{name}.py"), "w") as file:
        file.write(text)
    os.environ["URL"] = url
    os.environ["PYTHONPATH"] = place
    os.chdir(place)
    sys.path.insert(0, place)


SYSTEMS = (nats, celery, dramatiq, rq, dask, ipyparallel, parsl, vpoller_like, raw)


def sequential(ask, seconds):
    """Ask one after the other."""
    trips = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        before = time.perf_counter()
        check([ask()])
        trips.append(time.perf_counter() - before)
    spent = time.perf_counter() - begin
    return {"rate": len(trips) / spent, "p50_us": statistics.median(trips) * 1e6}


def bursting(burst, count):
    """Ask all at once."""
    begin = time.perf_counter()
    check(burst(count))
    return {"rate": count / (time.perf_counter() - begin)}


def check(answers):
    """End the program if one of ``answers`` is none."""
    if any(answer != DATA for answer in answers):
        sys.exit("an answer is not what was sent")


def main():
    """Be a peer."""
    name, place = sys.argv[1:]
    if name == "nats-worker":
        nats_worker(place)
        return
    system = {each.__name__: each for each in SYSTEMS}[name]
    with system(place) as (ask, burst):
        warm_up(ask)
        print("ready", flush=True)
        for line in sys.stdin:
            word, number = line.split()
            found = (
                sequential(ask, float(number)) if word == "seq" else bursting(burst, int(number))
            )
            print(json.dumps(found), flush=True)


def warm_up(ask):
    """Ask until an answer comes: workers may still be starting."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            check([ask()])
            return
        except (concurrent.futures.TimeoutError, OSError, RuntimeError):
            if time.monotonic() > until:
                raise
        except Exception as error:
            # NATS says at once that nobody listens.
            if time.monotonic() > until or "NoResponders" not in type(error).__name__:
                raise
        time.sleep(0.1)


if __name__ == "__main__":
    main()
