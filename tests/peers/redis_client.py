"""redis-py on fastsock: HOST PORT, or a path. Prints what the server said, as JSON."""

import json
import sys

import fastsock
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

where = ({"unix_socket_path": sys.argv[1]} if len(sys.argv) == 2
         else {"host": sys.argv[1], "port": int(sys.argv[2])})
result = {}
with redis.Redis(**where, socket_timeout=20, retry=Retry(NoBackoff(), 0)) as client:
    connection = client.connection_pool.get_connection()
    assert type(connection._sock) is fastsock.socket, type(connection._sock)
    client.connection_pool.release(connection)

    client.flushall()
    client.set("name", b"\x00\xffvalue")
    result["get"] = client.get("name").hex()
    large = bytes(range(256)) * 8192
    client.set("large", large)
    result["large_is_same"] = client.get("large") == large
    with client.pipeline() as pipeline:
        for number in range(500):
            pipeline.incrby("sum", number)
        result["pipeline"] = pipeline.execute()[-1]

    with client.pubsub() as subscriber:
        subscriber.subscribe("news")
        result["subscribed"] = subscriber.get_message(timeout=20)["type"]
        result["receivers"] = client.publish("news", "hello")
        result["heard"] = subscriber.get_message(timeout=20)["data"].decode()

    try:
        client.execute_command("NO-SUCH-COMMAND")
    except redis.ResponseError:
        result["error"] = "ResponseError"

with redis.Redis(**where, socket_timeout=0.1, retry=Retry(NoBackoff(), 0)) as client:
    try:
        client.blpop("nothing-comes-here", 0)
    except redis.TimeoutError:
        result["timeout"] = "TimeoutError"
print(json.dumps(result))
